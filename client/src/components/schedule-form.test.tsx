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

test("what is sent again after an answer was lost has the same key, and anything else one of its own", async () => {
  const answers: Parameters<typeof stubApi>[0] = {
    "POST /api/v1/tasks": {
      status: 503,
      body: { type: "about:blank", title: "Unavailable", status: 503, detail: "Postgres cannot be reached." },
    },
  };
  const calls = stubApi(answers);
  const onScheduled = vi.fn();
  await renderPage(<ScheduleForm initial={{ ...EMPTY_DRAFT, command: "true" }} onScheduled={onScheduled} />);
  const schedule = async (sent: number) => {
    await userEvent.click(screen.getByRole("button", { name: "Schedule task" }));
    await waitFor(() => {
      expect(calls).toHaveLength(sent);
      expect(screen.getByRole("button", { name: "Schedule task" })).toBeEnabled();
    });
    return calls[sent - 1]?.headers.get("idempotency-key");
  };
  const first = await schedule(1);
  expect(first).toMatch(/^[0-9a-f]{32}$/);
  expect(await schedule(2)).toBe(first);

  await userEvent.type(screen.getByLabelText("Command"), "1");
  const changed = await schedule(3);
  expect(changed).not.toBe(first);

  answers["POST /api/v1/tasks"] = { status: 201, body: aTask() };
  expect(await schedule(4)).toBe(changed);
  await waitFor(() => {
    expect(onScheduled).toHaveBeenCalledOnce();
  });
  // It is there: the same once more is another task.
  expect([first, changed]).not.toContain(await schedule(5));
});
