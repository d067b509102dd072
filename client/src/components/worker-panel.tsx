import { ServerOff } from "lucide-react";
import { useState } from "react";
import { useFleet, type Fleet, type FleetMember } from "@/services/fleet";
import { isOnline, useWorkers, type Worker } from "@/services/workers";
import { CommandLine } from "./command-line";
import { EmptyState } from "./empty-state";
import { MemberRow } from "./member-row";
import { QueryProblem } from "./problem-alert";
import { ScaleControl } from "./scale-control";
import { Button } from "./ui/button";
import { Card, CardHeader } from "./ui/card";
import { Skeleton } from "./ui/skeleton";
import { WorkerRow } from "./worker-row";

/** Offline workers stay listed for a while; more of them than this are folded away. */
const OFFLINE_SHOWN = 3;

/** The fleet: its size, and each worker. */
export function WorkerPanel() {
  const workers = useWorkers();
  const fleet = useFleet();
  const all = workers.data?.workers;
  const online = all?.filter(isOnline) ?? [];
  const controlled = fleet.data !== undefined && fleet.data.kind !== "none";

  return (
    <Card>
      <CardHeader title="Fleet" aside={all === undefined ? undefined : capacity(online)} />
      {controlled && <ScaleControl fleet={fleet.data} {...sizesOf(fleet.data, online)} />}
      {fleet.data?.available === false && (
        <p role="alert" className="border-b px-4 py-2.5 text-xs text-failed">
          Cannot change the fleet: {fleet.data.reason}. Workers that run go on.
        </p>
      )}
      {fleet.data?.kind === "none" && (
        <p className="border-b px-4 py-2.5 text-xs text-muted">
          These workers were not started by this TaskMaster, so it cannot scale or kill them, only drain them.
          Start another one with <code className="font-mono text-foreground">taskmaster worker</code>.
        </p>
      )}
      {fleet.isLoading && <div className="h-[4.9375rem] border-b" />}
      <QueryProblem query={fleet} className="m-3" />
      {fleet.data !== undefined && fleet.data.nodes.length > 0 && <NodeList nodes={fleet.data.nodes} />}
      <QueryProblem query={workers} className="m-3" />
      {workers.isLoading && <PlaceholderRows />}
      {all !== undefined && <WorkerList workers={all} fleet={fleet.data} />}
    </Card>
  );
}

/** The machines, and how many workers are to run on each. */
function NodeList({ nodes }: { nodes: Fleet["nodes"] }) {
  return (
    <ul aria-label="Nodes" className="space-y-0.5 border-b px-4 py-2.5 text-xs">
      {nodes.map(({ name, state, availability, workers }) => (
        <li key={name} className="flex gap-2">
          <span className="truncate font-medium">{name}</span>
          <span className={state === "ready" ? "text-muted" : "text-failed"}>
            {state}, {availability}
          </span>
          <span className="ml-auto whitespace-nowrap text-muted tabular-nums">
            {workers === 1 ? "1 worker" : `${workers} workers`}
          </span>
        </li>
      ))}
    </ul>
  );
}

function WorkerList({ workers, fleet }: { workers: readonly Worker[]; fleet: Fleet | undefined }) {
  const [unfolded, setUnfolded] = useState(false);
  const kind = fleet?.kind ?? "none";
  // Swarm starts another one in the place of one that is killed, so the API refuses it.
  const killable = fleet?.available === true && (kind === "processes" || kind === "docker");
  const members = fleet?.members ?? [];
  const online = workers.filter(isOnline).sort(byName);
  const others = members.filter((member) => !online.some((worker) => isThis(worker, member))).sort(byName);
  const offline = workers
    .filter((worker) => !isOnline(worker) && !others.some((member) => isThis(worker, member)))
    .sort((a, b) => b.last_active_at.localeCompare(a.last_active_at));
  const shown = unfolded ? offline : offline.slice(0, OFFLINE_SHOWN);
  return (
    <>
      {online.length === 0 && others.length === 0 && (
        <EmptyState icon={ServerOff} title="No worker is online">
          <p>Tasks wait until one is. Scale the fleet, or start one:</p>
          <CommandLine>taskmaster worker</CommandLine>
        </EmptyState>
      )}
      <ul aria-label="Worker list" tabIndex={0} className="max-h-[36rem] overflow-y-auto">
        {online.map((worker) => (
          <WorkerRow
            key={worker.name}
            worker={worker}
            kind={kind}
            killable={killable}
            member={members.find((member) => isThis(worker, member))}
          />
        ))}
        {others.map((member) => (
          <MemberRow key={`member ${member.name} ${member.host ?? ""}`} member={member} killable={killable} />
        ))}
        {shown.map((worker) => (
          <WorkerRow key={worker.name} worker={worker} kind={kind} killable={killable} />
        ))}
      </ul>
      {offline.length > OFFLINE_SHOWN && (
        <div className="border-t p-1.5 text-center">
          <Button
            variant="ghost"
            size="sm"
            aria-expanded={unfolded}
            onClick={() => {
              setUnfolded(!unfolded);
            }}
          >
            {unfolded ? "Show fewer" : `Show all ${offline.length} offline`}
          </Button>
        </div>
      )}
    </>
  );
}

/** Whether they are one: then one row says what it does. */
function isThis({ name }: Worker, member: FleetMember): boolean {
  return name === member.worker || name === member.name;
}

/** How many of the fleet's workers are there to stay, and how many go. While its engine is away only the workers tell. */
function sizesOf(fleet: Fleet, online: readonly Worker[]): { staying: number; draining: number } {
  const states = fleet.available
    ? fleet.members.map(({ state }) => state)
    : online.map(({ status }) => status);
  const count = (...these: string[]) => states.filter((state) => these.includes(state)).length;
  return { staying: count("online", "idle", "busy"), draining: count("draining") };
}

const names = new Intl.Collator(undefined, { numeric: true });

function byName(a: { name: string }, b: { name: string }): number {
  return names.compare(a.name, b.name);
}

function capacity(online: readonly Worker[]): string {
  const slots = online.reduce((sum, worker) => sum + worker.slots, 0);
  const running = online.reduce((sum, worker) => sum + worker.running, 0);
  return `${running} of ${slots} slots used`;
}

function PlaceholderRows() {
  return Array.from({ length: 3 }, (_, index) => (
    <div key={index} className="h-[4.0625rem] space-y-2 border-b px-4 py-3 last:border-b-0">
      <Skeleton className="h-4 w-40" />
      <Skeleton className="h-3.5 w-full" />
    </div>
  ));
}
