import { Link } from "@tanstack/react-router";
import { cn } from "@/lib/cn";
import { isOnline, type Worker } from "@/services/workers";
import { KillWorker } from "./kill-worker";
import { RelativeTime } from "./relative-time";
import { SlotsBar } from "./slots-bar";
import { StatusBadge } from "./status-badge";

type WorkerRowProps = { worker: Worker; canKill: boolean };

/** One worker: what it is, what it does, what it has done. */
export function WorkerRow({ worker, canKill }: WorkerRowProps) {
  const online = isOnline(worker);
  return (
    <li
      data-testid="worker-row"
      data-worker={worker.name}
      data-status={worker.status}
      data-pid={worker.pid ?? undefined}
      className={cn("border-b px-4 py-2 last:border-b-0", !online && "text-muted")}
    >
      <div className="flex h-7 items-center gap-2">
        <Link
          to="/tasks"
          search={{ worker: worker.name }}
          title={describe(worker)}
          className="truncate font-medium hover:underline"
        >
          {worker.name}
        </Link>
        <StatusBadge status={worker.status} />
        <span className="ml-auto">
          {online && canKill && <KillWorker name={worker.name} running={worker.running} />}
        </span>
      </div>
      <div className="flex min-h-5 flex-wrap items-center gap-x-3 text-xs text-muted">
        {online && <SlotsBar slots={worker.slots} running={worker.running} assigned={worker.assigned} />}
        <CurrentTasks ids={worker.current_task_ids} />
        <span className="ml-auto flex items-center gap-x-3 tabular-nums">
          <span title={`${worker.tasks_completed} completed, ${worker.tasks_failed} failed`}>
            <span aria-hidden>✓</span> {worker.tasks_completed}
            <span className="sr-only"> completed</span>
            <span className={cn("ml-2", worker.tasks_failed > 0 && "text-failed")}>
              <span aria-hidden>✕</span> {worker.tasks_failed}
              <span className="sr-only"> failed</span>
            </span>
          </span>
          <RelativeTime past at={worker.last_active_at} className="w-16 text-right" />
        </span>
      </div>
    </li>
  );
}

function CurrentTasks({ ids }: { ids: readonly string[] }) {
  const [first, ...others] = ids;
  if (first === undefined) return null;
  return (
    <span className="whitespace-nowrap">
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

function describe(worker: Worker): string {
  const parts = [
    worker.host != null && `on ${worker.host}`,
    worker.pid != null && `pid ${worker.pid}`,
    worker.version != null && `version ${worker.version}`,
  ].filter((part) => part !== false);
  return [worker.name, ...parts].join(", ");
}
