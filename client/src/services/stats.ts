// The statistics resource: how many tasks are in each status.

import { useQuery } from "@tanstack/react-query";
import { get, type Schemas } from "./http";
import { keys } from "./keys";
import { usePolling } from "./live";

export type Stats = Schemas["Stats"];

export function useStats() {
  return useQuery({
    queryKey: keys.stats,
    queryFn: ({ signal }) => get("/api/stats", { signal }),
    refetchInterval: usePolling(),
  });
}
