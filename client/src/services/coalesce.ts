/**
 * Turns a burst of calls into few runs: what is named in one turn of the event loop goes together at once, what
 * comes later goes together `everyMs` after that at the earliest, and never before the earlier run has ended. A
 * server slower than the events therefore sees one refetch at a time, and the last change is never missed.
 */
export function coalesce<T>(
  everyMs: number,
  run: (items: ReadonlySet<T>) => Promise<unknown>,
): (item: T) => void {
  let waiting = new Set<T>();
  let busy = false;

  const start = async () => {
    busy = true;
    // One turn, so that the names of one event travel together.
    await Promise.resolve();
    while (waiting.size > 0) {
      const items = waiting;
      waiting = new Set();
      const paced = new Promise((resolve) => setTimeout(resolve, everyMs));
      await Promise.allSettled([run(items), paced]);
    }
    busy = false;
  };

  return (item) => {
    waiting.add(item);
    if (!busy) void start();
  };
}
