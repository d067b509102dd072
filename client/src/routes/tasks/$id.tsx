import { createFileRoute, Link } from "@tanstack/react-router";
import { ChevronRight, SearchX } from "lucide-react";
import { useState } from "react";
import { AttemptsTable } from "@/components/attempts-table";
import { EmptyState } from "@/components/empty-state";
import { LifecycleTimeline } from "@/components/lifecycle-timeline";
import { ProblemAlert } from "@/components/problem-alert";
import { StatusBadge } from "@/components/status-badge";
import { TaskActions } from "@/components/task-actions";
import { TaskFacts } from "@/components/task-facts";
import { TaskOutput } from "@/components/task-output";
import { Button } from "@/components/ui/button";
import { Card, CardHeader } from "@/components/ui/card";
import { Skeleton } from "@/components/ui/skeleton";
import { WaitingNote } from "@/components/waiting-note";
import { ProblemError } from "@/services/http";
import { useAttempts, useTask, type Task } from "@/services/tasks";

export const Route = createFileRoute("/tasks/$id")({ component: TaskPage });

function TaskPage() {
  const { id } = Route.useParams();
  const task = useTask(id);
  if (task.data !== undefined) return <TaskDetail key={id} task={task.data} />;
  if (task.error === null) return <LoadingTask />;
  if (
    task.error instanceof ProblemError &&
    (task.error.problem.status === 404 || task.error.problem.status === 400)
  ) {
    return <NoSuchTask id={id} />;
  }
  return <ProblemAlert error={task.error} onRetry={() => void task.refetch()} retrying={task.isFetching} />;
}

function TaskDetail({ task }: { task: Task }) {
  const attempts = useAttempts(task.id);
  const started = attempts.data?.attempts.filter((attempt) => attempt.started_at != null) ?? [];
  const latest = started.at(-1);
  // Without a choice the latest attempt is shown, also when a new one begins.
  const [chosen, setChosen] = useState<number>();
  const shown = started.find((attempt) => attempt.attempt === chosen) ?? latest;

  return (
    <>
      <title>{`${task.command.slice(0, 60)} · TaskMaster`}</title>
      <TaskHeader task={task} />
      <div className="grid gap-4 xl:grid-cols-[minmax(0,1fr)_26rem] xl:items-start">
        <div className="min-w-0 space-y-4">
          <Card>
            <CardHeader title="Life cycle" />
            <LifecycleTimeline task={task} />
            <WaitingNote task={task} />
            <LastError task={task} />
          </Card>
          <Card>
            {shown === undefined ? (
              <>
                <CardHeader title="Output" />
                <p className="px-4 py-6 text-center text-muted">
                  It appears here, line by line, when the task runs.
                </p>
              </>
            ) : (
              <TaskOutput
                // A run that was handed back is started again under the same number.
                key={`${shown.attempt} ${shown.started_at}`}
                id={task.id}
                attempt={shown.attempt}
                latest={shown === latest}
              />
            )}
          </Card>
          <Card>
            <CardHeader title="Attempts" aside={`${task.attempt} of ${task.max_attempts} used`} />
            {attempts.error !== null && attempts.data === undefined ? (
              <ProblemAlert error={attempts.error} onRetry={() => void attempts.refetch()} className="m-3" />
            ) : started.length === 0 ? (
              <p className="px-4 py-4 text-center text-muted">Not started yet.</p>
            ) : (
              <AttemptsTable
                attempts={started}
                shown={shown?.attempt}
                onShow={(attempt) => {
                  setChosen(attempt === latest?.attempt ? undefined : attempt);
                }}
              />
            )}
          </Card>
        </div>
        <Card>
          <CardHeader title="Details" />
          <TaskFacts task={task} />
        </Card>
      </div>
    </>
  );
}

/** Why the last attempt failed, also while the next one is awaited. */
function LastError({ task }: { task: Task }) {
  if (task.error_message == null || (task.status !== "failed" && task.status !== "scheduled")) return null;
  return (
    <p
      data-testid="task-error"
      className="rounded-b-lg border-t bg-failed/6 px-4 py-2 font-mono text-xs break-words whitespace-pre-wrap text-failed"
    >
      {task.status === "failed" ? task.error_message : `Last attempt: ${task.error_message}`}
    </p>
  );
}

function TaskHeader({ task }: { task: Task }) {
  return (
    <div data-testid="task-header" className="mb-4">
      <nav aria-label="Breadcrumb" className="mb-2 flex items-center gap-1 text-xs text-muted">
        <Link to="/tasks" className="hover:text-foreground hover:underline">
          All tasks
        </Link>
        <ChevronRight aria-hidden className="size-3" />
        <span className="truncate font-mono">{task.id}</span>
      </nav>
      <div className="flex flex-wrap items-start justify-between gap-x-6 gap-y-3">
        <div className="min-w-0 flex-1 basis-80">
          <StatusBadge status={task.status} />
          <h1
            data-testid="task-command"
            className="mt-1.5 max-h-40 overflow-auto font-mono text-base font-medium break-words whitespace-pre-wrap"
          >
            {task.command}
          </h1>
        </div>
        <TaskActions task={task} />
      </div>
    </div>
  );
}

function LoadingTask() {
  return (
    <div aria-busy role="status" aria-label="Loading the task">
      <Skeleton className="mb-3 h-4 w-64" />
      <Skeleton className="mb-2 h-5 w-24 rounded-full" />
      <Skeleton className="mb-5 h-5 w-96 max-w-full" />
      <div className="grid gap-4 xl:grid-cols-[minmax(0,1fr)_26rem]">
        <div className="space-y-4">
          <Skeleton className="h-44 rounded-lg" />
          <Skeleton className="h-96 rounded-lg" />
        </div>
        <Skeleton className="h-96 rounded-lg" />
      </div>
    </div>
  );
}

function NoSuchTask({ id }: { id: string }) {
  return (
    <>
      <title>Task not found · TaskMaster</title>
      <EmptyState icon={SearchX} title="Task not found" page>
        <p className="break-words">
          There is no task <code className="font-mono text-foreground">{id}</code>. It may be older than the
          history that is kept.
        </p>
        <Button asChild>
          <Link to="/tasks">Show all tasks</Link>
        </Button>
      </EmptyState>
    </>
  );
}
