import {
  ArrowRightCircle,
  Ban,
  Circle,
  CircleAlert,
  CircleCheck,
  CircleDashed,
  CircleX,
  Clock,
  Hourglass,
  HeartPulse,
  LoaderCircle,
  PowerOff,
  RotateCw,
  TimerOff,
  Unplug,
  type LucideIcon,
} from "lucide-react";
import { cn } from "@/lib/cn";
import type { AuditOutcome } from "@/services/audit";
import type { FleetMemberState } from "@/services/fleet";
import type { Attempt, TaskStatus } from "@/services/tasks";
import type { WorkerStatus } from "@/services/workers";

export type Status =
  TaskStatus | WorkerStatus | FleetMemberState | Attempt["outcome"] | AuditOutcome | "under_way";

type Look = { label: string; icon: LucideIcon; tone: string; spins?: boolean };

const LOOKS: Record<Status, Look> = {
  scheduled: { label: "Scheduled", icon: Clock, tone: "text-scheduled bg-scheduled/10" },
  assigned: { label: "Assigned", icon: ArrowRightCircle, tone: "text-assigned bg-assigned/10" },
  running: { label: "Running", icon: LoaderCircle, tone: "text-running bg-running/10", spins: true },
  completed: { label: "Completed", icon: CircleCheck, tone: "text-completed bg-completed/10" },
  failed: { label: "Failed", icon: CircleX, tone: "text-failed bg-failed/10" },
  cancelled: { label: "Cancelled", icon: Ban, tone: "text-cancelled bg-cancelled/10" },
  timed_out: { label: "Timed out", icon: TimerOff, tone: "text-failed bg-failed/10" },
  lost: { label: "Lost", icon: Unplug, tone: "text-failed bg-failed/10" },
  idle: { label: "Idle", icon: Circle, tone: "text-completed bg-completed/10" },
  busy: { label: "Busy", icon: LoaderCircle, tone: "text-running bg-running/10", spins: true },
  draining: { label: "Draining", icon: Hourglass, tone: "text-draining bg-draining/10" },
  starting: { label: "Starting", icon: LoaderCircle, tone: "text-assigned bg-assigned/10", spins: true },
  online: { label: "Online", icon: Circle, tone: "text-completed bg-completed/10" },
  unhealthy: { label: "Unhealthy", icon: HeartPulse, tone: "text-failed bg-failed/10" },
  restarting: { label: "Restarting", icon: RotateCw, tone: "text-draining bg-draining/10" },
  gone: { label: "Gone", icon: PowerOff, tone: "text-cancelled bg-cancelled/10" },
  under_way: { label: "Under way", icon: LoaderCircle, tone: "text-running bg-running/10", spins: true },
  done: { label: "Done", icon: CircleCheck, tone: "text-completed bg-completed/10" },
  partial: { label: "Partial", icon: CircleAlert, tone: "text-draining bg-draining/10" },
  refused: { label: "Refused", icon: Ban, tone: "text-cancelled bg-cancelled/10" },
  offline: { label: "Offline", icon: Unplug, tone: "text-cancelled bg-cancelled/10" },
};

// The API may learn a status before this page does.
const UNKNOWN: Omit<Look, "label"> = { icon: CircleDashed, tone: "text-muted bg-foreground/5" };

function lookOf(status: Status): Look {
  return Object.hasOwn(LOOKS, status) ? LOOKS[status] : { ...UNKNOWN, label: status };
}

/** The status as it is written for people. */
export function statusLabel(status: Status): string {
  return lookOf(status).label;
}

/** A status, always as an icon and a word: the colour only repeats what they say. */
export function StatusBadge({ status, className }: { status: Status; className?: string }) {
  const { label, icon: Icon, tone, spins = false } = lookOf(status);
  return (
    <span
      data-testid="status-badge"
      data-status={status}
      className={cn(
        "inline-flex h-5 items-center gap-1 rounded-full px-2 align-middle text-xs font-medium whitespace-nowrap",
        tone,
        className,
      )}
    >
      <Icon
        aria-hidden
        className={cn("size-3 shrink-0", spins && "animate-spin [animation-duration:2.5s]")}
      />
      {label}
    </span>
  );
}

/** The status's icon alone, for where the word stands beside it. */
export function StatusIcon({ status, className }: { status: Status; className?: string }) {
  const { icon: Icon, tone } = lookOf(status);
  return <Icon aria-hidden className={cn("size-3.5 shrink-0", tone, "bg-transparent", className)} />;
}
