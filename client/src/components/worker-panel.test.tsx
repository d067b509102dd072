import { screen, waitFor, within } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import { expect, test } from "vitest";
import { aFleet, aWorker, renderPage, stubApi } from "@/test-render";
import { WorkerPanel } from "./worker-panel";

const workers = [
  aWorker({ id: 10, name: "worker-10" }),
  aWorker({ id: 2, name: "worker-2", status: "busy", running: 3, slots: 4 }),
  aWorker({ id: 3, name: "worker-3", status: "draining" }),
  aWorker({ id: 1, name: "worker-1", status: "offline" }),
];
const members = [
  { name: "worker-10", state: "online", worker: "worker-10" },
  { name: "worker-2", state: "online", worker: "worker-2" },
  { name: "worker-3", state: "draining", worker: "worker-3" },
] as const;
const answers = {
  "GET /api/v1/workers": { body: { workers } },
  "GET /api/v1/fleet": { body: aFleet({ desired: 5, members: [...members] }) },
  "POST /api/workers/scale": { body: { count: 7, started: [], draining: [], failed: [], message: "" } },
  "POST /api/workers/kill": { body: { name: "worker-2", message: "" } },
  "POST /api/v1/workers/worker-2/drain": { status: 202, body: { ...workers[1], status: "draining" } },
};

test("it says how far the scaling has come, counting only workers that stay", async () => {
  stubApi(answers);
  await renderPage(<WorkerPanel />);
  expect(await screen.findByText("2 of 5 online, 1 draining")).toBeVisible();
  expect(screen.getByLabelText("Workers")).toHaveValue(5);
});

test("workers that are not of the fleet do not count towards its size", async () => {
  const body = { workers: [...workers, aWorker({ id: 4, name: "stranger" })] };
  stubApi({ ...answers, "GET /api/v1/workers": { body } });
  await renderPage(<WorkerPanel />);
  await waitFor(() => {
    expect(screen.getAllByTestId("worker-row")).toHaveLength(5);
  });
  expect(screen.getByText("2 of 5 online, 1 draining")).toBeVisible();
});

test("online workers come first, in the order of their numbers", async () => {
  stubApi(answers);
  await renderPage(<WorkerPanel />);
  const rows = await screen.findAllByTestId("worker-row");
  expect(rows.map((row) => row.dataset.worker)).toEqual(["worker-2", "worker-3", "worker-10", "worker-1"]);
});

test("it scales to the number that was chosen, and to no impossible one", async () => {
  const calls = stubApi(answers);
  await renderPage(<WorkerPanel />);
  const count = await screen.findByLabelText("Workers");
  await userEvent.clear(count);
  await userEvent.type(count, "51");
  expect(screen.getByRole("button", { name: "Scale" })).toBeDisabled();
  expect(screen.getByText("Between 1 and 50 workers.")).toBeVisible();

  await userEvent.clear(count);
  await userEvent.type(count, "6");
  await userEvent.click(screen.getByRole("button", { name: "One worker more" }));
  await userEvent.click(screen.getByRole("button", { name: "Scale" }));
  await waitFor(() => {
    expect(calls.find((call) => call.path === "/api/workers/scale")?.body).toEqual({ count: 7 });
  });
});

test("a worker is killed only after the question", async () => {
  const calls = stubApi(answers);
  await renderPage(<WorkerPanel />);
  await userEvent.click(await screen.findByRole("button", { name: "Kill worker-2" }));
  const dialog = screen.getByRole("alertdialog", { name: "Kill worker-2?" });
  expect(dialog).toHaveTextContent("3 tasks");
  expect(calls.some((call) => call.path === "/api/workers/kill")).toBe(false);

  await userEvent.click(within(dialog).getByRole("button", { name: "Kill worker" }));
  await waitFor(() => {
    expect(screen.queryByRole("alertdialog")).toBeNull();
  });
  expect(calls.find((call) => call.path === "/api/workers/kill")?.body).toEqual({ name: "worker-2" });
});

