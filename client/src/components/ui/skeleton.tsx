import { cn } from "@/lib/cn";

/** The shape of what is loading. */
export function Skeleton({ className }: { className?: string }) {
  return <span aria-hidden className={cn("block animate-pulse rounded bg-foreground/8", className)} />;
}
