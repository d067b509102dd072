import { Link } from "@tanstack/react-router";
import { Info } from "lucide-react";
import type { ReactNode } from "react";
import { useNow } from "@/lib/clock";
import { formatClock, formatElapsed, formatExact } from "@/lib/time";
import { waitingFor, type Waiting } from "@/lib/waiting";
import type { Task } from "@/services/tasks";
import { useWorkers } from "@/services/workers";
import { Elapsed } from "./relative-time";

/** Why the task is not running, if it waits. */
export function WaitingNote({ task }: { task: Task }) {
  const workers = useWorkers();
  const now = useNow();
  const waiting = waitingFor(task, workers.data?.workers, now);
  if (waiting === undefined) return null;
  return (
    <p
      data-testid="waiting"
      data-reason={waiting.reason}
      className="flex items-center gap-2 border-t bg-sunken px-4 py-2 text-sm text-muted last:rounded-b-lg"
    >
      <Info aria-hidden className="size-3.5 shrink-0" />
      <span>{explain(waiting, now)}</span>
    </p>
  );
}

function explain(waiting: Waiting, now: number): ReactNode {
  switch (waiting.reason) {
    case "due":
      return (
        <>
          {waiting.nextAttempt === undefined ? "Due" : `Attempt ${waiting.nextAttempt} is due`} in{" "}
          {formatElapsed(waiting.at - now)}, at{" "}
          <time dateTime={new Date(waiting.at).toISOString()} title={formatExact(waiting.at)}>
            {formatClock(waiting.at, now)}
          </time>
          .
        </>
      );
    case "no-worker":
      return (
        <>
          No worker is online.{" "}
          <Link to="/" className="text-link hover:underline">
            Scale the fleet
          </Link>{" "}
          or start one with <code className="font-mono">taskmaster worker</code>.
        </>
      );
    case "draining":
      return <>Every worker online is draining and takes nothing new.</>;
    case "no-slot":
      return (
        <>
          No free slot: all {waiting.slots} slots of{" "}
          {waiting.workers === 1 ? "the one worker" : `${waiting.workers} workers`} are taken. Tasks of a
          higher priority go first, then the oldest.
        </>
      );
    case "next":
      return <>Due now; the coordinator assigns it next.</>;
    case "starting":
      return <>Sent to {waiting.worker}, which starts it when a slot is free.</>;
    case "stopping":
      return (
        <>
          Cancelling for <Elapsed since={waiting.since} />: the command is being stopped.
        </>
      );
  }
}