test("a worker is drained only after the question, and only if it does not drain already", async () => {
  const calls = stubApi(answers);
  const asked = () => calls.filter((call) => call.path.endsWith("/drain"));
  await renderPage(<WorkerPanel />);
  await userEvent.click(await screen.findByRole("button", { name: "Drain worker-2" }));
  expect(screen.queryByRole("button", { name: "Drain worker-3" })).toBeNull();
  const dialog = screen.getByRole("alertdialog", { name: "Drain worker-2?" });
  expect(dialog).toHaveTextContent("finishes the 3 tasks it runs");
  expect(dialog).toHaveTextContent("The fleet is smaller by it");
  expect(asked()).toEqual([]);

  await userEvent.click(within(dialog).getByRole("button", { name: "Drain worker" }));
  await waitFor(() => {
    expect(screen.queryByRole("alertdialog")).toBeNull();
  });
  expect(asked().map((call) => call.path)).toEqual(["/api/v1/workers/worker-2/drain"]);
});

test("workers that TaskMaster did not start can be drained, and neither scaled nor killed", async () => {
  stubApi({ ...answers, "GET /api/v1/fleet": { body: aFleet({ kind: "none" }) } });
  await renderPage(<WorkerPanel />);
  expect(await screen.findByText(/cannot scale or kill them/)).toBeVisible();
  expect(screen.queryByRole("button", { name: "Scale" })).toBeNull();
  expect(screen.queryByRole("button", { name: "Kill worker-2" })).toBeNull();
  await userEvent.click(screen.getByRole("button", { name: "Drain worker-2" }));
  expect(screen.getByRole("alertdialog")).toHaveTextContent("Whatever started it may start it again.");
});

test("members that have not signed on, or have ended, are listed with what they do", async () => {
  const members = [
    { name: "tm-worker-2", state: "unhealthy", worker: "worker-2", host: "0123456789ab" },
    { name: "tm-worker-12", state: "restarting" },
    { name: "tm-worker-9", state: "starting" },
    { name: "tm-worker-7", state: "gone" },
  ] as const;
  stubApi({ ...answers, "GET /api/v1/fleet": { body: aFleet({ kind: "docker", members: [...members] }) } });
  await renderPage(<WorkerPanel />);
  const rows = await screen.findAllByTestId("member-row");
  expect(rows.map((row) => [row.dataset.member, row.dataset.status])).toEqual([
    ["tm-worker-7", "gone"],
    ["tm-worker-9", "starting"],
    ["tm-worker-12", "restarting"],
  ]);
  expect(screen.getByRole("button", { name: "Kill tm-worker-9" })).toBeVisible();
  expect(screen.queryByRole("button", { name: "Kill tm-worker-7" })).toBeNull();
  const unhealthy = screen.getAllByTestId("worker-row").find((row) => row.dataset.worker === "worker-2");
  expect(unhealthy).toHaveTextContent("Unhealthy");
});

test("a container that has stopped and its worker are one, and its row says so", async () => {
  const ended = [
    { name: "tm-worker-1", state: "gone", worker: "worker-1", host: "worker-1" },
    { name: "tm-worker-2", state: "gone", worker: "worker-2", host: "worker-2" },
  ] as const;
  stubApi({ ...answers, "GET /api/v1/fleet": { body: aFleet({ kind: "docker", members: [...ended] }) } });
  await renderPage(<WorkerPanel />);
  const rows = await screen.findAllByTestId("member-row");
  expect(rows.map((row) => row.dataset.member)).toEqual(["tm-worker-1"]);
  const others = screen.getAllByTestId("worker-row");
  expect(others.map((row) => row.dataset.worker)).toEqual(["worker-2", "worker-3", "worker-10"]);
  // It was not silent for long enough yet.
  expect(others[0]).toHaveTextContent("Gone");
  expect(screen.queryByRole("button", { name: "Kill worker-2" })).toBeNull();
});

