// What the autoscaler's form holds, and how it becomes a change. Its checks are hints: the API decides.

import type { Autoscaler, AutoscalerChange } from "@/services/autoscaler";
import { ProblemError } from "@/services/http";

export type Mode = "off" | "dry-run" | "on";

/** The numbers, as the form writes them: a whole number from `low` to `high` each. */
export const NUMBERS = [
  { name: "min", label: "Fewest workers", low: 1, high: 50 },
  { name: "max", label: "Most workers", low: 1, high: 50 },
  { name: "target_seconds", label: "Target (seconds)", low: 1, high: 86_400 },
  { name: "scale_up_cooldown_seconds", label: "Grow every (seconds)", low: 0, high: 86_400 },
  { name: "scale_down_cooldown_seconds", label: "Shrink after (seconds)", low: 0, high: 86_400 },
  { name: "max_step_up", label: "Grow by at most", low: 1, high: 50 },
  { name: "max_step_down", label: "Shrink by at most", low: 1, high: 50 },
] as const;

export type NumberName = (typeof NUMBERS)[number]["name"];
export type AutoscalerDraft = { mode: Mode } & Record<NumberName, string>;
export type AutoscalerErrors = Partial<Record<NumberName, string>>;

export function modeOf(autoscaler: Autoscaler): Mode {
  if (!autoscaler.enabled) return "off";
  return autoscaler.dry_run ? "dry-run" : "on";
}

export function draftOf(autoscaler: Autoscaler): AutoscalerDraft {
  const numbers = Object.fromEntries(NUMBERS.map(({ name }) => [name, String(autoscaler[name])]));
  return { mode: modeOf(autoscaler), ...(numbers as Record<NumberName, string>) };
}

/** The change that a draft means, or what is wrong with it. What is as it was in `initial` is left to the API to keep. */
export function toChange(
  draft: AutoscalerDraft,
  initial: AutoscalerDraft,
): { change: AutoscalerChange } | { errors: AutoscalerErrors } {
  const errors: AutoscalerErrors = {};
  const change: AutoscalerChange = {};
  if (draft.mode !== initial.mode) {
    change.enabled = draft.mode !== "off";
    if (draft.mode !== "off") change.dry_run = draft.mode === "dry-run";
  }
  for (const { name, low, high } of NUMBERS) {
    const number = Number(draft[name]);
    if (!/^\d+$/.test(draft[name].trim()) || number < low || number > high) {
      errors[name] = `A whole number from ${low} to ${high}.`;
    } else if (number !== Number(initial[name])) change[name] = number;
  }
  if (Object.keys(errors).length === 0 && Number(draft.min) > Number(draft.max)) {
    errors.min = "Not more than the most workers.";
  }
  return Object.keys(errors).length > 0 ? { errors } : { change };
}

/** The API's own words, by the fields that they are about. */
export function errorsOf(error: Error): AutoscalerErrors {
  const errors = error instanceof ProblemError ? (error.problem.errors ?? []) : [];
  return Object.fromEntries(
    errors.flatMap(({ field, message }) => {
      const known = NUMBERS.find(({ name }) => field === `autoscaler.${name}`);
      return known === undefined ? [] : [[known.name, message]];
    }),
  );
}
