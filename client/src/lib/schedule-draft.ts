// What the schedule form holds, and how it becomes a submission. Its checks are hints: the API decides.

import { ProblemError } from "@/services/http";
import type { SubmitTask, Task } from "@/services/tasks";
import { shellLine } from "./shell";

export type When = "now" | "at" | "in";

export type Draft = {
  command: string;
  when: When;
  /** As a `datetime-local` field has it, in the reader's zone. */
  at: string;
  minutes: string;
  priority: string;
  timeoutSeconds: string;
  maxAttempts: string;
  /** What "run again" takes over from the earlier task and the form does not edit. */
  carried: Pick<SubmitTask, "env" | "executor">;
};

export type DraftField = "command" | "at" | "minutes" | "priority" | "timeoutSeconds" | "maxAttempts";
export type DraftErrors = Partial<Record<DraftField, string>>;

export const EMPTY_DRAFT: Draft = {
  command: "",
  when: "now",
  at: "",
  minutes: "10",
  priority: "0",
  timeoutSeconds: "",
  maxAttempts: "1",
  carried: {},
};

const COMMAND_BYTES = 65_536;

/** A draft that does again what a task did. */
export function draftFrom(task: Task): Draft {
  const env = task.env ?? {};
  return {
    ...EMPTY_DRAFT,
    command: task.argv == null ? task.command : shellLine(task.argv),
    priority: String(task.priority),
    timeoutSeconds: task.timeout_seconds == null ? "" : String(task.timeout_seconds),
    maxAttempts: String(task.max_attempts),
    carried: {
      ...(Object.keys(env).length > 0 && { env }),
      ...(task.executor !== "process" && { executor: task.executor }),
    },
  };
}

/** The submission that a draft means, or what is wrong with it. */
export function toSubmission(draft: Draft): { task: SubmitTask } | { errors: DraftErrors } {
  const errors: DraftErrors = {};
  const priority = integer(draft.priority, -100, 100);
  const timeout = integer(draft.timeoutSeconds, 1, 31_536_000);
  const attempts = integer(draft.maxAttempts, 1, 100);
  const minutes = draft.when === "in" ? decimal(draft.minutes) : 0;
  const at = draft.when === "at" ? Date.parse(draft.at) : 0;

  if (draft.command.trim() === "") errors.command = "Enter the command to run.";
  else if (new TextEncoder().encode(draft.command).length > COMMAND_BYTES) {
    errors.command = "A command has at most 65,536 bytes.";
  }
  if (priority === "invalid") errors.priority = "A whole number from -100 to 100.";
  if (timeout === "invalid") errors.timeoutSeconds = "Whole seconds from 1 to 31,536,000, or empty.";
  if (attempts === "invalid") errors.maxAttempts = "A whole number from 1 to 100.";
  if (minutes === undefined) errors.minutes = "A number of minutes, 0 or more.";
  if (Number.isNaN(at)) errors.at = "Choose a date and a time.";
  if (Object.keys(errors).length > 0) return { errors };

  return {
    task: {
      command: draft.command,
      ...draft.carried,
      ...(draft.when === "at" && { scheduled_at: new Date(at).toISOString() }),
      ...(draft.when === "in" && { delay_seconds: Math.round((minutes ?? 0) * 60) }),
      ...(typeof priority === "number" && { priority }),
      ...(typeof timeout === "number" && { timeout_seconds: timeout }),
      ...(typeof attempts === "number" && { max_attempts: attempts }),
    },
  };
}

const API_FIELDS: Record<string, DraftField> = {
  command: "command",
  scheduled_at: "at",
  delay_seconds: "minutes",
  priority: "priority",
  timeout_seconds: "timeoutSeconds",
  max_attempts: "maxAttempts",
};

/** The API's refusal at the fields that it names; `complete` if that says all of it. */
export function errorsFrom(error: Error, when: When): { errors: DraftErrors; complete: boolean } {
  const named = error instanceof ProblemError ? (error.problem.errors ?? []) : [];
  const errors: DraftErrors = {};
  let complete = named.length > 0;
  for (const { field, message } of named) {
    const known = API_FIELDS[field];
    const hidden = (known === "at" && when !== "at") || (known === "minutes" && when !== "in");
    if (known === undefined || hidden) complete = false;
    else errors[known] ??= message;
  }
  return { errors, complete };
}

/** A whole number within bounds; nothing when left empty. */
function integer(text: string, min: number, max: number): number | "invalid" | undefined {
  if (text.trim() === "") return undefined;
  const value = Number(text);
  return Number.isInteger(value) && value >= min && value <= max ? value : "invalid";
}

function decimal(text: string): number | undefined {
  const value = Number(text);
  return text.trim() !== "" && Number.isFinite(value) && value >= 0 ? value : undefined;
}
