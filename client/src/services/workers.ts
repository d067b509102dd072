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
  const client = useQueryClient();
  return useMutation({
    mutationFn: (count: number) => post("/api/workers/scale", { count }),
    onSettled: () =>
      Promise.all([
        client.invalidateQueries({ queryKey: keys.fleet }),
        client.invalidateQueries({ queryKey: keys.workers }),
      ]),
  });
}

export function useDrain() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (name: string) => post("/api/v1/workers/{name}/drain", undefined, { path: { name } }),
    onSettled: () =>
      Promise.all([
        client.invalidateQueries({ queryKey: keys.fleet }),
        client.invalidateQueries({ queryKey: keys.workers }),
      ]),
  });
}

export function useKill() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (name: string) => post("/api/workers/kill", { name }),
    onSettled: () => client.invalidateQueries({ queryKey: keys.workers }),
  });
}
