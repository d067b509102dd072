// Why a task is not running, as far as the task and the workers tell.

import { isOnline, type Worker } from "@/services/workers";
import type { Task } from "@/services/tasks";

export type Waiting =
  | { reason: "due"; at: number; nextAttempt: number | undefined }
  | { reason: "no-worker" }
  | { reason: "draining"; workers: number }
  | { reason: "no-slot"; slots: number; workers: number }
  | { reason: "next" }
  | { reason: "starting"; worker: string }
  | { reason: "stopping"; since: number };

/** The reason, or nothing when the task runs or is over. `workers` is undefined while it is not known. */
export function waitingFor(
  task: Task,
  workers: readonly Worker[] | undefined,
  now: number,
): Waiting | undefined {
  switch (task.status) {
    case "completed":
    case "failed":
    case "cancelled":
      return undefined;
    case "running":
      return task.cancel_requested_at == null
        ? undefined
        : { reason: "stopping", since: Date.parse(task.cancel_requested_at) };
    case "assigned":
      return { reason: "starting", worker: task.assigned_worker_name ?? "its worker" };
    case "scheduled":
      return waitingForSlot(task, workers, now);
  }
}

function waitingForSlot(task: Task, workers: readonly Worker[] | undefined, now: number): Waiting {
  const due = Date.parse(task.scheduled_at);
  if (due > now) {
    return { reason: "due", at: due, nextAttempt: task.attempt > 0 ? task.attempt + 1 : undefined };
  }
  if (workers === undefined) return { reason: "next" };
  const online = workers.filter(isOnline);
  if (online.length === 0) return { reason: "no-worker" };
  const taking = online.filter((worker) => worker.status !== "draining");
  if (taking.length === 0) return { reason: "draining", workers: online.length };
  const full = taking.every((worker) => worker.running + worker.assigned >= worker.slots);
  const slots = taking.reduce((sum, worker) => sum + worker.slots, 0);
  return full ? { reason: "no-slot", slots, workers: taking.length } : { reason: "next" };
}
