// One worker, in a thread with an event loop of its own as a process would have.
import { parentPort, workerData } from "node:worker_threads";

import { Ledger } from "./ledger.mjs";

const { peer, url, memory } = workerData;
const { work } = await import(`./${peer}.mjs`);
const ledger = new Ledger(memory);
parentPort.once("message", async () => {
  await work(url, (job) => ledger.record(job));
  parentPort.postMessage("working");
});
parentPort.postMessage("loaded");
