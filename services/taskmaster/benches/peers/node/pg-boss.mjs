// pg-boss with what its documentation has for throughput: jobs inserted and fetched in batches, a fetch at once after a
// full one (`burstWhenBatchFull`), a table of its own for the queue (`partition`); and for latency: LISTEN and NOTIFY.
import pg from "pg";
import { PgBoss } from "pg-boss";

export const threads = 4;

const QUEUE = "no-op";

async function start(options) {
  const boss = new PgBoss({ supervise: false, schedule: false, ...options });
  boss.on("error", (error) => {
    throw error;
  });
  return boss.start();
}

export async function connect(connectionString) {
  const boss = await start({ connectionString });
  await boss.createQueue(QUEUE, { partition: true, notify: true });
  const pool = new pg.Pool({ connectionString, max: 1 });
  return {
    addMany(from, count) {
      const job = (_, index) => ({ data: { job: from + index } });
      return boss.insert(QUEUE, Array.from({ length: count }, job));
    },
    add: (job) => boss.send(QUEUE, { job }),
    analyze: () => pool.query("analyze"),
    async unfinished() {
      const { rows } = await pool.query(
        "select count(*)::int as jobs from pgboss.job where name = $1 and state <> 'completed'",
        [QUEUE],
      );
      return rows[0].jobs;
    },
  };
}

export async function work(connectionString, handle) {
  const boss = await start({ connectionString, useListenNotify: true });
  const options = {
    batchSize: 1000,
    burstWhenBatchFull: true,
    pollingIntervalSeconds: 0.5,
    notifyPollingIntervalSeconds: 0.5,
  };
  await boss.work(QUEUE, options, async (jobs) => {
    for (const { data } of jobs) handle(data.job);
  });
}
