import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import type { TaskStatus } from "@/services/tasks";
import { aTask, renderPage, stubApi } from "@/test-render";
import { TaskActions } from "./task-actions";

test.each<[TaskStatus, { cancel: boolean; retry: boolean }]>([
  ["scheduled", { cancel: true, retry: false }],
  ["assigned", { cancel: true, retry: false }],
  ["running", { cancel: true, retry: false }],
  ["completed", { cancel: false, retry: false }],
  ["failed", { cancel: false, retry: true }],
  ["cancelled", { cancel: false, retry: true }],
])("what can be done with a task that is %s", async (status, can) => {
  await renderPage(<TaskActions task={aTask({ status })} />);
  expect(screen.getByRole<HTMLButtonElement>("button", { name: "Cancel task" }).disabled).toBe(!can.cancel);
  expect(screen.getByRole<HTMLButtonElement>("button", { name: "Retry task" }).disabled).toBe(!can.retry);
});

test("a refused cancel stays open and says why", async () => {
  const task = aTask({ status: "running" });
  const detail = "The task has completed meanwhile.";
  stubApi({
    [`POST /api/v1/tasks/${task.id}/cancel`]: {
      status: 409,
      body: { type: "about:blank", title: "Conflict", status: 409, detail },
    },
  });
  await renderPage(<TaskActions task={task} />);
  await userEvent.click(screen.getByRole("button", { name: "Cancel task" }));
  const dialog = screen.getByRole("alertdialog");
  await userEvent.click(within(dialog).getByRole("button", { name: "Cancel task" }));
  await waitFor(() => {
    expect(dialog).toHaveTextContent(detail);
  });
});
