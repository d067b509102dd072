import { useRef, useState } from "react";
import { describeEntry, failures, isUnderWay, progress, useAudit, type AuditEntry } from "@/services/audit";
import { ProblemAlert } from "./problem-alert";
import { RelativeTime } from "./relative-time";
import { StatusBadge } from "./status-badge";
import { Button } from "./ui/button";
import { Card, CardHeader } from "./ui/card";

const NEWEST = 5;
const MORE = 50;

/** Who changed the fleet, how far that is, and what came of it. Nothing, as long as nobody has. */
export function FleetActivity() {
  const [limit, setLimit] = useState(NEWEST);
  const audit = useAudit(limit);
  const list = useRef<HTMLUListElement>(null);
  const entries = audit.data?.entries;
  if (audit.error !== null && entries === undefined) {
    return (
      <ProblemAlert
        error={audit.error}
        onRetry={() => void audit.refetch()}
        retrying={audit.isFetching}
        className="mt-4"
      />
    );
  }
  if (entries === undefined || entries.length === 0) return null;
  return (
    <Card className="mt-4">
      <CardHeader title="Fleet activity" />
      <ul ref={list} tabIndex={0} aria-label="Fleet activity" className="max-h-[30rem] overflow-y-auto">
        {entries.map((entry) => (
          <Activity key={entry.id} entry={entry} />
        ))}
      </ul>
      {limit < MORE && audit.data?.next_cursor != null && (
        <div className="border-t p-1.5 text-center">
          <Button
            variant="ghost"
            size="sm"
            onClick={() => {
              setLimit(MORE);
              // The button goes with it.
              list.current?.focus();
            }}
          >
            Show more
          </Button>
        </div>
      )}
    </Card>
  );
}

function Activity({ entry }: { entry: AuditEntry }) {
  const done = progress(entry);
  const failed = failures(entry);
  const status = isUnderWay(entry) ? "under_way" : (entry.outcome ?? "done");
  return (
    <li
      data-testid="activity"
      data-action={entry.action}
      data-status={status}
      className="border-b px-4 py-2 text-sm last:border-b-0"
    >
      <div className="flex items-center gap-2">
        <span className="truncate font-medium">{describeEntry(entry)}</span>
        <StatusBadge status={status} />
        <RelativeTime past at={entry.at} className="ml-auto text-xs whitespace-nowrap text-muted" />
      </div>
      <p className="mt-0.5 text-xs break-words text-muted">
        {entry.caller}
        {done !== "" && `: ${done}`}
        {entry.reason != null && ` – ${entry.reason}`}
      </p>
      {failed.map(({ name, reason }) => (
        <p key={`${name} ${reason}`} className="mt-0.5 text-xs break-words text-failed">
          {name}: {reason}
        </p>
      ))}
      {entry.error != null && failed.length === 0 && (
        <p className="mt-0.5 text-xs break-words text-failed">{entry.error}</p>
      )}
    </li>
  );
}
