// The fleet resource: how many workers are wanted, whether TaskMaster can change that, and what each of them does.

import { useQuery } from "@tanstack/react-query";
import { get, type Schemas } from "./http";
import { keys } from "./keys";
import { usePolling } from "./live";

export type Fleet = Schemas["Fleet"];
export type FleetMember = Schemas["FleetMember"];
export type FleetMemberState = Schemas["FleetMemberState"];

/** What a container does until it has signed on, and after it has signed off, is no event. */
const CHANGES_EVERY_MS = 2_000;
/** Nor is what others do: an engine that goes away, a container that is killed, settings that are changed elsewhere. */
const LOOK_EVERY_MS = 5_000;

export function useFleet() {
  const polling = usePolling();
  return useQuery({
    queryKey: keys.fleet,
    queryFn: ({ signal }) => get("/api/v1/fleet", { signal }),
    refetchInterval: ({ state }) =>
      state.data === undefined || isSettled(state.data) ? polling || LOOK_EVERY_MS : CHANGES_EVERY_MS,
  });
}

/** Whether nothing is about to change by itself. */
function isSettled(fleet: Fleet): boolean {
  return fleet.available && fleet.members.every(({ state }) => state === "online" || state === "gone");
}
