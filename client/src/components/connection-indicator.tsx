import { cn } from "@/lib/cn";
import { useConnection, type Connection } from "@/services/live";

const LOOKS: Record<Connection, { label: string; title: string; dot: string }> = {
  connecting: { label: "Connecting", title: "Opening the event stream", dot: "bg-muted" },
  live: { label: "Live", title: "Changes appear as they happen", dot: "bg-completed" },
  reconnecting: {
    label: "Reconnecting",
    title: "The event stream is lost; the page refreshes every few seconds until it is back",
    dot: "bg-draining animate-pulse",
  },
};

/** Whether the page is live. */
export function ConnectionIndicator() {
  const connection = useConnection();
  const { label, title, dot } = LOOKS[connection];
  return (
    <span
      role="status"
      data-testid="connection"
      data-connection={connection}
      title={title}
      className="inline-flex items-center gap-1.5 text-xs text-muted"
    >
      <span aria-hidden className={cn("size-1.5 rounded-full", dot)} />
      {/* In the narrow bar the dot speaks alone while all is well. */}
      <span className={cn(connection === "live" && "max-lg:sr-only")}>{label}</span>
    </span>
  );
}
