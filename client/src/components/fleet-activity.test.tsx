import { screen, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { useAudit } from "@/services/audit";
import { anAuditEntry, renderPage, stubApi } from "@/test-render";
import { FleetActivity } from "./fleet-activity";

const at = "2026-01-23T10:00:01.000Z";
const entries = [
  anAuditEntry({
    id: "4",
    steps: [
      { at, name: "tm-worker-4", kind: "created" },
      { at, name: "tm-worker-5", kind: "created" },
      { at, name: "tm-worker-4", kind: "started" },
    ],
  }),
  anAuditEntry({
    id: "3",
    request: { count: 6 },
    finished_at: at,
    outcome: "partial",
    error: "tm-worker-6 (started): no such image",
    steps: [
      { at, name: "tm-worker-5", kind: "started" },
      { at, name: "tm-worker-6", kind: "failed", reason: "no such image" },
    ],
  }),
  anAuditEntry({
    id: "2",
    action: "fleet.kill",
    request: { name: "tm-postgres-1" },
    finished_at: at,
    outcome: "refused",
    error: "there is no such worker",
  }),
  anAuditEntry({
    id: "1",
    action: "fleet.autoscale",
    caller: "autoscaler",
    reason: "nothing waits",
    finished_at: at,
    outcome: "done",
  }),
  anAuditEntry({
    id: "0",
    action: "fleet.autoscaler",
    request: { enabled: true, target_seconds: 30 },
    finished_at: at,
    outcome: "done",
  }),
];

test("each change is told with who, how far, and what came of it", async () => {
  stubApi({ "GET /api/v1/audit?limit=5": { body: { entries } } });
  await renderPage(<FleetActivity />);
  const rows = await screen.findAllByTestId("activity");
  expect(rows.map((row) => row.dataset.status)).toEqual(["under_way", "partial", "refused", "done", "done"]);
  const texts = [
    ["Scale to 3", "local operator: 1 created, 1 started"],
    ["Scale to 6", "1 started, 1 failed", "tm-worker-6: no such image"],
    ["Kill tm-postgres-1", "there is no such worker"],
    ["Autoscale to 3", "autoscaler – nothing waits"],
    ["Set the autoscaler: enabled true, target seconds 30"],
  ];
  for (const [index, row] of rows.entries()) {
    for (const text of texts[index] ?? []) expect(row).toHaveTextContent(text);
  }
});

test("older ones are shown when they are asked for", async () => {
  const older = anAuditEntry({ id: "-1", request: { count: 9 }, finished_at: at, outcome: "done" });
  const calls = stubApi({
    "GET /api/v1/audit?limit=5": { body: { entries: entries.slice(1), next_cursor: "1" } },
    "GET /api/v1/audit?limit=50": { body: { entries: [...entries.slice(1), older] } },
  });
  await renderPage(<FleetActivity />);
  await userEvent.click(await screen.findByRole("button", { name: "Show more" }));
  const list = screen.getByRole("list", { name: "Fleet activity" });
  expect(await within(list).findByText("Scale to 9")).toBeVisible();
  expect(screen.queryByRole("button", { name: "Show more" })).toBeNull();
  expect(calls.map((call) => call.path)).toContain("/api/v1/audit?limit=50");
  expect(list).toHaveFocus();
});

test("nothing is shown as long as nothing has happened", async () => {
  stubApi({ "GET /api/v1/audit?limit=5": { body: { entries: [] } } });
  const Answered = () => useAudit(5).isSuccess && "answered";
  await renderPage(
    <>
      <FleetActivity />
      <Answered />
    </>,
  );
  expect(await screen.findByText("answered")).toBeVisible();
  expect(screen.queryByText("Fleet activity")).toBeNull();
});
