// The tasks resource: list, one, submit, cancel, retry, attempts.

import { keepPreviousData, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { get, post, type Schemas } from "./http";
import { keys } from "./keys";
import { usePolling } from "./live";

export type Task = Schemas["Task"];
export type TaskStatus = Task["status"];
export type Attempt = Schemas["Attempt"];
export type SubmitTask = Schemas["SubmitTask"];

/** Every status, in the order of a task's life. */
export const TASK_STATUSES = [
  "scheduled",
  "assigned",
  "running",
  "completed",
  "failed",
  "cancelled",
] as const satisfies readonly TaskStatus[];

export function isTaskStatus(value: unknown): value is TaskStatus {
  return TASK_STATUSES.some((status) => status === value);
}

/** Whether nothing more happens to the task by itself. */
export function isFinal(status: TaskStatus): boolean {
  return status === "completed" || status === "failed" || status === "cancelled";
}

export type TaskFilter = {
  status?: TaskStatus[];
  worker?: string;
  q?: string;
  cursor?: string;
  limit: number;
};

export function useTasks(filter: TaskFilter) {
  return useQuery({
    queryKey: keys.taskList(filter),
    queryFn: ({ signal }) =>
      get("/api/v1/tasks", {
        query: {
          status: filter.status?.join(","),
          worker: filter.worker,
          q: filter.q,
          cursor: filter.cursor,
          limit: filter.limit,
        },
        signal,
      }),
    // The rows stay while the next page or filter loads, so that the page does not jump.
    placeholderData: keepPreviousData,
    refetchInterval: usePolling(),
  });
}

export function useTask(id: string, enabled = true) {
  return useQuery({
    queryKey: keys.task(id),
    queryFn: ({ signal }) => get("/api/v1/tasks/{id}", { path: { id }, signal }),
    refetchInterval: usePolling(),
    enabled,
  });
}

export function useAttempts(id: string) {
  return useQuery({
    queryKey: keys.attempts(id),
    queryFn: ({ signal }) => get("/api/v1/tasks/{id}/attempts", { path: { id }, signal }),
    refetchInterval: usePolling(),
  });
}

type Submission = { task: SubmitTask; idempotencyKey: string };

async function submit({ task, idempotencyKey }: Submission): Promise<Task> {
  const created = await post("/api/v1/tasks", task, { idempotencyKey });
  if ("tasks" in created) throw new Error("One task was submitted, several came back.");
  return created;
}

export function useSubmitTask() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: submit,
    onSuccess: (task) => {
      client.setQueryData(keys.task(task.id), task);
      // It may have started, and the stream have told so, before this answer was here: nothing would fetch it again.
      void client.invalidateQueries({ queryKey: keys.task(task.id) });
      void client.invalidateQueries({ queryKey: keys.taskLists });
      void client.invalidateQueries({ queryKey: keys.stats });
    },
  });
}

export function useCancelTask() {
  return useTaskAction((id) => post("/api/v1/tasks/{id}/cancel", undefined, { path: { id } }));
}

export function useRetryTask() {
  return useTaskAction((id) => post("/api/v1/tasks/{id}/retry", undefined, { path: { id } }));
}

function useTaskAction(action: (id: string) => Promise<Task>) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: action,
    onSuccess: (task) => {
      client.setQueryData(keys.task(task.id), task);
    },
    // Also when refused: a 409 means that the page showed an old state.
    onSettled: (_task, _error, id) => client.invalidateQueries({ queryKey: keys.task(id) }),
  });
}
