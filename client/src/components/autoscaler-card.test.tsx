import { screen, waitFor } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { aFleet, renderPage, stubApi } from "@/test-render";
import { AutoscalerCard } from "./autoscaler-card";
import { WorkerPanel } from "./worker-panel";

const forecast = {
  summary: "2000 tasks wait. 2 workers clear it in 4 min 10 s. 9 workers clear it within 1 min.",
  needed: 9,
  forecasts: [
    { workers: 1, clears_in_seconds: null, utilisation: 1.5 },
    { workers: 2, clears_in_seconds: 250, utilisation: 0.75 },
    { workers: 3, clears_in_seconds: 160, utilisation: 0.5 },
    { workers: 9, clears_in_seconds: 55.6, utilisation: 0.17 },
    { workers: 10, clears_in_seconds: 0, utilisation: 0.15 },
  ],
};
const decision = {
  id: 7,
  at: "2026-01-23T10:00:00.000Z",
  from: 2,
  to: 6,
  kind: "grow",
  reason: "2000 tasks wait, at 1.0 s each: 9 workers do that within 1 min; at most 4 more at a time",
  observation: {},
  dry_run: false,
  applied: true,
};
const decisions = [
  decision,
  { ...decision, id: 6, dry_run: true, applied: false },
  { ...decision, id: 5, from: 2, to: 2, kind: "fits", applied: false, reason: "nothing waits" },
  { ...decision, id: 4, applied: false, error: "the engine does not answer" },
];
const fleet = aFleet({ desired: 2 });
const answers = {
  "GET /api/v1/fleet": { body: fleet },
  "GET /api/v1/fleet/forecast": { body: forecast },
  "GET /api/v1/fleet/decisions?limit=6": { body: { decisions, next_cursor: null } },
  "PUT /api/v1/fleet": { body: { ...fleet, autoscaler: { ...fleet.autoscaler, enabled: true } } },
};

test("it shows the forecast as a sentence and for the sizes that matter", async () => {
  stubApi(answers);
  await renderPage(<AutoscalerCard />);
  expect(await screen.findByText(forecast.summary)).toBeVisible();
  const rows = screen.getAllByRole("row").map((row) => row.textContent);
  expect(rows.slice(1)).toEqual(["1never150 %", "2 (now)4 min 10 s75 %", "956 s17 %", "10nothing waits15 %"]);
});

test("decisions are told with their reasons and what became of them", async () => {
  stubApi(answers);
  await renderPage(<AutoscalerCard />);
  const items = await screen.findAllByTestId("decision");
  expect(items[0]).toHaveTextContent("2 → 6");
  expect(items[0]).toHaveTextContent(decision.reason);
  expect(items[1]).toHaveTextContent("would go 2 → 6");
  expect(items[2]).toHaveTextContent("stays at 2");
  expect(items[3]).toHaveTextContent("2 → 6, not done");
  expect(items[3]).toHaveTextContent("the engine does not answer");
});

test("it is set in its form, which refuses what cannot be", async () => {
  const calls = stubApi(answers);
  await renderPage(<AutoscalerCard />);
  await userEvent.click(await screen.findByRole("button", { name: "Settings" }));
  await userEvent.click(screen.getByRole("radio", { name: "On" }));
  const most = screen.getByLabelText("Most workers");
  await userEvent.clear(most);
  await userEvent.type(most, "51");
  await userEvent.click(screen.getByRole("button", { name: "Save" }));
  expect(screen.getByText("A whole number from 1 to 50.")).toBeVisible();
  expect(calls.some((call) => call.method === "PUT")).toBe(false);

  await userEvent.clear(most);
  await userEvent.type(most, "20");
  await userEvent.click(screen.getByRole("button", { name: "Save" }));
  await waitFor(() => {
    expect(screen.queryByRole("form", { name: "Autoscaler settings" })).toBeNull();
  });
  expect(calls.find((call) => call.method === "PUT")?.body).toEqual({
    // What was not touched is not sent: somebody else may have set it meanwhile.
    autoscaler: { enabled: true, dry_run: false, max: 20 },
  });
  expect(screen.getByRole("button", { name: "Settings" })).toHaveFocus();
});

test("a form in which nothing was changed changes nothing", async () => {
  const calls = stubApi(answers);
  await renderPage(<AutoscalerCard />);
  await userEvent.click(await screen.findByRole("button", { name: "Settings" }));
  await userEvent.click(screen.getByRole("button", { name: "Save" }));
  expect(screen.queryByRole("form", { name: "Autoscaler settings" })).toBeNull();
  expect(calls.some((call) => call.method === "PUT")).toBe(false);
});

test("what cannot be asked for is told, and not taken for nothing", async () => {
  stubApi({ "GET /api/v1/fleet": { body: fleet } });
  await renderPage(<AutoscalerCard />);
  await waitFor(() => {
    expect(screen.getAllByRole("alert").map((alert) => alert.textContent)).toEqual([
      expect.stringContaining("the test has no /api/v1/fleet/forecast"),
      expect.stringContaining("the test has no /api/v1/fleet/decisions"),
    ]);
  });
  expect(screen.queryByText("Nothing was decided yet.")).toBeNull();
});

test("nothing is foreseen while the engine is away, and decisions are still told", async () => {
  const away = aFleet({ kind: "docker", available: false, reason: "the Docker engine does not answer" });
  const calls = stubApi({ ...answers, "GET /api/v1/fleet": { body: away } });
  await renderPage(<AutoscalerCard />);
  expect(await screen.findAllByTestId("decision")).toHaveLength(4);
  expect(screen.queryByTestId("forecast")).toBeNull();
  expect(calls.map((call) => call.path)).not.toContain("/api/v1/fleet/forecast");
});

test("the API's own words are told at the field that they are about", async () => {
  const errors = [{ field: "autoscaler.max", message: "there is room for 8" }];
  const problem = { type: "about:blank", title: "Bad Request", status: 400, detail: "no", errors };
  stubApi({ ...answers, "PUT /api/v1/fleet": { status: 400, body: problem } });
  await renderPage(<AutoscalerCard />);
  await userEvent.click(await screen.findByRole("button", { name: "Settings" }));
  await userEvent.type(screen.getByLabelText("Most workers"), "{Backspace}");
  await userEvent.click(screen.getByRole("button", { name: "Save" }));
  expect(await screen.findByText("there is room for 8")).toBeVisible();
});

test("what was scaled by hand is released by a button", async () => {
  const pinned = { ...fleet, autoscaler: { ...fleet.autoscaler, enabled: true, pinned: true } };
  const calls = stubApi({ ...answers, "GET /api/v1/fleet": { body: pinned } });
  await renderPage(<AutoscalerCard />);
  await userEvent.click(await screen.findByRole("button", { name: "Release" }));
  await waitFor(() => {
    expect(calls.find((call) => call.method === "PUT")?.body).toEqual({ autoscaler: { pinned: false } });
  });
  await waitFor(() => {
    expect(screen.getByRole("button", { name: "Settings" })).toHaveFocus();
  });
});

test("there is none where TaskMaster does not control the fleet", async () => {
  stubApi({ ...answers, "GET /api/v1/fleet": { body: { ...fleet, kind: "none" } } });
  await renderPage(
    <>
      <WorkerPanel />
      <AutoscalerCard />
    </>,
  );
  expect(await screen.findByText(/cannot scale or kill them/)).toBeVisible();
  expect(screen.queryByTestId("autoscaler")).toBeNull();
});
