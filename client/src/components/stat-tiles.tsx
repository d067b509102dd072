import { Link } from "@tanstack/react-router";
import { cn } from "@/lib/cn";
import type { Stats } from "@/services/stats";
import type { TaskStatus } from "@/services/tasks";
import { Skeleton } from "./ui/skeleton";

type Tile = { label: string; count: (stats: Stats) => number; status?: readonly TaskStatus[]; dot: string };

const TILES: readonly Tile[] = [
  { label: "Total", count: (stats) => stats.total_tasks, dot: "bg-foreground/40" },
  {
    label: "Pending",
    count: (stats) => stats.pending_tasks,
    status: ["scheduled", "assigned"],
    dot: "bg-assigned",
  },
  { label: "Running", count: (stats) => stats.running_tasks, status: ["running"], dot: "bg-running" },
  { label: "Completed", count: (stats) => stats.completed_tasks, status: ["completed"], dot: "bg-completed" },
  { label: "Failed", count: (stats) => stats.failed_tasks, status: ["failed"], dot: "bg-failed" },
  { label: "Cancelled", count: (stats) => stats.cancelled_tasks, status: ["cancelled"], dot: "bg-cancelled" },
];

const number = new Intl.NumberFormat();

/** How many tasks are in each status; each number leads to its tasks. */
export function StatTiles({ stats }: { stats: Stats | undefined }) {
  return (
    <ul
      aria-label="Task counts"
      className="grid grid-cols-3 gap-px overflow-hidden rounded-lg border bg-border shadow-2xs sm:grid-cols-6"
    >
      {TILES.map(({ label, count, status, dot }) => (
        <li key={label} className="bg-surface">
          <Link
            to="/tasks"
            search={status === undefined ? {} : { status: status.join(",") }}
            className="block px-3 py-2.5 -outline-offset-2 transition-colors hover:bg-hover sm:px-4"
            data-testid={`count-${label.toLowerCase()}`}
          >
            <span className="flex items-center gap-1.5 text-xs text-muted">
              <span aria-hidden className={cn("size-1.5 rounded-full", dot)} />
              {label}
            </span>
            <span className="mt-0.5 flex h-7 items-center text-xl leading-7 font-semibold tracking-tight tabular-nums">
              {stats === undefined ? <Skeleton className="h-4 w-10" /> : number.format(count(stats))}
            </span>
          </Link>
        </li>
      ))}
    </ul>
  );
}
