// The audit resource: who changed the fleet, how, and what came of it.

import { useIsMutating, useQuery } from "@tanstack/react-query";
import { get, type Schemas } from "./http";
import { keys } from "./keys";
import { usePolling } from "./live";

export type AuditEntry = Schemas["AuditEntry"];
export type AuditOutcome = Schemas["AuditOutcome"];

/** Steps are no events. */
const STEPS_EVERY_MS = 1_000;

export function useAudit(limit: number) {
  const polling = usePolling();
  const changing = useIsMutating({ mutationKey: keys.fleet }) > 0;
  return useQuery({
    queryKey: keys.auditPage(limit),
    queryFn: ({ signal }) => get("/api/v1/audit", { query: { limit }, signal }),
    placeholderData: (previous) => previous,
    refetchInterval: ({ state }) =>
      changing || state.data?.entries.some(isUnderWay) === true ? STEPS_EVERY_MS : polling,
  });
}

export function isUnderWay(entry: AuditEntry): boolean {
  return entry.finished_at == null;
}

/** What was asked for, in words. */
export function describeEntry({ action, request }: AuditEntry): string {
  const { count, name } = request as { count?: unknown; name?: unknown };
  switch (action) {
    case "fleet.scale":
      return `Scale to ${String(count)}`;
    case "fleet.autoscale":
      return `Autoscale to ${String(count)}`;
    case "fleet.autoscaler":
      return `Set the autoscaler: ${settings(request)}`;
    case "fleet.kill":
      return `Kill ${String(name)}`;
    case "fleet.drain":
      return `Drain ${String(name)}`;
    default:
      return action;
  }
}

/** What was set, `enabled true, max 10`. */
function settings(request: object): string {
  const set = Object.entries(request).filter(([, value]) => value !== null);
  return set.map(([name, value]) => `${name.replaceAll("_", " ")} ${String(value)}`).join(", ");
}

const PROGRESS = ["created", "started", "draining", "stopped", "removed", "failed"];

/** How far it is: how many workers are where, `2 started, 1 draining`. */
export function progress({ steps }: AuditEntry): string {
  const latest = new Map(steps.map(({ name, kind }) => [name, kind]));
  const kinds = [...latest.values()];
  return PROGRESS.map((kind) => [kinds.filter((each) => each === kind).length, kind] as const)
    .filter(([count]) => count > 0)
    .map(([count, kind]) => `${count} ${kind}`)
    .join(", ");
}

/** What failed, worker by worker. */
export function failures({ steps }: AuditEntry): { name: string; reason: string }[] {
  return steps
    .filter(({ kind }) => kind === "failed")
    .map(({ name, reason }) => ({ name, reason: reason ?? "failed" }));
}
