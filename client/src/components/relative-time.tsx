import { useNow } from "@/lib/clock";
import { formatElapsed, formatExact, formatRelative } from "@/lib/time";

type RelativeTimeProps = {
  at: string | number;
  /** It certainly has happened: clocks that disagree by a second must not put it into the future. */
  past?: boolean;
  className?: string;
};

/** `12 s ago`, kept true while it is on the page; the exact time is its title. */
export function RelativeTime({ at, past = false, className }: RelativeTimeProps) {
  const now = useNow();
  const time = typeof at === "number" ? at : Date.parse(at);
  return (
    <time dateTime={new Date(time).toISOString()} title={formatExact(time)} className={className}>
      {formatRelative(time, past ? Math.max(now, time) : now)}
    </time>
  );
}

/** How long something has lasted so far, in seconds that tick. */
export function Elapsed({ since }: { since: number }) {
  return <>{formatElapsed(useNow() - since)}</>;
}
