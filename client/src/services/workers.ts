// The workers resource, and the ways to change who works: scale, drain and kill.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { get, post, type Schemas } from "./http";
import { keys } from "./keys";
import { usePolling } from "./live";

export type Worker = Schemas["Worker"];
export type WorkerStatus = Worker["status"];

/** A heartbeat is no event, yet "last seen" must not grow old while a worker is well. */
const HEARTBEATS_EVERY_MS = 10_000;

export function useWorkers() {
  const polling = usePolling();
  return useQuery({
    queryKey: keys.workers,
    queryFn: ({ signal }) => get("/api/v1/workers", { signal }),
    refetchInterval: polling === false ? HEARTBEATS_EVERY_MS : polling,
  });
}

export function isOnline(worker: Worker): boolean {
  return worker.status !== "offline";
}

export function useScale() {
  return useFleetChange((count: number) => post("/api/workers/scale", { count }));
}

export function useDrain() {
  return useFleetChange((name: string) =>
    post("/api/v1/workers/{name}/drain", undefined, { path: { name } }),
  );
}

export function useKill() {
  return useFleetChange((name: string) => post("/api/workers/kill", { name }));
}

/** A change of the fleet: what shows it is fetched again when it is under way, or refused. */
function useFleetChange<Wanted, Answer>(change: (wanted: Wanted) => Promise<Answer>) {
  const client = useQueryClient();
  return useMutation({
    mutationKey: keys.fleet,
    mutationFn: change,
    onSettled: () =>
      Promise.all(
        [keys.fleet, keys.workers, keys.audit].map((queryKey) => client.invalidateQueries({ queryKey })),
      ),
  });
}
