import { render, screen } from "@testing-library/react";
import { expect, test } from "vitest";
import { TASK_STATUSES } from "@/services/tasks";
import { StatusBadge, type Status } from "./status-badge";

const OTHERS = [
  "idle",
  "busy",
  "draining",
  "offline",
  "timed_out",
  "lost",
  "starting",
  "online",
  "unhealthy",
  "restarting",
  "gone",
  "under_way",
  "done",
  "partial",
  "refused",
] as const satisfies readonly Status[];

test.each([...TASK_STATUSES, ...OTHERS])(
  "%s is told by an icon and a word, not by colour alone",
  (status) => {
    render(<StatusBadge status={status} />);
    const badge = screen.getByTestId("status-badge");
    expect(badge).toHaveAttribute("data-status", status);
    expect(badge.querySelector("svg")).not.toBeNull();
    expect(badge.textContent.toLowerCase()).toBe(status.replace("_", " "));
  },
);
