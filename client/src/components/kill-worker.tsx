import { Power } from "lucide-react";
import { useState } from "react";
import { useKill } from "@/services/workers";
import { Button } from "./ui/button";
import { ConfirmDialog } from "./ui/confirm-dialog";

/** The button that kills one worker, and its question. */
export function KillWorker({ name, running }: { name: string; running: number }) {
  const [open, setOpen] = useState(false);
  const kill = useKill();
  return (
    <ConfirmDialog
      trigger={
        <Button
          variant="ghost"
          size="iconSm"
          aria-label={`Kill ${name}`}
          title={`Kill ${name}`}
          className="hover:text-failed"
        >
          <Power aria-hidden />
        </Button>
      }
      title={`Kill ${name}?`}
      confirm="Kill worker"
      dismiss="Keep it"
      open={open}
      onOpenChange={(next) => {
        kill.reset();
        setOpen(next);
      }}
      onConfirm={() => {
        kill.mutate(name, {
          onSuccess: () => {
            setOpen(false);
          },
        });
      }}
      pending={kill.isPending}
      error={kill.error}
    >
      <p>{consequence(running)} Other workers are not affected.</p>
    </ConfirmDialog>
  );
}

function consequence(running: number): string {
  if (running === 0) return "It runs nothing at the moment.";
  const what =
    running === 1
      ? "It runs one task, which is stopped: it"
      : `It runs ${running} tasks, which are stopped: each`;
  return `${what} is tried again elsewhere if it has attempts left, and fails otherwise.`;
}
