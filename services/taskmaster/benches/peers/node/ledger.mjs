// Which job was run how often, in memory that all threads share.

const MOST_JOBS = 1 << 24;
const MOST_STARTS = 1 << 14;

/** Milliseconds, on one clock for all threads. */
export const now = () => Number(process.hrtime.bigint()) / 1e6;

export class Ledger {
  constructor(memory = new SharedArrayBuffer(MOST_JOBS + 8 * (MOST_STARTS + 1) + 4)) {
    this.memory = memory;
    this.starts = new Float64Array(memory, 0, MOST_STARTS);
    this.first = new Float64Array(memory, 8 * MOST_STARTS, 1);
    this.calls = new Int32Array(memory, 8 * (MOST_STARTS + 1), 1);
    this.runs = new Uint8Array(memory, 8 * (MOST_STARTS + 1) + 4, MOST_JOBS);
  }

  /** What a handler does first, and all that it does. */
  record(job) {
    if (job < MOST_STARTS) this.starts[job] = now();
    Atomics.add(this.runs, job, 1);
    if (Atomics.add(this.calls, 0, 1) === 0) this.first[0] = now();
  }

  get ran() {
    return Atomics.load(this.calls, 0);
  }

  /** When the first job of all was run. */
  get firstAt() {
    return this.first[0];
  }

  startOf(job) {
    return this.starts[job];
  }

  get distinct() {
    return this.runs.reduce((distinct, runs) => distinct + (runs > 0 ? 1 : 0), 0);
  }
}
