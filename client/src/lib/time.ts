// How times and durations are written. Pure: the caller brings the time.

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

/** A duration in its two largest units: `240 ms`, `2.1 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`. */
export function formatDuration(ms: number): string {
  const span = Math.max(0, ms);
  if (span < SECOND) return `${Math.round(span)} ms`;
  if (span < 10 * SECOND) return `${(span / SECOND).toFixed(1)} s`;
  if (span < MINUTE) return `${Math.floor(span / SECOND)} s`;
  if (span < HOUR) return pair(span, MINUTE, "min", SECOND, "s");
  if (span < DAY) return pair(span, HOUR, "h", MINUTE, "min");
  return pair(span, DAY, "d", HOUR, "h");
}

/** A duration that is still growing, in whole seconds, so that it ticks instead of flickering. */
export function formatElapsed(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / SECOND));
  return seconds < 60 ? `${seconds} s` : formatDuration(seconds * SECOND);
}

function pair(span: number, large: number, largeName: string, small: number, smallName: string): string {
  const whole = Math.floor(span / large);
  const rest = Math.floor((span % large) / small);
  return rest === 0 ? `${whole} ${largeName}` : `${whole} ${largeName} ${rest} ${smallName}`;
}

/** A moment as seen from `now`: `just now`, `12 s ago`, `in 5 min`, `3 d ago`. */
export function formatRelative(at: number, now: number): string {
  const apart = Math.abs(at - now);
  if (apart < SECOND) return "just now";
  const text =
    apart < MINUTE
      ? `${Math.floor(apart / SECOND)} s`
      : apart < HOUR
        ? `${Math.floor(apart / MINUTE)} min`
        : apart < DAY
          ? `${Math.floor(apart / HOUR)} h`
          : `${Math.floor(apart / DAY)} d`;
  return at > now ? `in ${text}` : `${text} ago`;
}

const exact = new Intl.DateTimeFormat(undefined, {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  fractionalSecondDigits: 3,
  hourCycle: "h23",
  timeZoneName: "short",
});

/** The exact moment in the reader's zone, for a title. */
export function formatExact(at: number): string {
  return exact.format(at);
}

const clock = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const dayAndClock = new Intl.DateTimeFormat(undefined, {
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

/** The time of day, with the date unless it is today's. */
export function formatClock(at: number, now: number): string {
  const sameDay = new Date(at).toDateString() === new Date(now).toDateString();
  return (sameDay ? clock : dayAndClock).format(at);
}

/** What a `datetime-local` field holds for a moment, in the reader's zone: `2026-01-23T10:00`. */
export function toLocalInput(at: number): string {
  const moment = new Date(at - new Date(at).getTimezoneOffset() * MINUTE);
  return moment.toISOString().slice(0, 16);
}

/** The reader's zone at a moment, as `Europe/Berlin, GMT+1`. */
export function zoneName(at: number): string {
  const zone = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  const short = new Intl.DateTimeFormat("en", { timeZoneName: "shortOffset" })
    .formatToParts(at)
    .find((part) => part.type === "timeZoneName")?.value;
  return short === undefined || short === zone ? zone : `${zone}, ${short}`;
}
