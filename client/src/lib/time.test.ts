import { expect, test } from "vitest";
import { formatDuration, formatRelative } from "./time";

test.each([
  [-5, "0 ms"],
  [240, "240 ms"],
  [2_140, "2.1 s"],
  [59_999, "59 s"],
  [60_000, "1 min"],
  [185_000, "3 min 5 s"],
  [7_800_000, "2 h 10 min"],
  [356_400_000, "4 d 3 h"],
])("%d ms lasts %s", (ms, text) => {
  expect(formatDuration(ms)).toBe(text);
});

test("moments are told from now", () => {
  expect(formatRelative(1_000, 1_500)).toBe("just now");
  expect(formatRelative(0, 12_900)).toBe("12 s ago");
  expect(formatRelative(330_000, 0)).toBe("in 5 min");
});
