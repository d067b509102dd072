import { expect, test } from "vitest";
import { OutputBuffer } from "./output-buffer";

function lines(buffer: OutputBuffer) {
  return buffer.view().blocks.flatMap((block) => block.lines.map((line) => `${line.stream}: ${line.text}`));
}

test("pieces become lines, wherever they were cut", () => {
  const buffer = new OutputBuffer();
  buffer.append(1, "stdout", "one\ntw");
  buffer.append(2, "stdout", "o\n\nfour\n");
  buffer.append(3, "stderr", "oops\n");
  expect(lines(buffer)).toEqual(["stdout: one", "stdout: two", "stdout: ", "stdout: four", "stderr: oops"]);
});

test("a stream that was resumed repeats nothing", () => {
  const buffer = new OutputBuffer();
  buffer.append(1, "stdout", "one\n");
  buffer.append(2, "stdout", "two\n");
  expect(buffer.append(1, "stdout", "one\n")).toBe(false);
  buffer.append(3, "stdout", "three\n");
  expect(lines(buffer)).toEqual(["stdout: one", "stdout: two", "stdout: three"]);
});

test("escape codes go, and of a progress bar its last state stays", () => {
  const buffer = new OutputBuffer();
  buffer.append(1, "stdout", "\u001b[31mred\u001b[0m \u001b]0;title\u0007plain\n10%\r55%\r100%\nwindows\r\n");
  expect(lines(buffer)).toEqual(["stdout: red plain", "stdout: 100%", "stdout: windows"]);
});

test("a full block never changes again", () => {
  const buffer = new OutputBuffer();
  for (let seq = 1; seq <= 150; seq += 1) buffer.append(seq, "stdout", `${seq}\n`);
  const before = buffer.view().blocks[0];
  buffer.append(151, "stdout", "more\n");
  expect(buffer.view().blocks[0]).toBe(before);
});

test("it keeps the newest lines and counts the others", () => {
  const buffer = new OutputBuffer(1_000);
  buffer.append(1, "stdout", Array.from({ length: 5_000 }, (_, index) => `${index}\n`).join(""));
  const view = buffer.view();
  const kept = view.blocks.reduce((sum, block) => sum + block.lines.length, 0);
  expect(kept).toBeLessThanOrEqual(1_000);
  expect(kept).toBeGreaterThan(800);
  expect(view.dropped + kept).toBe(5_000);
  expect(view.blocks.at(-1)?.lines.at(-1)?.text).toBe("4999");
});
