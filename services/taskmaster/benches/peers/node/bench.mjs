// `bench.mjs PEER drain COUNT|sustained SECONDS|latency COUNT`: one run of a queue system, on the Postgres of DATABASE_URL.
// Prints one line of JSON. What is measured, and why so: ../../bench/peers.rs.
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";

import { Ledger, now } from "./ledger.mjs";

const BATCH = 1000;
const PRODUCERS = 2;
const BACKLOG = 20_000;
const WARM_UP_MS = 3000;
const WARM_UP_JOBS = 50;
const DEADLINE_MS = 300_000;

const [peer, mode, argument] = process.argv.slice(2);
const url = process.env.DATABASE_URL;
const { connect, threads } = await import(`./${peer}.mjs`);
const ledger = new Ledger();
const queue = await connect(url);

/** Starts all workers at one moment, when each has loaded what it needs. */
async function startWorkers() {
  const workerData = { peer, url, memory: ledger.memory };
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL("./worker.mjs", import.meta.url), { workerData }),
  );
  await Promise.all(workers.map((worker) => once(worker, "message")));
  for (const worker of workers) {
    worker.on("error", (error) => {
      throw error;
    });
    worker.postMessage("work");
  }
  return () => Promise.all(workers.map((worker) => once(worker, "message")));
}

/** Until so many jobs were run and all of them are recorded as done; when that was. */
async function untilDone(submitted) {
  const deadline = now() + DEADLINE_MS;
  const check = () => {
    if (now() > deadline) throw new Error(`${ledger.ran} of ${submitted} jobs ran`);
  };
  for (; ledger.ran < submitted; check()) await sleep(1);
  for (; (await queue.unfinished()) > 0; check()) await sleep(2);
  const done = now();
  // Time for a job that should not run again to do so.
  await sleep(300);
  return done;
}

async function drain(count) {
  for (let from = 0; from < count; from += BATCH) {
    await queue.addMany(from, Math.min(BATCH, count - from));
  }
  await queue.analyze();
  await startWorkers();
  const done = await untilDone(count);
  return { submitted: count, rate: ((count - 1) * 1000) / (done - ledger.firstAt) };
}

async function sustained(seconds) {
  const working = await startWorkers();
  await working();
  let [taken, submitted, stopped] = [0, 0, false];
  const produce = async () => {
    while (!stopped) {
      if (submitted - ledger.ran > BACKLOG) {
        await sleep(5);
        continue;
      }
      const from = taken;
      taken += BATCH;
      await queue.addMany(from, BATCH);
      submitted += BATCH;
    }
  };
  const producers = Array.from({ length: PRODUCERS }, produce);
  await sleep(WARM_UP_MS);
  const [since, before] = [now(), ledger.ran];
  await sleep(seconds * 1000);
  const rate = ((ledger.ran - before) * 1000) / (now() - since);
  stopped = true;
  await Promise.all(producers);
  await untilDone(submitted);
  return { submitted, rate };
}

async function latency(count) {
  const working = await startWorkers();
  await working();
  const submitted = WARM_UP_JOBS + count;
  const calls = [];
  for (let job = 0; job < submitted; job += 1) {
    calls.push(now());
    await queue.add(job);
    await sleep(17.3);
  }
  await untilDone(submitted);
  const milliseconds = calls.map((called, job) => ledger.startOf(job) - called);
  return { submitted, milliseconds: milliseconds.slice(WARM_UP_JOBS) };
}

const measured = await { drain, sustained, latency }[mode](Number(argument));
const { ran, distinct } = ledger;
console.log(JSON.stringify({ ...measured, ran, distinct }));
process.exit(0);
