import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { coalesce } from "./coalesce";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("a burst becomes one run at once and one later, and nothing is missed", async () => {
  const runs: string[][] = [];
  const changed = coalesce<string>(300, (items) => {
    runs.push([...items]);
    return Promise.resolve();
  });
  changed("a");
  changed("b");
  await vi.advanceTimersByTimeAsync(0);
  expect(runs).toEqual([["a", "b"]]);
  for (let index = 0; index < 100; index += 1) changed("c");
  changed("a");
  await vi.advanceTimersByTimeAsync(299);
  expect(runs).toHaveLength(1);
  await vi.advanceTimersByTimeAsync(1);
  expect(runs).toEqual([
    ["a", "b"],
    ["c", "a"],
  ]);
});

test("a slow run is waited for, then what changed meanwhile is fetched", async () => {
  let finish: () => void = () => undefined;
  let runs = 0;
  const changed = coalesce<string>(300, () => {
    runs += 1;
    return new Promise<void>((resolve) => {
      finish = resolve;
    });
  });
  changed("a");
  await vi.advanceTimersByTimeAsync(0);
  changed("a");
  await vi.advanceTimersByTimeAsync(5_000);
  expect(runs).toBe(1);
  finish();
  await vi.advanceTimersByTimeAsync(0);
  expect(runs).toBe(2);
});

test("a run that fails does not stop the next", async () => {
  let runs = 0;
  const changed = coalesce<string>(300, () => {
    runs += 1;
    return Promise.reject(new Error("no answer"));
  });
  changed("a");
  await vi.advanceTimersByTimeAsync(1_000);
  changed("a");
  await vi.advanceTimersByTimeAsync(1_000);
  expect(runs).toBe(2);
});
