import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { OutputBuffer } from "@/lib/output-buffer";
import { OutputLog } from "./task-output";

test("the log tells standard error apart, and says what it leaves out", () => {
  const buffer = new OutputBuffer(200);
  for (let seq = 1; seq <= 350; seq += 1)
    buffer.append(seq, seq === 350 ? "stderr" : "stdout", `line ${seq}\n`);
  render(<OutputLog output={{ ...buffer.view(), state: "ended" }} />);

  const log = screen.getByRole("log", { name: "Output" });
  expect(log).toHaveTextContent("line 350");
  expect(screen.getByText("line 350")).toHaveAttribute("data-stream", "stderr");
  expect(log).toHaveTextContent("200 earlier lines are not shown");
  expect(screen.queryByText("line 1")).toBeNull();
});

test("a task that wrote nothing says so", () => {
  render(<OutputLog output={{ ...new OutputBuffer().view(), state: "ended" }} />);
  expect(screen.getByRole("log")).toHaveTextContent("It wrote nothing.");
});
