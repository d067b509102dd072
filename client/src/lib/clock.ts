// The time as the server sees it. Every stored time is the database's, so a browser whose clock is off would
// otherwise show tasks that ran for a negative time.

import { useCallback, useSyncExternalStore } from "react";

let offsetMs = 0;

/** Learns the server's clock from the `Date` header of an answer, which has whole seconds only. */
export function noteServerDate(header: string | null): void {
  const server = header === null ? NaN : Date.parse(header);
  if (Number.isNaN(server)) return;
  const apart = server + 500 - Date.now();
  // Under two seconds the header's resolution and the network explain it.
  offsetMs = Math.abs(apart) > 2_000 ? apart : 0;
}

/** Milliseconds since the epoch, on the server's clock. */
export function serverNow(): number {
  return Date.now() + offsetMs;
}

type Ticker = { now: number; listeners: Set<() => void>; timer: number | undefined };
const tickers = new Map<number, Ticker>();

function subscribe(everyMs: number, listener: () => void): () => void {
  const ticker = tickers.get(everyMs) ?? { now: serverNow(), listeners: new Set(), timer: undefined };
  tickers.set(everyMs, ticker);
  ticker.listeners.add(listener);
  if (ticker.timer === undefined) {
    ticker.now = serverNow();
    ticker.timer = window.setInterval(() => {
      ticker.now = serverNow();
      for (const each of ticker.listeners) each();
    }, everyMs);
  }
  return () => {
    ticker.listeners.delete(listener);
    if (ticker.listeners.size > 0) return;
    window.clearInterval(ticker.timer);
    tickers.delete(everyMs);
  };
}

/** The server's time, again every `everyMs`; everyone who asks for the same rhythm shares one timer. */
export function useNow(everyMs = 1_000): number {
  const join = useCallback((listener: () => void) => subscribe(everyMs, listener), [everyMs]);
  return useSyncExternalStore(
    join,
    () => tickers.get(everyMs)?.now ?? Math.floor(serverNow() / everyMs) * everyMs,
  );
}
