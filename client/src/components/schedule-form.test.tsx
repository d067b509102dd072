import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test, vi } from "vitest";
import { EMPTY_DRAFT } from "@/lib/schedule-draft";
import { aTask, renderPage, stubApi } from "@/test-render";
import { ScheduleForm } from "./schedule-form";

test("what is filled in is what is submitted", async () => {
  const task = aTask();
  const calls = stubApi({ "POST /api/v1/tasks": { status: 201, body: task } });
  const onScheduled = vi.fn();
  await renderPage(<ScheduleForm initial={EMPTY_DRAFT} onScheduled={onScheduled} />);

  await userEvent.type(screen.getByLabelText("Command"), "sleep 1");
  await userEvent.click(screen.getByRole("radio", { name: "In some minutes" }));
  await userEvent.clear(screen.getByLabelText("Minutes"));
  await userEvent.type(screen.getByLabelText("Minutes"), "2.5");
  await userEvent.type(screen.getByLabelText("Time limit (seconds)"), "60");
  await userEvent.clear(screen.getByLabelText("Attempts"));
  await userEvent.type(screen.getByLabelText("Attempts"), "3");
  await userEvent.click(screen.getByRole("button", { name: "Schedule task" }));

  await waitFor(() => {
    expect(onScheduled.mock.calls[0]?.[0]).toEqual(task);
  });
  expect(calls.find((call) => call.method === "POST")?.body).toEqual({
    command: "sleep 1",
    delay_seconds: 150,
    priority: 0,
    timeout_seconds: 60,
    max_attempts: 3,
  });
});

test("an empty command is not sent", async () => {
  const calls = stubApi({});
  await renderPage(<ScheduleForm initial={EMPTY_DRAFT} onScheduled={vi.fn()} />);
  await userEvent.click(screen.getByRole("button", { name: "Schedule task" }));
  expect(screen.getByLabelText("Command")).toHaveAccessibleDescription("Enter the command to run.");
  expect(screen.getByLabelText("Command")).toHaveFocus();
  expect(calls).toEqual([]);
});

test("the API's refusal stands at the field that it names", async () => {
  const problem = {
    type: "about:blank",
    title: "Invalid task",
    status: 422,
    detail: "The task was refused.",
    errors: [{ field: "max_attempts", message: "at most 5 on this server" }],
  };
  stubApi({ "POST /api/v1/tasks": { status: 422, body: problem } });
  const onScheduled = vi.fn();
  await renderPage(<ScheduleForm initial={{ ...EMPTY_DRAFT, command: "true" }} onScheduled={onScheduled} />);
  await userEvent.click(screen.getByRole("button", { name: "Schedule task" }));
  const attempts = screen.getByLabelText("Attempts");
  await waitFor(() => {
    expect(attempts).toHaveAccessibleDescription("at most 5 on this server");
  });
  expect(attempts).toBeInvalid();
  expect(attempts).toHaveFocus();
  expect(onScheduled).not.toHaveBeenCalled();
});

test("a refusal that names no field of the form is shown in full", async () => {
  const problem = {
    type: "about:blank",
    title: "Unavailable",
    status: 503,
    detail: "Postgres cannot be reached.",
  };
  stubApi({ "POST /api/v1/tasks": { status: 503, body: problem } });
  await renderPage(<ScheduleForm initial={{ ...EMPTY_DRAFT, command: "true" }} onScheduled={vi.fn()} />);
  await userEvent.click(screen.getByRole("button", { name: "Schedule task" }));
  expect(await screen.findByText("Postgres cannot be reached.")).toBeVisible();
});
