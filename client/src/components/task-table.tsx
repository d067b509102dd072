import { Link } from "@tanstack/react-router";
import { useNow } from "@/lib/clock";
import { cn } from "@/lib/cn";
import { runDuration } from "@/lib/lifecycle";
import { formatDuration, formatElapsed } from "@/lib/time";
import type { Task } from "@/services/tasks";
import { RelativeTime } from "./relative-time";
import { StatusBadge } from "./status-badge";
import { Skeleton } from "./ui/skeleton";

const ROW = "h-10 border-b last:border-b-0";

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
    <table
      aria-label="Tasks"
      aria-busy={tasks === undefined || stale}
      className={cn("w-full table-fixed text-left transition-opacity", stale && "opacity-55")}
    >
      <thead>
        <tr className="h-8 border-b text-xs text-muted [&>th]:px-2 [&>th]:font-medium">
          <th scope="col" className="w-30 pl-3! sm:w-32 sm:pl-4!">
            Status
          </th>
          <th scope="col">Command</th>
          <th scope="col" className="hidden w-32 md:table-cell">
            Worker
          </th>
          <th scope="col" className="w-20 pr-3! text-right sm:w-24 md:text-left">
            When
          </th>
          <th scope="col" className="hidden w-24 pr-4! text-right md:table-cell">
            Duration
          </th>
        </tr>
      </thead>
      <tbody>
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
      data-testid="task-row"
      data-task={task.id}
      className={cn(ROW, "relative transition-colors focus-within:bg-hover hover:bg-hover [&>td]:px-2")}
    >
      <td className="pl-3! sm:pl-4!">
        <StatusBadge status={task.status} />
      </td>
      <td>
        <Link
          to="/tasks/$id"
          params={{ id: task.id }}
          title={task.command}
          className="block truncate font-mono text-xs -outline-offset-2 after:absolute after:inset-0"
        >
          {task.command}
        </Link>
      </td>
      <td className="hidden truncate text-muted md:table-cell">{task.assigned_worker_name ?? "–"}</td>
      <td className="truncate pr-3! text-right text-muted md:text-left">
        <When task={task} />
      </td>
      <td className="hidden pr-4! text-right text-muted md:table-cell">
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
    <tr className={cn(ROW, "[&>td]:px-2")}>
      <td className="pl-3! sm:pl-4!">
        <Skeleton className="h-4 w-20 rounded-full" />
      </td>
      <td>
        <Skeleton className="h-3.5 w-3/5" />
      </td>
      <td className="hidden md:table-cell">
        <Skeleton className="h-3.5 w-16" />
      </td>
      <td className="pr-3!">
        <Skeleton className="h-3.5 w-12 max-md:ml-auto" />
      </td>
      <td className="hidden pr-4! md:table-cell">
        <Skeleton className="ml-auto h-3.5 w-10" />
      </td>
    </tr>
  );
}
