import { useNow } from "@/lib/clock";
import { moment } from "@/lib/lifecycle";
import { formatDuration, formatElapsed } from "@/lib/time";
import type { Attempt } from "@/services/tasks";
import { RelativeTime } from "./relative-time";
import { StatusBadge } from "./status-badge";
import { Button } from "./ui/button";

type AttemptsTableProps = {
  attempts: readonly Attempt[];
  /** Whose output is shown. */
  shown: number | undefined;
  onShow: (attempt: number) => void;
};

/** Every start of the task, the latest last. */
export function AttemptsTable({ attempts, shown, onShow }: AttemptsTableProps) {
  return (
    <div className="relative overflow-x-auto">
      <table aria-label="Attempts" className="w-full min-w-[34rem] text-left">
        <thead>
          <tr className="h-8 border-b text-xs text-muted [&>th]:px-2 [&>th]:font-medium">
            <th scope="col" className="w-10 pl-4!">
              #
            </th>
            <th scope="col" className="w-28">
              Outcome
            </th>
            <th scope="col">Worker</th>
            <th scope="col">Started</th>
            <th scope="col">Duration</th>
            <th scope="col">Result</th>
            <th scope="col" className="pr-4!">
              <span className="sr-only">Output</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {attempts.map((attempt) => (
            <tr
              key={attempt.attempt}
              data-testid="attempt-row"
              className="h-9 border-b last:border-b-0 [&>td]:px-2 [&>td]:py-1"
            >
              <td className="pl-4! text-muted">{attempt.attempt}</td>
              <td>
                <StatusBadge status={attempt.outcome} />
              </td>
              <td className="whitespace-nowrap text-muted">{attempt.worker_name ?? "–"}</td>
              <td className="whitespace-nowrap text-muted">
                {attempt.started_at == null ? "–" : <RelativeTime past at={attempt.started_at} />}
              </td>
              <td className="whitespace-nowrap text-muted">
                <AttemptDuration attempt={attempt} />
              </td>
              <td className="max-w-56 truncate text-muted" title={attempt.error_message ?? undefined}>
                {result(attempt)}
              </td>
              <td className="pr-3! text-right">
                <Button
                  variant="ghost"
                  size="sm"
                  aria-label={`${shown === attempt.attempt ? "Shown" : "Output"}: attempt ${attempt.attempt}`}
                  aria-pressed={shown === attempt.attempt}
                  disabled={shown === attempt.attempt}
                  onClick={() => {
                    onShow(attempt.attempt);
                  }}
                >
                  {shown === attempt.attempt ? "Shown" : "Output"}
                </Button>
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function AttemptDuration({ attempt }: { attempt: Attempt }) {
  const now = useNow();
  const started = moment(attempt.started_at);
  if (started === undefined) return <>–</>;
  const finished = moment(attempt.finished_at);
  if (finished !== undefined) return <>{formatDuration(finished - started)}</>;
  return <>{attempt.outcome === "running" ? formatElapsed(now - started) : "–"}</>;
}

function result({ error_message, exit_code, signal }: Attempt): string {
  if (error_message != null) return error_message;
  if (signal != null) return `Signal ${signal}`;
  return exit_code == null ? "–" : `Exit code ${exit_code}`;
}
