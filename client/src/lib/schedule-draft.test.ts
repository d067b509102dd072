import { expect, test } from "vitest";
import { aTask } from "@/test-render";
import { draftFrom, EMPTY_DRAFT, toSubmission } from "./schedule-draft";

test("a local time is sent as the moment it means", () => {
  const result = toSubmission({ ...EMPTY_DRAFT, command: "true", when: "at", at: "2026-07-01T12:30" });
  const moment = new Date(2026, 6, 1, 12, 30).toISOString();
  expect(result).toEqual({ task: { command: "true", scheduled_at: moment, priority: 0, max_attempts: 1 } });
});

test("every field that cannot be right is named", () => {
  const result = toSubmission({
    ...EMPTY_DRAFT,
    command: "é".repeat(40_000),
    when: "in",
    minutes: "-1",
    priority: "101",
    timeoutSeconds: "0",
    maxAttempts: "1.5",
  });
  expect("errors" in result && Object.keys(result.errors).sort()).toEqual([
    "command",
    "maxAttempts",
    "minutes",
    "priority",
    "timeoutSeconds",
  ]);
});

test("run again does the same again: arguments, environment and executor too", () => {
  const task = aTask({
    argv: ["echo", "it's", "$HOME"],
    env: { LANG: "C" },
    executor: "simulate",
    priority: 5,
    timeout_seconds: 60,
    max_attempts: 3,
  });
  expect(toSubmission(draftFrom(task))).toEqual({
    task: {
      command: "echo 'it'\\''s' '$HOME'",
      env: { LANG: "C" },
      executor: "simulate",
      priority: 5,
      timeout_seconds: 60,
      max_attempts: 3,
    },
  });
});
