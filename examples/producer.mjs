#!/usr/bin/env node
// Submits tasks to TaskMaster over AMQP, with amqplib (`npm ci` in this folder).
//
//     AMQP_URL=amqp://user:password@host:5672/%2f examples/producer.mjs [tasks.jsonl]
//
// Without a file: one message with a single task, and one with an array of tasks. With a file of one task a line: its
// tasks in arrays of 100. The environment: AMQP_URL, and TASKMASTER_PREFIX if the fleet has another prefix than `taskmaster`.
//
// The queue is the coordinator's to declare. A message is safe when RabbitMQ has confirmed it: the coordinator takes it
// off the queue only after it is in Postgres. Each message has an id: however often it comes, by RabbitMQ or because it
// was published again when no confirm came, it is taken in once.

import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { connect } from "amqplib";

const BATCH = 100;
const ONE = { command: "echo 'one task from Node'" };
const SEVERAL = [
  { command: "sha256sum /usr/share/common-licenses/GPL-3", priority: 5 },
  { command: "wc -w /usr/share/common-licenses/Apache-2.0" },
  { command: 'echo "$WHO says hello"', env: { WHO: "amqplib" }, delay_seconds: 1 },
];

/** What to publish: each is one task or an array of them. */
async function bodies(file) {
  if (file === undefined) return [ONE, SEVERAL];
  const lines = (await readFile(file, "utf8")).split("\n").filter((line) => line.trim() !== "");
  const tasks = lines.map((line) => JSON.parse(line));
  return Array.from({ length: Math.ceil(tasks.length / BATCH) }, (_, i) => tasks.slice(i * BATCH, (i + 1) * BATCH));
}

function fail(message) {
  console.error(message);
  process.exitCode = 1;
}

const url = process.env.AMQP_URL ?? "amqp://guest:guest@127.0.0.1:5672/%2f";
const queue = `${process.env.TASKMASTER_PREFIX ?? "taskmaster"}.submissions`;
const toPublish = await bodies(process.argv[2]);

const connection = await connect(url).catch((error) => {
  console.error(`cannot connect to RabbitMQ, check AMQP_URL: ${error.message}`);
  process.exit(1);
});
const channel = await connection.createConfirmChannel();

// RabbitMQ returns what it cannot route before it confirms it.
const returned = new Set();
channel.on("return", (message) => returned.add(message.properties.messageId));

let messages = 0;
let tasks = 0;
await Promise.all(
  toPublish.map(async (body) => {
    const messageId = randomUUID();
    const options = { contentType: "application/json", persistent: true, mandatory: true, messageId };
    try {
      await new Promise((resolve, reject) => {
        channel.publish("", queue, Buffer.from(JSON.stringify(body)), options, (error) =>
          error ? reject(error) : resolve(),
        );
      });
    } catch {
      fail(`RabbitMQ refused a message for ${queue}`);
      return;
    }
    if (returned.has(messageId)) return;
    messages += 1;
    tasks += Array.isArray(body) ? body.length : 1;
  }),
);
if (returned.size > 0) {
  fail(`there is no queue ${queue}: is the coordinator running, and is TASKMASTER_PREFIX the same as its own?`);
}
console.log(`confirmed: ${messages} messages, ${tasks} tasks`);
await connection.close();
