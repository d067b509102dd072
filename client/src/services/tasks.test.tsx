import { QueryClientProvider } from "@tanstack/react-query";
import { renderHook, waitFor } from "@testing-library/react";
import type { ReactNode } from "react";
import { expect, test } from "vitest";
import { aTask, stubApi } from "@/test-render";
import { createQueryClient } from "./query-client";
import { useSubmitTask, useTask } from "./tasks";

test("a task that started before its submission was answered is not shown as scheduled", async () => {
  const client = createQueryClient();
  const wrapper = ({ children }: { children: ReactNode }) => (
    <QueryClientProvider client={client}>{children}</QueryClientProvider>
  );
  const task = aTask();
  stubApi({
    "POST /api/v1/tasks": { status: 201, body: task },
    [`GET /api/v1/tasks/${task.id}`]: { body: { ...task, status: "running" } },
  });
  const submit = renderHook(useSubmitTask, { wrapper });
  await submit.result.current.mutateAsync({ task: { command: task.command }, idempotencyKey: "key" });

  const shown = renderHook(() => useTask(task.id), { wrapper });
  expect(shown.result.current.data?.status).toBe("scheduled");
  await waitFor(() => {
    expect(shown.result.current.data?.status).toBe("running");
  });
});
