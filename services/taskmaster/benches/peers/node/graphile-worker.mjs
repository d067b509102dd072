// graphile-worker, as its own performance test has it: perfTest/ of its repository, and "Performance" in its
// documentation: batches of jobs to a worker and of completions back, and 24 jobs at once. Jobs are added by `add_jobs` as
// that test adds them, without having the rows sent back.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";

export const threads = 4;

const TASK = "no_op";
const logger = new Logger(() => () => {});
const preset = {
  worker: {
    concurrentJobs: 24,
    maxPoolSize: 25,
    localQueue: { size: 500 },
    completeJobBatchDelay: 0,
    failJobBatchDelay: 0,
  },
};

export async function connect(connectionString) {
  const utils = await makeWorkerUtils({ connectionString, logger });
  await utils.migrate();
  const pool = new pg.Pool({ connectionString });
  const addJobs = `select 1 from graphile_worker.add_jobs(array(
    select json_populate_recordset(null::graphile_worker.job_spec, $1::json)))`;
  return {
    addMany(from, count) {
      const spec = (_, index) => ({ identifier: TASK, payload: { job: from + index } });
      return pool.query(addJobs, [JSON.stringify(Array.from({ length: count }, spec))]);
    },
    add: (job) => utils.addJob(TASK, { job }),
    analyze: () => pool.query("analyze"),
    async unfinished() {
      const { rows } = await pool.query("select count(*)::int as jobs from graphile_worker.jobs");
      return rows[0].jobs;
    },
  };
}

export async function work(connectionString, handle) {
  const taskList = { [TASK]: async ({ job }) => handle(job) };
  await run({ connectionString, logger, preset, taskList, noHandleSignals: true });
}
