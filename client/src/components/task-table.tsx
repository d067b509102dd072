import { Link } from "@tanstack/react-router";
import { useNow } from "@/lib/clock";
import { cn } from "@/lib/cn";
import { runDuration } from "@/lib/lifecycle";
import { formatDuration, formatElapsed } from "@/lib/time";
import type { Task } from "@/services/tasks";
import { RelativeTime } from "./relative-time";
import { StatusBadge } from "./status-badge";
import { Skeleton } from "./ui/skeleton";

// In a narrow window a row is two lines: the command, and below it everything else.
const ROW =
  "relative border-b last:border-b-0 md:h-10 max-md:grid max-md:grid-cols-[auto_minmax(0,1fr)_auto] max-md:items-center max-md:gap-x-2 max-md:gap-y-1.5 max-md:px-3 max-md:py-2.5 md:[&>td]:px-2 md:[&>td:first-child]:pl-4 md:[&>td:last-child]:pr-4";
const COMMAND = "max-md:order-first max-md:col-span-3";

type TaskTableProps = {
  tasks: readonly Task[] | undefined;
  /** How many rows to keep room for while loading. */
  placeholders: number;
  /** The rows shown are those of another page or filter. */
  stale?: boolean;
};

/** Tasks as rows; the whole row leads to the task. */
export function TaskTable({ tasks, placeholders, stale = false }: TaskTableProps) {
  return (
    // The roles are written out because a table laid out as a grid loses them.
    <table
      role="table"
      aria-label="Tasks"
      aria-busy={tasks === undefined || stale}
      className={cn("w-full table-fixed text-left transition-opacity max-md:block", stale && "opacity-55")}
    >
      <thead role="rowgroup" className="max-md:sr-only">
        <tr role="row" className="h-8 border-b text-xs text-muted [&>th]:px-2 [&>th]:font-medium">
          <th role="columnheader" scope="col" className="w-32 pl-4!">
            Status
          </th>
          <th role="columnheader" scope="col">
            Command
          </th>
          <th role="columnheader" scope="col" className="w-28">
            Worker
          </th>
          <th role="columnheader" scope="col" className="w-24">
            When
          </th>
          <th role="columnheader" scope="col" className="w-24 pr-4! text-right">
            Duration
          </th>
        </tr>
      </thead>
      <tbody role="rowgroup" className="max-md:block">
        {tasks === undefined
          ? Array.from({ length: placeholders }, (_, index) => <PlaceholderRow key={index} />)
          : tasks.map((task) => <TaskRow key={task.id} task={task} />)}
      </tbody>
    </table>
  );
}

function TaskRow({ task }: { task: Task }) {
  return (
    <tr
      role="row"
      data-testid="task-row"
      data-task={task.id}
      className={cn(ROW, "transition-colors focus-within:bg-hover hover:bg-hover")}
    >
      <td role="cell">
        <StatusBadge status={task.status} />
      </td>
      <td role="cell" className={COMMAND}>
        <Link
          to="/tasks/$id"
          params={{ id: task.id }}
          title={task.command}
          className="block truncate font-mono text-xs -outline-offset-2 after:absolute after:inset-0"
        >
          {task.command}
        </Link>
      </td>
      <td role="cell" className="truncate text-muted">
        {task.assigned_worker_name ?? <span className="max-md:hidden">–</span>}
      </td>
      <td role="cell" className="truncate text-muted">
        <When task={task} />
      </td>
      <td role="cell" className="text-right text-muted max-md:hidden">
        <TaskDuration task={task} />
      </td>
    </tr>
  );
}

/** The time that matters most now: when it is due, started, or ended. */
function When({ task }: { task: Task }) {
  if (task.status === "scheduled") return <RelativeTime at={task.scheduled_at} />;
  return <RelativeTime past at={task.finished_at ?? task.started_at ?? task.picked_at ?? task.created_at} />;
}

function TaskDuration({ task }: { task: Task }) {
  if (task.status === "running" && task.started_at != null) return <RunningFor task={task} />;
  const ms = runDuration(task, 0);
  return <>{ms === undefined ? "–" : formatDuration(ms)}</>;
}

function RunningFor({ task }: { task: Task }) {
  const now = useNow();
  return <span className="text-running">{formatElapsed(runDuration(task, now) ?? 0)}</span>;
}

function PlaceholderRow() {
  return (
    <tr role="row" className={ROW}>
      <td role="cell">
        <Skeleton className="h-5 w-20 rounded-full" />
      </td>
      <td role="cell" className={COMMAND}>
        <Skeleton className="h-4 w-3/5" />
      </td>
      <td role="cell">
        <Skeleton className="h-3.5 w-16" />
      </td>
      <td role="cell">
        <Skeleton className="h-3.5 w-12" />
      </td>
      <td role="cell" className="max-md:hidden">
        <Skeleton className="ml-auto h-3.5 w-10" />
      </td>
    </tr>
  );
}
