// For tests only: a component with the router and the queries around it, and an API that answers what it is told.

import { QueryClientProvider } from "@tanstack/react-query";
import {
  createMemoryHistory,
  createRootRoute,
  createRoute,
  createRouter,
  RouterProvider,
} from "@tanstack/react-router";
import { render } from "@testing-library/react";
import type { ReactNode } from "react";
import { vi } from "vitest";
import type { AuditEntry } from "./services/audit";
import type { Fleet } from "./services/fleet";
import { createQueryClient } from "./services/query-client";
import type { Task } from "./services/tasks";
import type { Worker } from "./services/workers";

export async function renderPage(page: ReactNode) {
  const root = createRootRoute();
  const index = createRoute({ getParentRoute: () => root, path: "/", component: () => page });
  const router = createRouter({
    routeTree: root.addChildren([index]),
    history: createMemoryHistory({ initialEntries: ["/"] }),
  });
  await router.load();
  return render(
    <QueryClientProvider client={createQueryClient()}>
      <RouterProvider router={router} />
    </QueryClientProvider>,
  );
}

type Answer = { status?: number; body: unknown };
export type Call = { method: string; path: string; body: unknown; headers: Headers };

/** Answers requests by `METHOD /path`, and keeps what was asked. */
export function stubApi(answers: Record<string, Answer>): Call[] {
  const calls: Call[] = [];
  vi.stubGlobal("fetch", (path: string, init: RequestInit = {}) => {
    const method = init.method ?? "GET";
    const sent: unknown = typeof init.body === "string" ? JSON.parse(init.body) : undefined;
    calls.push({ method, path, body: sent, headers: new Headers(init.headers) });
    const { status = 200, body } = answers[`${method} ${path}`] ?? {
      status: 404,
      body: { type: "about:blank", title: "Not found", status: 404, detail: `the test has no ${path}` },
    };
    return Promise.resolve(
      new Response(JSON.stringify(body), {
        status,
        headers: { "content-type": status >= 400 ? "application/problem+json" : "application/json" },
      }),
    );
  });
  return calls;
}

export function aTask(change: Partial<Task> = {}): Task {
  return {
    id: "0198c5d2-0000-7000-8000-000000000001",
    command: "process-data --input file.csv",
    executor: "process",
    status: "scheduled",
    priority: 0,
    created_at: "2026-01-23T10:00:00.000Z",
    scheduled_at: "2026-01-23T10:00:00.000Z",
    attempt: 0,
    max_attempts: 1,
    stdin: false,
    ...change,
  };
}

export function aWorker(change: Partial<Worker> = {}): Worker {
  return {
    id: 1,
    name: "worker-1",
    status: "idle",
    slots: 4,
    running: 0,
    assigned: 0,
    current_task_ids: [],
    tasks_completed: 0,
    tasks_failed: 0,
    host: "localhost",
    pid: 4_711,
    version: "0.1.0",
    started_at: "2026-01-23T09:00:00.000Z",
    last_active_at: "2026-01-23T10:00:00.000Z",
    ...change,
  };
}

export function aFleet(change: Partial<Fleet> = {}): Fleet {
  return {
    kind: "processes",
    available: true,
    desired: 3,
    min: 1,
    max: 50,
    members: [],
    nodes: [],
    autoscaler: {
      enabled: false,
      dry_run: false,
      pinned: false,
      min: 1,
      max: 10,
      target_seconds: 60,
      scale_up_cooldown_seconds: 15,
      scale_down_cooldown_seconds: 300,
      max_step_up: 4,
      max_step_down: 4,
    },
    ...change,
  };
}

export function anAuditEntry(change: Partial<AuditEntry> = {}): AuditEntry {
  return {
    id: "0198c5d2-0000-7000-8000-00000000000a",
    at: "2026-01-23T10:00:00.000Z",
    caller: "local operator",
    action: "fleet.scale",
    fleet: "docker",
    request: { count: 3 },
    steps: [],
    ...change,
  };
}
