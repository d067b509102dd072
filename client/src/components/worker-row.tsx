import { Link } from "@tanstack/react-router";
import { cn } from "@/lib/cn";
import type { Fleet, FleetMember } from "@/services/fleet";
import { isOnline, type Worker } from "@/services/workers";
import { DrainWorker } from "./drain-worker";
import { KillWorker } from "./kill-worker";
import { RelativeTime } from "./relative-time";
import { SlotsBar } from "./slots-bar";
import { StatusBadge } from "./status-badge";

type WorkerRowProps = {
  worker: Worker;
  /** Who started it. */
  kind: Fleet["kind"];
  /** Whether whoever started it can kill it now. */
  killable: boolean;
  /** What whoever started it sees of it. */
  member?: FleetMember | undefined;
};

/** What whoever started a worker knows of it before its silence tells. */
const TOLD: ReadonlySet<FleetMember["state"]> = new Set(["unhealthy", "restarting", "gone"]);

/** One worker: what it is, what it does, what it has done. */
export function WorkerRow({ worker, kind, killable, member }: WorkerRowProps) {
  const online = isOnline(worker);
  return (
    <li
      data-testid="worker-row"
      data-worker={worker.name}
      data-status={worker.status}
      data-pid={worker.pid}
      className={cn("border-b px-4 py-2 last:border-b-0", !online && "text-muted")}
    >
      <div className="flex h-7 items-center gap-2">
        <Link
          to="/tasks"
          search={{ worker: worker.name }}
          title={describe(worker, member)}
          className="truncate font-medium hover:underline"
        >
          {worker.name}
        </Link>
        <StatusBadge status={worker.status} />
        {member !== undefined && TOLD.has(member.state) && <StatusBadge status={member.state} />}
        {member?.node != null && <span className="truncate text-xs text-muted">on {member.node}</span>}
        <span className="ml-auto flex">
          {!online && <Record worker={worker} />}
          {online && worker.status !== "draining" && (
            <DrainWorker name={worker.name} running={worker.running} kind={kind} />
          )}
          {online && killable && member?.state !== "gone" && (
            <KillWorker name={worker.name} running={worker.running} />
          )}
        </span>
      </div>
      {online && (
        <div className="flex min-h-5 items-center gap-x-3 text-xs">
          <SlotsBar slots={worker.slots} running={worker.running} assigned={worker.assigned} />
          <CurrentTasks ids={worker.current_task_ids} />
          <span className="ml-auto">
            <Record worker={worker} />
          </span>
        </div>
      )}
    </li>
  );
}

/** What a worker has done, and when it was last heard of. */
function Record({ worker }: { worker: Worker }) {
  const { tasks_completed: completed, tasks_failed: failed } = worker;
  return (
    <span className="flex items-center gap-x-2 text-xs whitespace-nowrap text-muted tabular-nums">
      <span title={`${completed} completed`}>
        <span aria-hidden>✓</span> {completed}
        <span className="sr-only"> completed</span>
      </span>
      <span title={`${failed} failed`} className={cn(failed > 0 && "text-failed")}>
        <span aria-hidden>✕</span> {failed}
        <span className="sr-only"> failed</span>
      </span>
      <RelativeTime past at={worker.last_active_at} className="w-16 text-right" />
    </span>
  );
}

function CurrentTasks({ ids }: { ids: readonly string[] }) {
  const [first, ...others] = ids;
  if (first === undefined) return null;
  return (
    <span className="whitespace-nowrap text-muted">
      <Link
        to="/tasks/$id"
        params={{ id: first }}
        title={first}
        className="font-mono text-link hover:underline"
      >
        {shortId(first)}
      </Link>
      {others.length > 0 && ` +${others.length}`}
    </span>
  );
}

/** The end of an id: version 7 ids that were made together begin alike. */
function shortId(id: string): string {
  return `…${id.slice(-6)}`;
}

function describe({ name, host, pid, version }: Worker, member: FleetMember | undefined): string {
  const container = member?.host == null ? "" : `, container ${member.name}`;
  return `${name} on ${host}, pid ${pid}, version ${version}${container}`;
}
