import { Link } from "@tanstack/react-router";
import { Ban, Play, RotateCcw } from "lucide-react";
import { useState } from "react";
import { isFinal, useCancelTask, useRetryTask, type Task } from "@/services/tasks";
import { CopyButton } from "./copy-button";
import { ProblemAlert } from "./problem-alert";
import { Button } from "./ui/button";
import { ConfirmDialog } from "./ui/confirm-dialog";

/** What can be done with a task in its status. */
export function TaskActions({ task }: { task: Task }) {
  const retry = useRetryTask();
  const canRetry = task.status === "failed" || task.status === "cancelled";
  return (
    <div className="flex flex-col gap-2 sm:items-end">
      <div className="flex flex-wrap gap-2">
        <CopyButton text={task.command} label="Copy command" withText />
        <Button asChild>
          <Link to="/schedule" search={{ from: task.id }}>
            <Play aria-hidden />
            Run again
          </Link>
        </Button>
        <Button
          disabled={!canRetry}
          title={
            canRetry ? "Schedule this task again, keeping its history" : "Only failed and cancelled tasks"
          }
          pending={retry.isPending}
          onClick={() => {
            retry.mutate(task.id);
          }}
        >
          <RotateCcw aria-hidden />
          Retry task
        </Button>
        <CancelTask task={task} />
      </div>
      {retry.error !== null && canRetry && <ProblemAlert error={retry.error} />}
    </div>
  );
}

function CancelTask({ task }: { task: Task }) {
  const [open, setOpen] = useState(false);
  const cancel = useCancelTask();
  const asked = task.cancel_requested_at != null;
  const possible = !isFinal(task.status) && !asked;
  return (
    <ConfirmDialog
      trigger={
        <Button
          variant="dangerOutline"
          disabled={!possible}
          title={asked ? "It is being cancelled" : possible ? undefined : "The task is over"}
        >
          <Ban aria-hidden />
          Cancel task
        </Button>
      }
      title="Cancel this task?"
      confirm="Cancel task"
      dismiss="Keep it"
      open={open}
      onOpenChange={(next) => {
        cancel.reset();
        setOpen(next);
      }}
      onConfirm={() => {
        cancel.mutate(task.id, {
          onSuccess: () => {
            setOpen(false);
          },
        });
      }}
      pending={cancel.isPending}
      error={cancel.error}
    >
      {task.status === "running"
        ? "Its command is running and will be stopped. What it has done so far stays done."
        : "It has not started and will not run."}
    </ConfirmDialog>
  );
}
