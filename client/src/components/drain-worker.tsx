import { ArrowDownToLine } from "lucide-react";
import { useState } from "react";
import type { Fleet } from "@/services/fleet";
import { useDrain } from "@/services/workers";
import { Button } from "./ui/button";
import { ConfirmDialog } from "./ui/confirm-dialog";

type DrainWorkerProps = {
  name: string;
  running: number;
  /** Who started it. */
  kind: Fleet["kind"];
};

const SMALLER = "The fleet is smaller by it, until you scale it again.";
const AFTERWARDS: Record<Fleet["kind"], string> = {
  processes: SMALLER,
  docker: SMALLER,
  swarm: "Swarm starts another one in its place.",
  none: "Whatever started it may start it again.",
};

/** The button that drains one worker, and its question. */
export function DrainWorker({ name, running, kind }: DrainWorkerProps) {
  const [open, setOpen] = useState(false);
  const drain = useDrain();
  return (
    <ConfirmDialog
      trigger={
        <Button variant="ghost" size="iconSm" aria-label={`Drain ${name}`} title={`Drain ${name}`}>
          <ArrowDownToLine aria-hidden />
        </Button>
      }
      title={`Drain ${name}?`}
      confirm="Drain worker"
      dismiss="Keep it"
      open={open}
      onOpenChange={(next) => {
        drain.reset();
        setOpen(next);
      }}
      onConfirm={() => {
        drain.mutate(name, {
          onSuccess: () => {
            setOpen(false);
          },
        });
      }}
      pending={drain.isPending}
      error={drain.error}
    >
      <p>
        {consequence(running)} {AFTERWARDS[kind]}
      </p>
    </ConfirmDialog>
  );
}

function consequence(running: number): string {
  if (running === 0) return "It takes nothing new and ends.";
  const what = running === 1 ? "the task" : `the ${running} tasks`;
  return `It takes nothing new, finishes ${what} it runs, and ends.`;
}
