import { useNow } from "@/lib/clock";
import { cn } from "@/lib/cn";
import { lifecycle, type Step } from "@/lib/lifecycle";
import { formatClock, formatDuration, formatElapsed, formatExact } from "@/lib/time";
import type { Task } from "@/services/tasks";
import { statusLabel, StatusIcon } from "./status-badge";

const LASTING: Partial<Record<Step["status"], string>> = {
  scheduled: "waited",
  assigned: "to start",
  running: "ran",
};

/** The task's way from scheduled to its end: when it reached each step and how long it stayed. */
export function LifecycleTimeline({ task }: { task: Task }) {
  const now = useNow();
  const steps = lifecycle(task, now);
  return (
    <ol aria-label="Life cycle" className="grid gap-0 px-4 py-3.5 md:grid-cols-4">
      {steps.map((step, index) => (
        <TimelineStep key={index} step={step} task={task} now={now} last={index === steps.length - 1} />
      ))}
    </ol>
  );
}

type TimelineStepProps = { step: Step; task: Task; now: number; last: boolean };

function TimelineStep({ step, task, now, last }: TimelineStepProps) {
  const { status, state, at } = step;
  const away = state === "ahead" || state === "skipped";
  return (
    <li
      data-testid="lifecycle-step"
      data-status={status}
      data-state={state}
      aria-current={state === "current" ? "step" : undefined}
      className="relative flex gap-3 pb-4 last:pb-0 md:block md:pb-0"
    >
      {!last && <Connector step={step} />}
      <span
        className={cn(
          "relative z-1 grid size-6 shrink-0 place-items-center rounded-full border bg-surface",
          state === "current" && "border-current ring-4 ring-foreground/5",
          away && "border-dashed",
        )}
      >
        <StatusIcon
          status={status}
          className={cn(
            away && "text-muted/60",
            state === "current" && status === "running" && "animate-spin",
          )}
        />
      </span>
      <div className="min-w-0 md:mt-2 md:pr-4">
        <p className={cn("font-medium", away && "text-muted")}>{statusLabel(status)}</p>
        <p className="truncate text-xs text-muted tabular-nums">
          {at === undefined ? (
            state === "skipped" ? (
              "skipped"
            ) : (
              "–"
            )
          ) : (
            <time dateTime={new Date(at).toISOString()} title={formatExact(at)}>
              {formatClock(at, now)}
            </time>
          )}
          <Remark step={step} task={task} now={now} />
        </p>
        <Lasted step={step} />
      </div>
    </li>
  );
}

/** The line to the next step, coloured as far as the task has come. */
function Connector({ step }: { step: Step }) {
  return (
    <span
      aria-hidden
      className={cn(
        "absolute top-6 bottom-0 left-3 w-px md:top-3 md:right-0 md:bottom-auto md:left-6 md:h-px md:w-auto",
        step.state === "done" ? "bg-foreground/30" : "bg-border",
      )}
    />
  );
}

function Lasted({ step }: { step: Step }) {
  const { lastedMs, state, status } = step;
  const what = LASTING[status];
  if (what === undefined) return null;
  return (
    <p className="min-h-4 text-xs tabular-nums">
      {lastedMs !== undefined && (
        <>
          {state === "current" ? formatElapsed(lastedMs) : formatDuration(lastedMs)}{" "}
          <span className="text-muted">{state === "current" ? "so far" : what}</span>
        </>
      )}
    </p>
  );
}

/** What belongs to a step besides its time: the due time, the worker, the exit code. */
function Remark({ step, task, now }: { step: Step; task: Task; now: number }) {
  if (step.status === "scheduled") {
    const due = Date.parse(task.scheduled_at);
    // A task for now is due the moment it is made, give or take its way to the database.
    if (due - Date.parse(task.created_at) < 1_000) return null;
    return <span title={formatExact(due)}> for {formatClock(due, now)}</span>;
  }
  if (step.at === undefined) return null;
  if (step.status === "assigned" && task.assigned_worker_name != null)
    return <> to {task.assigned_worker_name}</>;
  if (step.status === "failed" && task.exit_code != null) return <>, exit code {task.exit_code}</>;
  if (step.status === "failed" && task.signal != null) return <>, signal {task.signal}</>;
  return null;
}
