import { createFileRoute } from "@tanstack/react-router";
import { PageHeader } from "@/components/page-header";
import { ProblemAlert } from "@/components/problem-alert";
import { ScheduleForm } from "@/components/schedule-form";
import { Skeleton } from "@/components/ui/skeleton";
import { draftFrom, EMPTY_DRAFT } from "@/lib/schedule-draft";
import { text, type RawSearch } from "@/lib/search-params";
import { useTask } from "@/services/tasks";

type ScheduleSearch = {
  /** A command to begin with. */
  command?: string;
  /** A task to run again. */
  from?: string;
};

export const Route = createFileRoute("/schedule")({
  component: SchedulePage,
  validateSearch: (raw: RawSearch): ScheduleSearch => ({
    command: text(raw, "command"),
    from: text(raw, "from"),
  }),
});

function SchedulePage() {
  const { command, from } = Route.useSearch();
  const navigate = Route.useNavigate();
  const source = useTask(from ?? "", from !== undefined);
  const waits = from !== undefined && source.isLoading;
  const initial = source.data === undefined ? EMPTY_DRAFT : draftFrom(source.data);

  return (
    <div className="mx-auto max-w-3xl">
      <PageHeader title="Schedule a task" documentTitle="Schedule" />
      {source.error !== null && <ProblemAlert error={source.error} className="mb-4" />}
      {source.data?.stdin === true && (
        <p role="status" className="mb-4 rounded-md border bg-sunken px-3 py-2 text-sm text-muted">
          The earlier task was given standard input, which is not taken over.
        </p>
      )}
      {waits ? (
        <Skeleton className="h-[30rem] rounded-lg" />
      ) : (
        <ScheduleForm
          // Another prefill starts over.
          key={`${from ?? ""} ${command ?? ""}`}
          initial={command === undefined ? initial : { ...initial, command }}
          onScheduled={(task) => void navigate({ to: "/tasks/$id", params: { id: task.id } })}
        />
      )}
    </div>
  );
}
