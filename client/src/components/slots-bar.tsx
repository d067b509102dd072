import { cn } from "@/lib/cn";

type SlotsBarProps = { slots: number; running: number; assigned: number; className?: string };

/** How many of a worker's slots are used: running ones full, assigned ones (on their way) pale. */
export function SlotsBar({ slots, running, assigned, className }: SlotsBarProps) {
  const share = (count: number) => `${Math.min(100, (count / Math.max(slots, 1)) * 100)}%`;
  const waiting = Math.max(0, Math.min(assigned, slots - running));
  return (
    <span
      className={cn("inline-flex items-center gap-1.5 text-xs text-muted tabular-nums", className)}
      title={`${running} of ${slots} slots running, ${assigned} assigned`}
    >
      <span
        role="meter"
        aria-label="Slots used"
        aria-valuemin={0}
        aria-valuemax={slots}
        aria-valuenow={Math.min(running, slots)}
        className="flex h-1.5 w-14 overflow-hidden rounded-full bg-foreground/10"
      >
        <span className="bg-running transition-[width]" style={{ width: share(running) }} />
        <span className="bg-running/35 transition-[width]" style={{ width: share(waiting) }} />
      </span>
      {running}/{slots}
    </span>
  );
}
