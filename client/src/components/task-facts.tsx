import type { ReactNode } from "react";
import { formatDuration, formatExact } from "@/lib/time";
import type { Task } from "@/services/tasks";
import { Link } from "@tanstack/react-router";
import { CopyButton } from "./copy-button";

/** Every field of a task that the rest of the page does not show better. */
export function TaskFacts({ task }: { task: Task }) {
  return (
    <dl className="divide-y text-sm">
      <Fact name="ID">
        <span className="flex items-center gap-1">
          <code className="min-w-0 truncate font-mono text-xs" title={task.id}>
            {task.id}
          </code>
          <CopyButton text={task.id} label="Copy ID" />
        </span>
      </Fact>
      <Fact name="Worker">
        {task.assigned_worker_name == null ? undefined : (
          <Link to="/tasks" search={{ worker: task.assigned_worker_name }} className="hover:underline">
            {task.assigned_worker_name}
          </Link>
        )}
      </Fact>
      <Fact name="Priority">{task.priority}</Fact>
      <Fact name="Attempt">
        {task.attempt} of {task.max_attempts}
      </Fact>
      <Fact name="Time limit">
        {task.timeout_seconds == null ? "none" : formatDuration(task.timeout_seconds * 1_000)}
      </Fact>
      <Fact name="Executor">{task.executor}</Fact>
      <Fact name="Exit code">{task.exit_code}</Fact>
      <Fact name="Signal">{task.signal}</Fact>
      <Fact name="Created">{exact(task.created_at)}</Fact>
      <Fact name="Scheduled">{exact(task.scheduled_at)}</Fact>
      <Fact name="Picked up">{exact(task.picked_at)}</Fact>
      <Fact name="Started">{exact(task.started_at)}</Fact>
      <Fact name="Completed">{exact(task.completed_at)}</Fact>
      <Fact name="Failed">{exact(task.failed_at)}</Fact>
      <Fact name="Cancel requested">{exact(task.cancel_requested_at)}</Fact>
      <Fact name="Cancelled">{exact(task.cancelled_at)}</Fact>
      <Fact name="Arguments">
        {task.argv == null ? undefined : (
          <code className="font-mono text-xs break-all">{JSON.stringify(task.argv)}</code>
        )}
      </Fact>
      <Fact name="Environment">
        {Object.entries(task.env ?? {}).length === 0
          ? undefined
          : Object.entries(task.env ?? {}).map(([name, value]) => (
              <code key={name} className="block font-mono text-xs break-all">
                {name}={value}
              </code>
            ))}
      </Fact>
      <Fact name="Standard input">{task.stdin ? "given" : undefined}</Fact>
    </dl>
  );
}

/** A name and its value; without a value there is nothing to say. */
function Fact({ name, children }: { name: string; children: ReactNode }) {
  if (children === undefined || children === null) return null;
  return (
    <div className="grid min-h-8 grid-cols-[7.5rem_minmax(0,1fr)] items-center gap-2 px-4 py-1">
      <dt className="text-muted">{name}</dt>
      <dd className="min-w-0 break-words tabular-nums">{children}</dd>
    </div>
  );
}

function exact(time: string | null | undefined): ReactNode {
  return time == null ? undefined : <time dateTime={time}>{formatExact(Date.parse(time))}</time>;
}
