// What a user does in the browser, on a real stack with three workers. The tests are one story, in this order.

import type { Browser, Locator, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { components } from "../src/services/schema";
import { baseUrl, launch, openPage, screenshot } from "./browser";

type Worker = components["schemas"]["Worker"];

const COMMAND = [
  'for n in $(seq 1 200); do echo "row $n"; done',
  'for n in 1 2 3 4 5; do echo "line $n of 5"; sleep 1; done',
  'echo "a warning" >&2',
].join("\n");

let browser: Browser;
let page: Page;
let faults: string[];

beforeAll(async () => {
  browser = await launch();
  ({ page, faults } = await openPage(browser));
});
afterEach(() => {
  expect(faults, "errors in the browser").toEqual([]);
});
afterAll(async () => {
  await browser.close();
});

const nav = (name: string) => page.getByRole("navigation", { name: "Main" }).getByRole("link", { name });
const online = () => page.locator('[data-testid="worker-row"]:not([data-status="offline"])');

async function seen(locator: Locator): Promise<void> {
  await locator.waitFor({ state: "visible" });
}

/** The workers that stay: neither gone nor on their way. */
async function workers(): Promise<Worker[]> {
  const response = await fetch(`${baseUrl()}/api/v1/workers`);
  const { workers: all } = (await response.json()) as components["schemas"]["WorkerList"];
  return all.filter((worker) => worker.status === "idle" || worker.status === "busy");
}

test("the dashboard is live and shows the fleet", async () => {
  await page.goto("/");
  await seen(page.locator('[data-testid="connection"][data-connection="live"]'));
  await seen(page.getByText("3 of 3 online", { exact: true }));
  await seen(online().nth(2));
  expect(await online().count()).toBe(3);
});

test("a task is scheduled in the form and followed to its end, its output read on the page", async () => {
  await nav("Schedule").click();
  await page.getByLabel("Command", { exact: true }).fill(COMMAND);
  await page.getByLabel("Priority", { exact: true }).fill("5");
  await page.getByLabel("Time limit (seconds)", { exact: true }).fill("60");
  await page.getByLabel("Attempts", { exact: true }).fill("2");
  await screenshot(page, "schedule");
  await page.getByRole("button", { name: "Schedule task" }).click();
  await page.waitForURL(/\/tasks\/[0-9a-f-]{36}$/);

  const header = page.getByTestId("task-header");
  const log = page.getByRole("log", { name: "Output" });
  await seen(header.locator('[data-testid="status-badge"][data-status="running"]'));
  // The output comes while the command runs, not when it is over.
  await seen(log.getByText("line 2 of 5", { exact: true }));
  expect(await log.getByText("line 5 of 5", { exact: true }).count()).toBe(0);
  await screenshot(page, "task-running");

  await seen(header.locator('[data-testid="status-badge"][data-status="completed"]'));
  await seen(log.getByText("line 5 of 5", { exact: true }));
  await seen(log.locator('[data-stream="stderr"]', { hasText: "a warning" }));
  expect(await log.locator("[data-stream]").count()).toBe(206);
  for (const status of ["scheduled", "assigned", "running", "completed"]) {
    await seen(page.locator(`[data-testid="lifecycle-step"][data-status="${status}"][data-state="done"]`));
  }
  await seen(page.getByTestId("attempt-row"));
  await screenshot(page, "task");
});

test("the output follows its end until the reader scrolls up", async () => {
  const log = page.getByRole("log", { name: "Output" });
  const follow = page.getByRole("button", { name: "Follow" });
  const fromEnd = () =>
    log.evaluate((element) => element.scrollHeight - element.scrollTop - element.clientHeight);
  expect(await fromEnd()).toBeLessThan(2);
  await log.evaluate((element) => {
    element.scrollTop = 0;
  });
  await seen(follow);
  await follow.click();
  await follow.waitFor({ state: "detached" });
  expect(await fromEnd()).toBeLessThan(2);
});

test("the task stands in the dashboard and in the filtered list", async () => {
  const id = new URL(page.url()).pathname.split("/").at(-1) ?? "";
  const row = page.locator(`[data-testid="task-row"][data-task="${id}"]`);
  await nav("Dashboard").click();
  await seen(row.locator('[data-status="completed"]'));
  await screenshot(page, "dashboard");

  await page.getByTestId("count-completed").click();
  await page.waitForURL(/\/tasks\?status=completed$/);
  await seen(row);
  await page.getByLabel("Search commands").fill("no command has this text");
  await seen(page.getByText("No task matches"));
  await page.getByLabel("Search commands").fill("line $n of 5");
  await seen(row);
  await screenshot(page, "tasks");
});

test("the fleet grows from 3 to 5 and shrinks to 2", async () => {
  await nav("Dashboard").click();
  const count = page.getByLabel("Workers", { exact: true });
  const scale = page.getByRole("button", { name: "Scale", exact: true });

  await count.fill("5");
  await scale.click();
  await seen(page.getByText("5 of 5 online", { exact: true }));
  await seen(online().nth(4));
  expect(await online().count()).toBe(5);
  await screenshot(page, "dashboard-five-workers");

  await count.fill("2");
  await scale.click();
  await seen(page.getByText("2 of 2 online", { exact: true }));
  await online().nth(2).waitFor({ state: "detached" });
  expect(await online().count()).toBe(2);

  const activity = (text: string) =>
    page.locator('[data-testid="activity"][data-status="done"]', { hasText: text });
  await seen(activity("Scale to 5").filter({ hasText: "local operator: 2 started" }));
  await seen(activity("Scale to 2").filter({ hasText: "local operator: 3 removed" }));
});

test("one worker is drained and stays away, until the fleet grows again", async () => {
  const [drained, other] = await workers();
  if (drained === undefined || other === undefined) throw new Error("two workers are not online");
  await page.getByRole("button", { name: `Drain ${drained.name}`, exact: true }).click();
  await screenshot(page, "drain");
  await page.getByRole("button", { name: "Drain worker", exact: true }).click();
  await page.getByRole("alertdialog").waitFor({ state: "detached" });
  await seen(page.getByText("1 of 1 online", { exact: true }));
  await seen(
    page.locator(`[data-testid="worker-row"][data-worker="${drained.name}"][data-status="offline"]`),
  );
  expect((await workers()).map(({ pid }) => pid)).toEqual([other.pid]);

  await page.getByLabel("Workers", { exact: true }).fill("2");
  await page.getByRole("button", { name: "Scale", exact: true }).click();
  await seen(page.getByText("2 of 2 online", { exact: true }));
});

test("one worker is killed, and no other", async () => {
  const before = await workers();
  const victim = before[0];
  if (victim === undefined) throw new Error("no worker is online");
  await page.getByRole("button", { name: `Kill ${victim.name}`, exact: true }).click();
  await screenshot(page, "kill");
  await page.getByRole("button", { name: "Kill worker", exact: true }).click();
  await page.getByRole("alertdialog").waitFor({ state: "detached" });

  // Its process is gone, whether or not the fleet starts another one under its name.
  const row = `[data-testid="worker-row"][data-worker="${victim.name}"]`;
  await page
    .locator(`${row}[data-pid="${victim.pid}"]:not([data-status="offline"])`)
    .waitFor({ state: "detached" });

  const processes = (all: Worker[]) =>
    all.filter((worker) => worker.name !== victim.name).map(({ name, pid }) => `${name} ${pid}`);
  expect(processes(await workers())).toEqual(processes(before));
  for (const { name } of before.slice(1))
    await seen(page.getByRole("button", { name: `Kill ${name}`, exact: true }));
});

test("the fleet scales by itself once that is switched on, and says why", async () => {
  const before = (await workers()).length;
  const card = page.getByTestId("autoscaler");
  await card.getByRole("button", { name: "Settings" }).click();
  await card.getByRole("radio", { name: "On", exact: true }).click();
  await card.getByLabel("Fewest workers").fill(String(before + 1));
  await screenshot(page, "autoscaler-settings");
  await card.getByRole("button", { name: "Save" }).click();
  await seen(
    card.locator('[data-testid="decision"][data-kind="below_min"]', { hasText: `${before} → ${before + 1}` }),
  );
  await seen(page.getByText(`${before + 1} of ${before + 1} online`, { exact: true }));
  await seen(card.getByText("Nothing waits.", { exact: false }));
  await screenshot(page, "autoscaler");

  await page.getByLabel("Workers", { exact: true }).fill(String(before));
  await page.getByRole("button", { name: "Scale", exact: true }).click();
  await card.getByRole("button", { name: "Release" }).click();
  await card.getByRole("button", { name: "Release" }).waitFor({ state: "detached" });
  await card.getByRole("button", { name: "Settings" }).click();
  await card.getByRole("radio", { name: "Off", exact: true }).click();
  await card.getByLabel("Fewest workers").fill("1");
  await card.getByRole("button", { name: "Save" }).click();
  await seen(card.getByText("off", { exact: true }));
});

test("it is readable in the dark and in a narrow window", async () => {
  await page.emulateMedia({ colorScheme: "dark" });
  await seen(page.locator("html.dark"));
  await screenshot(page, "dashboard-dark");
  await page.emulateMedia({ colorScheme: "light" });

  for (const width of [390, 360]) {
    await page.setViewportSize({ width, height: 844 });
    for (const name of ["Dashboard", "Tasks", "Schedule"]) {
      await nav(name).click();
      await seen(page.getByRole("heading", { level: 1 }));
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(overflow, `${name} at ${width} pixels scrolls sideways`).toBeLessThanOrEqual(0);
      await screenshot(page, `${name.toLowerCase()}-${width}`);
    }
  }
});
