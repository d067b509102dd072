// The live view: one event stream for the whole application. Events say what changed; what it changed to is
// fetched again, at most about three times a second. Without the stream the pages poll.

import type { QueryClient } from "@tanstack/react-query";
import { useSyncExternalStore } from "react";
import { coalesce } from "./coalesce";
import { isRecord, openStream } from "./event-source";
import { address } from "./http";
import { taskTopic, topicOf } from "./keys";

export type Connection = "connecting" | "live" | "reconnecting";

const REFETCH_EVERY_MS = 333;
const POLL_EVERY_MS = 5_000;
/** A hidden page gives its connection back: a browser has only six for each server, for all its tabs together. */
const HIDDEN_CLOSE_MS = 5_000;
/** Time for the page's first requests to be answered, so that what changed meanwhile is fetched after them. */
const FIRST_ANSWERS_MS = 500;

let connection: Connection = "connecting";
const listeners = new Set<() => void>();

function setConnection(next: Connection): void {
  if (next === connection) return;
  connection = next;
  for (const each of listeners) each();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useConnection(): Connection {
  return useSyncExternalStore(subscribe, () => connection);
}

/** The refetch interval of every query: none while the stream is live. */
export function usePolling(): number | false {
  return useConnection() === "reconnecting" ? POLL_EVERY_MS : false;
}

/** Follows the events for as long as the application lives. Returns how to stop. */
export function startLive(client: QueryClient): () => void {
  const changed = coalesce<string>(REFETCH_EVERY_MS, (topics) =>
    client.invalidateQueries({
      predicate: ({ queryKey }) => topics.has("everything") || topics.has(topicOf(queryKey)),
    }),
  );
  const onOpen = (first: boolean) => {
    setConnection("live");
    // What happened while there was no stream is not told again.
    window.setTimeout(changed, first ? FIRST_ANSWERS_MS : 0, "everything");
  };

  let opened = false;
  let close: (() => void) | undefined;
  const connect = () => {
    close = openStream(address("/api/v1/events"), {
      onOpen: () => {
        onOpen(!opened);
        opened = true;
      },
      onLost: () => {
        setConnection("reconnecting");
      },
      onEvent: {
        tasks: (data) => {
          changed("stats");
          changed("task-lists");
          // What workers run, and how many slots that takes.
          changed("workers");
          for (const id of changedTasks(data)) changed(taskTopic(id));
        },
        workers: () => {
          changed("workers");
          changed("fleet");
          changed("audit");
        },
        resync: () => {
          setConnection("live");
          changed("everything");
        },
        live: () => {
          setConnection("live");
        },
        // The stream stands, but the server has lost RabbitMQ and hears of nothing.
        lost: () => {
          setConnection("reconnecting");
        },
      },
    });
  };
  const disconnect = () => {
    close?.();
    close = undefined;
  };

  let hiddenTimer: number | undefined;
  const onVisibility = () => {
    window.clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = window.setTimeout(disconnect, HIDDEN_CLOSE_MS);
    else if (close === undefined) connect();
  };

  connect();
  document.addEventListener("visibilitychange", onVisibility);
  return () => {
    document.removeEventListener("visibilitychange", onVisibility);
    window.clearTimeout(hiddenTimer);
    disconnect();
  };
}

/** The ids in a `tasks` event. */
function changedTasks(data: unknown): string[] {
  const tasks = isRecord(data) && Array.isArray(data.tasks) ? (data.tasks as unknown[]) : [];
  return tasks.flatMap((task) => (isRecord(task) && typeof task.id === "string" ? [task.id] : []));
}