test("on Swarm the machines and who runs where are shown, and nothing that Swarm would undo is offered", async () => {
  const fleet = aFleet({
    kind: "swarm",
    members: [
      { name: "tm_worker.1", state: "online", worker: "worker-2", host: "0123456789ab", node: "alpha" },
      { name: "tm_worker.2", state: "starting", node: "beta" },
    ],
    nodes: [
      { name: "alpha", state: "ready", availability: "active", workers: 1 },
      { name: "beta", state: "down", availability: "drain", workers: 2 },
    ],
  });
  stubApi({ ...answers, "GET /api/v1/fleet": { body: fleet } });
  await renderPage(<WorkerPanel />);
  const nodes = within(await screen.findByRole("list", { name: "Nodes" })).getAllByRole("listitem");
  expect(nodes.map((node) => node.textContent)).toEqual([
    "alphaready, active1 worker",
    "betadown, drain2 workers",
  ]);
  const row = (await screen.findAllByTestId("worker-row")).find((each) => each.dataset.worker === "worker-2");
  expect(row).toHaveTextContent("on alpha");
  expect(screen.getByTestId("member-row")).toHaveTextContent("on beta");
  expect(screen.queryByRole("button", { name: /^Kill/ })).toBeNull();
  await userEvent.click(screen.getByRole("button", { name: "Drain worker-2" }));
  expect(screen.getByRole("alertdialog")).toHaveTextContent("Swarm starts another one in its place.");
});

test("a fleet that cannot be asked for is told, and asked for again", async () => {
  const { "GET /api/v1/fleet": fleet, ...rest } = answers;
  const now: typeof rest & Partial<typeof answers> = { ...rest };
  stubApi(now);
  await renderPage(<WorkerPanel />);
  expect(await screen.findByRole("alert")).toHaveTextContent("the test has no /api/v1/fleet");
  now["GET /api/v1/fleet"] = fleet;
  await userEvent.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByRole("button", { name: "Scale" })).toBeVisible();
  expect(screen.queryByRole("alert")).toBeNull();
});

test("an engine that is away is told, and nothing can be changed", async () => {
  const away = aFleet({
    kind: "docker",
    available: false,
    reason: "the Docker engine does not answer",
    desired: null,
    members: [{ name: "tm-worker-9", state: "starting" }],
  });
  stubApi({ ...answers, "GET /api/v1/fleet": { body: away } });
  await renderPage(<WorkerPanel />);
  expect(await screen.findByRole("alert")).toHaveTextContent("the Docker engine does not answer");
  expect(screen.getByRole("button", { name: "Scale" })).toBeDisabled();
  expect(screen.getByLabelText("Workers")).toBeDisabled();
  expect(screen.queryByRole("button", { name: "Kill tm-worker-9" })).toBeNull();
  expect(await screen.findByRole("button", { name: "Drain worker-2" })).toBeVisible();
  expect(screen.queryByRole("button", { name: "Kill worker-2" })).toBeNull();
});

test("workers that could not be started are named", async () => {
  const failed = [{ name: "tm-worker-4", step: "started", reason: "no such image" }];
  const body = { count: 7, started: [], draining: [], failed, operation_id: "", message: "" };
  stubApi({ ...answers, "POST /api/workers/scale": { body } });
  await renderPage(<WorkerPanel />);
  await userEvent.click(await screen.findByRole("button", { name: "Scale" }));
  expect(await screen.findByText("tm-worker-4 could not be started: no such image")).toBeVisible();
});

test.each([
  ["a new number", () => userEvent.click(screen.getByRole("button", { name: "One worker more" }))],
  [
    "a change of the fleet",
    async () => {
      await userEvent.click(screen.getByRole("button", { name: "Kill worker-2" }));
      await userEvent.click(screen.getByRole("button", { name: "Kill worker" }));
    },
  ],
])("why it was not scaled is told until there is %s", async (_, happens) => {
  const problem = { type: "about:blank", title: "Conflict", status: 409, detail: "somebody else scales it" };
  const now = { ...answers, "POST /api/workers/scale": { status: 409, body: problem } };
  stubApi(now);
  await renderPage(<WorkerPanel />);
  await userEvent.click(await screen.findByRole("button", { name: "Scale" }));
  expect(await screen.findByText("somebody else scales it")).toBeVisible();
  now["GET /api/v1/fleet"] = { body: aFleet({ desired: 4, members: [...members] }) };
  await happens();
  expect(await screen.findByText(/^2 of . online, 1 draining$/)).toBeVisible();
  expect(screen.queryByText("somebody else scales it")).toBeNull();
});
