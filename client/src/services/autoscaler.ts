// The autoscaler: how it is set, what it foresees, and what it decided.

import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { get, put, type Schemas } from "./http";
import { keys } from "./keys";

export type Autoscaler = Schemas["Fleet"]["autoscaler"];
export type AutoscalerChange = Schemas["AutoscalerChange"];
export type Decision = Schemas["AutoscalerDecision"];
export type FleetForecast = Schemas["FleetForecast"];

/** How long work takes is no event: the figures are asked for as often as the autoscaler itself looks. */
const LOOK_EVERY_MS = 5_000;
/** How many decisions are shown. */
const SHOWN = 6;

export function useForecast(enabled: boolean) {
  return useQuery({
    queryKey: keys.forecast,
    queryFn: ({ signal }) => get("/api/v1/fleet/forecast", { signal }),
    refetchInterval: LOOK_EVERY_MS,
    enabled,
  });
}

export function useDecisions(enabled: boolean) {
  return useQuery({
    queryKey: keys.decisions,
    queryFn: ({ signal }) => get("/api/v1/fleet/decisions", { query: { limit: SHOWN }, signal }),
    refetchInterval: LOOK_EVERY_MS,
    enabled,
  });
}

export function useChangeAutoscaler() {
  const client = useQueryClient();
  return useMutation({
    mutationFn: (autoscaler: AutoscalerChange) => put("/api/v1/fleet", { autoscaler }),
    onSuccess: (fleet) => {
      client.setQueryData(keys.fleet, fleet);
    },
    onSettled: () =>
      Promise.all([
        client.invalidateQueries({ queryKey: keys.fleet }),
        client.invalidateQueries({ queryKey: keys.forecast }),
        client.invalidateQueries({ queryKey: keys.decisions }),
        client.invalidateQueries({ queryKey: keys.audit }),
      ]),
  });
}
