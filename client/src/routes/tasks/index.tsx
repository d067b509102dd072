import { createFileRoute, Link, useLocation } from "@tanstack/react-router";
import { ChevronLeft, ChevronRight, ChevronsLeft, Plus, SearchX } from "lucide-react";
import { EmptyState } from "@/components/empty-state";
import { NoTasks } from "@/components/no-tasks";
import { PageHeader } from "@/components/page-header";
import { ProblemAlert } from "@/components/problem-alert";
import { TaskFilters, type Filters } from "@/components/task-filters";
import { TaskTable } from "@/components/task-table";
import { Button } from "@/components/ui/button";
import { Card } from "@/components/ui/card";
import { text, type RawSearch } from "@/lib/search-params";
import { isTaskStatus, TASK_STATUSES, useTasks, type TaskStatus } from "@/services/tasks";

type TasksSearch = { status?: string; worker?: string; q?: string; cursor?: string };

export const Route = createFileRoute("/tasks/")({
  component: TasksPage,
  validateSearch: (raw: RawSearch): TasksSearch => ({
    status: statuses(text(raw, "status")).join(",") || undefined,
    worker: text(raw, "worker"),
    q: text(raw, "q"),
    cursor: text(raw, "cursor"),
  }),
});

/** The statuses that a parameter names, in the order of life; what is none is dropped. */
function statuses(list: string | undefined): TaskStatus[] {
  const named = new Set(list?.split(",").filter(isTaskStatus));
  return TASK_STATUSES.filter((status) => named.has(status));
}

const PAGE = 50;

function TasksPage() {
  const search = Route.useSearch();
  const navigate = Route.useNavigate();
  const filters: Filters = { status: statuses(search.status), worker: search.worker, q: search.q };
  const filtered = filters.status.length > 0 || filters.worker !== undefined || filters.q !== undefined;
  const tasks = useTasks({
    status: [...filters.status],
    worker: filters.worker,
    q: filters.q,
    cursor: search.cursor,
    limit: PAGE,
  });
  const rows = tasks.data?.tasks;

  return (
    <>
      <PageHeader title="Tasks">
        <Button asChild variant="primary">
          <Link to="/schedule">
            <Plus aria-hidden />
            New task
          </Link>
        </Button>
      </PageHeader>
      <Card>
        <TaskFilters
          filters={filters}
          onChange={({ status, worker, q }) => {
            // Another filter starts at its newest task.
            void navigate({
              search: { status: status.join(",") || undefined, worker, q },
              replace: q !== filters.q && filters.q !== undefined,
            });
          }}
        />
        {tasks.error !== null && (rows === undefined || tasks.isPlaceholderData) ? (
          <ProblemAlert
            error={tasks.error}
            onRetry={() => void tasks.refetch()}
            retrying={tasks.isFetching}
            className="m-3"
          />
        ) : rows?.length === 0 && tasks.data?.next_cursor != null ? (
          <NoMatchYet />
        ) : rows?.length === 0 && (filtered || search.cursor === undefined) ? (
          filtered ? (
            <NoMatch />
          ) : (
            <NoTasks />
          )
        ) : (
          <TaskTable tasks={rows} placeholders={15} stale={tasks.isPlaceholderData} />
        )}
        <Paging count={rows?.length ?? 0} next={tasks.data?.next_cursor ?? undefined} />
      </Card>
    </>
  );
}

/** The API looks through a stretch of the history at a time. */
function NoMatchYet() {
  return (
    <EmptyState icon={SearchX} title="No match so far">
      <p>None of the tasks in this stretch of the history matches. Older ones may.</p>
    </EmptyState>
  );
}

function NoMatch() {
  return (
    <EmptyState icon={SearchX} title="No task matches">
      <p>Nothing has this status, worker and command together.</p>
      <Button asChild>
        <Link to="/tasks" search={{}}>
          Show all tasks
        </Link>
      </Button>
    </EmptyState>
  );
}

function counted(first: boolean, count: number, next: string | undefined) {
  if (!first) return `${count} tasks${next === undefined ? ", the oldest" : ""}`;
  return next !== undefined && count < PAGE ? `${count} so far` : `Newest ${count}`;
}

/** Older and newer. The cursors of the pages on the way stand in the history's state, not in the address. */
function Paging({ count, next }: { count: number; next: string | undefined }) {
  const { cursor } = Route.useSearch();
  const trail = useLocation({ select: (location) => location.state.trail }) ?? [];
  const first = cursor === undefined;
  if (first && next === undefined) return null;
  return (
    <nav aria-label="Pages" className="flex items-center justify-between gap-2 border-t px-3 py-2">
      <span className="text-xs text-muted tabular-nums">{counted(first, count, next)}</span>
      <span className="flex gap-1.5">
        {!first && (
          <>
            <Button asChild size="sm">
              <Link from={Route.fullPath} search={(old) => ({ ...old, cursor: undefined })}>
                <ChevronsLeft aria-hidden />
                Newest
              </Link>
            </Button>
            <Button asChild size="sm">
              <Link
                from={Route.fullPath}
                search={(old) => ({ ...old, cursor: trail.at(-1) })}
                state={{ trail: trail.slice(0, -1) }}
              >
                <ChevronLeft aria-hidden />
                Newer
              </Link>
            </Button>
          </>
        )}
        {next !== undefined && (
          <Button asChild size="sm">
            <Link
              from={Route.fullPath}
              search={(old) => ({ ...old, cursor: next })}
              state={{ trail: first ? [] : [...trail, cursor] }}
            >
              Older
              <ChevronRight aria-hidden />
            </Link>
          </Button>
        )}
      </span>
    </nav>
  );
}
