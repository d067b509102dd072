// A task's life as steps with times, for the timeline. Pure: the caller brings the time.

import type { Task, TaskStatus } from "@/services/tasks";

export type StepState = "done" | "current" | "ahead" | "skipped";

export type Step = {
  status: TaskStatus;
  state: StepState;
  /** When the task reached this step. */
  at: number | undefined;
  /** How long it stayed (or has stayed, while current) before the next step. */
  lastedMs: number | undefined;
};

const ORDER = ["scheduled", "assigned", "running"] as const;

/** The steps a task took, is at, and would still take. */
export function lifecycle(task: Task, now: number): Step[] {
  const finishedAt = moment(task.finished_at ?? task.completed_at ?? task.failed_at ?? task.cancelled_at);
  const reached = {
    scheduled: Math.max(Date.parse(task.created_at), 0),
    assigned: task.status === "scheduled" ? undefined : moment(task.picked_at),
    running: task.status === "scheduled" || task.status === "assigned" ? undefined : moment(task.started_at),
  };
  // A wait counts from when the task was due: what lies before was asked for.
  const due = Math.max(Date.parse(task.scheduled_at), reached.scheduled);
  const final = task.status === "failed" || task.status === "cancelled" ? task.status : "completed";
  const over = finishedAt !== undefined && task.status === final;

  const left = {
    scheduled: span(
      due,
      reached.assigned ?? (over ? finishedAt : undefined),
      task.status === "scheduled",
      now,
    ),
    assigned: span(
      reached.assigned,
      reached.running ?? (over ? finishedAt : undefined),
      task.status === "assigned",
      now,
    ),
    running: span(reached.running, over ? finishedAt : undefined, task.status === "running", now),
  };

  const steps = ORDER.map((status): Step => {
    const at = reached[status];
    const state: StepState =
      task.status === status ? "current" : at !== undefined ? "done" : over ? "skipped" : "ahead";
    return { status, state, at, lastedMs: left[status] };
  });
  steps.push({
    status: final,
    state: over ? "done" : "ahead",
    at: over ? finishedAt : undefined,
    lastedMs: undefined,
  });
  return steps;
}

/** How long the task's latest attempt has run, or ran. */
export function runDuration(task: Task, now: number): number | undefined {
  const started = moment(task.started_at);
  if (started === undefined || task.status === "scheduled" || task.status === "assigned") return undefined;
  const ended = task.status === "running" ? now : moment(task.finished_at);
  return ended === undefined ? undefined : Math.max(0, ended - started);
}

function span(
  from: number | undefined,
  to: number | undefined,
  open: boolean,
  now: number,
): number | undefined {
  if (from === undefined) return undefined;
  if (to !== undefined) return Math.max(0, to - from);
  return open && now > from ? now - from : undefined;
}

/** A time of the API in milliseconds. */
export function moment(time: string | null | undefined): number | undefined {
  return time == null ? undefined : Date.parse(time);
}
