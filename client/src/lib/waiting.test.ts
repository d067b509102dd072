import { expect, test } from "vitest";
import { aTask, aWorker } from "@/test-render";
import { waitingFor } from "./waiting";

const now = Date.parse("2026-01-23T10:00:30.000Z");
const task = aTask();

test("it is not due", () => {
  const later = aTask({ scheduled_at: "2026-01-23T10:05:30.000Z", attempt: 1 });
  expect(waitingFor(later, [], now)).toEqual({ reason: "due", at: now + 300_000, nextAttempt: 2 });
});

test("no worker is online", () => {
  expect(waitingFor(task, [aWorker({ status: "offline" })], now)).toEqual({ reason: "no-worker" });
});

test("every worker leaves", () => {
  const workers = [aWorker({ status: "draining" }), aWorker({ status: "offline" })];
  expect(waitingFor(task, workers, now)).toEqual({ reason: "draining", workers: 1 });
});

test("every slot is taken, also by tasks on their way", () => {
  const workers = [
    aWorker({ running: 3, assigned: 1 }),
    aWorker({ running: 4 }),
    aWorker({ status: "draining" }),
  ];
  expect(waitingFor(task, workers, now)).toEqual({ reason: "no-slot", slots: 8, workers: 2 });
});

test("it is next, as far as one can tell", () => {
  expect(waitingFor(task, [aWorker({ running: 3 })], now)).toEqual({ reason: "next" });
  expect(waitingFor(task, undefined, now)).toEqual({ reason: "next" });
});

test("it is with its worker, being stopped, or over", () => {
  const assigned = aTask({ status: "assigned", assigned_worker_name: "worker-2" });
  expect(waitingFor(assigned, [], now)).toEqual({ reason: "starting", worker: "worker-2" });
  const stopping = aTask({ status: "running", cancel_requested_at: "2026-01-23T10:00:29.000Z" });
  expect(waitingFor(stopping, [], now)).toEqual({ reason: "stopping", since: now - 1_000 });
  expect(waitingFor(aTask({ status: "completed" }), [], now)).toBeUndefined();
});
