import { expect, test } from "vitest";
import { aTask } from "@/test-render";
import { lifecycle } from "./lifecycle";

const at = (seconds: number) => new Date(Date.UTC(2026, 0, 23, 10, 0, seconds)).toISOString();
const told = (...args: Parameters<typeof lifecycle>) =>
  lifecycle(...args).map(({ status, state, lastedMs }) => [status, state, lastedMs]);

test("a completed task: every step and how long it stayed there", () => {
  const task = aTask({
    status: "completed",
    picked_at: at(1),
    started_at: at(3),
    finished_at: at(8),
    completed_at: at(8),
  });
  expect(told(task, Date.parse(at(99)))).toEqual([
    ["scheduled", "done", 1_000],
    ["assigned", "done", 2_000],
    ["running", "done", 5_000],
    ["completed", "done", undefined],
  ]);
});

test("a delayed task waits from its due time, not from its creation", () => {
  const task = aTask({ status: "running", scheduled_at: at(60), picked_at: at(61), started_at: at(61) });
  expect(told(task, Date.parse(at(65)))).toEqual([
    ["scheduled", "done", 1_000],
    ["assigned", "done", 0],
    ["running", "current", 4_000],
    ["completed", "ahead", undefined],
  ]);
  expect(told(aTask({ scheduled_at: at(60) }), Date.parse(at(30)))[0]).toEqual([
    "scheduled",
    "current",
    undefined,
  ]);
});

test("a task cancelled before it started skipped the rest", () => {
  const task = aTask({ status: "cancelled", finished_at: at(4), cancelled_at: at(4) });
  expect(told(task, Date.parse(at(9)))).toEqual([
    ["scheduled", "done", 4_000],
    ["assigned", "skipped", undefined],
    ["running", "skipped", undefined],
    ["cancelled", "done", undefined],
  ]);
});

test("a task that waits for its next attempt is back at the start", () => {
  const task = aTask({
    status: "scheduled",
    attempt: 1,
    max_attempts: 3,
    started_at: at(3),
    picked_at: at(1),
  });
  expect(told(task, Date.parse(at(9))).map(([, state]) => state)).toEqual([
    "current",
    "ahead",
    "ahead",
    "ahead",
  ]);
});
