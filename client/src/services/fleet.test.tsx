import { QueryClientProvider } from "@tanstack/react-query";
import { act, renderHook } from "@testing-library/react";
import type { ReactNode } from "react";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { aFleet, stubApi } from "@/test-render";
import { useFleet } from "./fleet";
import { createQueryClient } from "./query-client";

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

test("what happens to a settled fleet is seen within five seconds, though no event tells of it", async () => {
  const settled = aFleet({ kind: "docker", members: [{ name: "tm-worker-1", state: "online" }] });
  const answers = { "GET /api/v1/fleet": { body: settled } };
  stubApi(answers);
  const client = createQueryClient();
  const { result } = renderHook(useFleet, {
    wrapper: ({ children }: { children: ReactNode }) => (
      <QueryClientProvider client={client}>{children}</QueryClientProvider>
    ),
  });
  await act(() => vi.advanceTimersByTimeAsync(100));
  expect(result.current.data).toEqual(settled);

  const away = { ...settled, available: false, reason: "the Docker engine does not answer" };
  answers["GET /api/v1/fleet"] = { body: away };
  await act(() => vi.advanceTimersByTimeAsync(5_000));
  expect(result.current.data).toEqual(away);
});
