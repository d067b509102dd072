// An EventSource that does not give up. The browser reconnects by itself after a broken connection, but not after
// an answer that is no stream (a 503 while Postgres is away, a proxy's page).

const FIRST_DELAY_MS = 1_000;
const LAST_DELAY_MS = 10_000;

export type Handlers = {
  onOpen: () => void;
  onLost: () => void;
  onEvent: Record<string, (data: unknown) => void>;
};

/** Opens a stream and keeps it open until the returned function is called. */
export function openStream(url: string, handlers: Handlers): () => void {
  let source: EventSource | undefined;
  let timer: number | undefined;
  let delayMs = FIRST_DELAY_MS;

  const connect = () => {
    const opened = new EventSource(url);
    source = opened;
    opened.onopen = () => {
      delayMs = FIRST_DELAY_MS;
      handlers.onOpen();
    };
    opened.onerror = () => {
      handlers.onLost();
      if (opened.readyState !== EventSource.CLOSED) return;
      timer = window.setTimeout(connect, delayMs);
      delayMs = Math.min(delayMs * 2, LAST_DELAY_MS);
    };
    for (const [name, handle] of Object.entries(handlers.onEvent)) {
      opened.addEventListener(name, (event: MessageEvent<string>) => {
        handle(parse(event.data));
      });
    }
  };

  connect();
  return () => {
    window.clearTimeout(timer);
    source?.close();
  };
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return undefined;
  }
}

/** Whether a value is an object, so that its fields may be looked at. */
export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
