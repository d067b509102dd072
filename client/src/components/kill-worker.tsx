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
      <p>
        {running === 0
          ? "It runs nothing at the moment."
          : `It runs ${running === 1 ? "one task" : `${running} tasks`}, which will be stopped. `}
        {running > 0 && "Each is tried again elsewhere if it has attempts left, and fails otherwise."} Other
        workers are not affected.
      </p>
    </ConfirmDialog>
  );
}
