// The fleet resource: how many workers are wanted, and whether TaskMaster can change that.

import { useQuery } from "@tanstack/react-query";
import { get, type Schemas } from "./http";
import { keys } from "./keys";
import { usePolling } from "./live";

export type Fleet = Schemas["Fleet"];

export function useFleet() {
  return useQuery({
    queryKey: keys.fleet,
    queryFn: ({ signal }) => get("/api/v1/fleet", { signal }),
    refetchInterval: usePolling(),
  });
}
