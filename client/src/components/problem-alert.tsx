import type { UseQueryResult } from "@tanstack/react-query";
import { CircleAlert } from "lucide-react";
import { cn } from "@/lib/cn";
import { ProblemError } from "@/services/http";
import { Button } from "./ui/button";

type ProblemAlertProps = {
  error: Error;
  onRetry?: () => void;
  retrying?: boolean;
  className?: string;
};

/** What went wrong, in the API's own words, and how to try again. */
export function ProblemAlert({ error, onRetry, retrying = false, className }: ProblemAlertProps) {
  const problem = error instanceof ProblemError ? error.problem : undefined;
  // The detail of a problem with one field is that field's message.
  const unsaid = problem?.errors?.filter(({ message }) => !problem.detail.includes(message)) ?? [];
  return (
    <div
      role="alert"
      className={cn(
        "flex gap-2.5 rounded-md border border-failed/30 bg-failed/6 px-3 py-2.5 text-sm",
        className,
      )}
    >
      <CircleAlert aria-hidden className="mt-0.5 size-4 shrink-0 text-failed" />
      <div className="min-w-0 flex-1">
        <p className="font-medium">{problem?.title ?? "Something went wrong"}</p>
        <p className="mt-0.5 break-words text-muted">{error.message}</p>
        {unsaid.map(({ field, message }) => (
          <p key={`${field} ${message}`} className="mt-0.5 text-muted">
            <code className="font-mono text-foreground">{field}</code>: {message}
          </p>
        ))}
      </div>
      {onRetry !== undefined && (
        <Button size="sm" onClick={onRetry} pending={retrying}>
          Try again
        </Button>
      )}
    </div>
  );
}

type QueryProblemProps = { query: UseQueryResult<unknown>; className?: string };

/** Why there is nothing to show yet; nothing while the query has, or may still get, something. */
export function QueryProblem({ query, className }: QueryProblemProps) {
  if (query.error === null || query.data !== undefined) return null;
  return (
    <ProblemAlert
      error={query.error}
      onRetry={() => void query.refetch()}
      retrying={query.isFetching}
      className={className}
    />
  );
}
