import type { QueryKey } from "@tanstack/react-query";

/** The query keys, in one place because the event stream decides by them what to fetch again. */
export const keys = {
  stats: ["stats"],
  workers: ["workers"],
  fleet: ["fleet"],
  forecast: ["forecast"],
  decisions: ["decisions"],
  audit: ["audit"],
  auditPage: (limit: number) => ["audit", limit],
  taskLists: ["task-lists"],
  taskList: (filter: object) => ["task-lists", filter],
  task: (id: string) => ["task", id],
  attempts: (id: string) => ["task", id, "attempts"],
} as const;

/** What a query shows, as an event names it: a resource, or one task. */
export function topicOf(key: QueryKey): string {
  return key[0] === "task" ? taskTopic(String(key[1])) : String(key[0]);
}

export function taskTopic(id: string): string {
  return `task/${id}`;
}
