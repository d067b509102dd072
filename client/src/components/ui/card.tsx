import type { ComponentProps, ReactNode } from "react";
import { cn } from "@/lib/cn";

export function Card({ className, ...props }: ComponentProps<"section">) {
  return <section {...props} className={cn("min-w-0 rounded-lg border bg-surface shadow-2xs", className)} />;
}

type CardHeaderProps = { title: ReactNode; aside?: ReactNode; children?: ReactNode };

/** A card's title row: the heading, a quiet remark beside it, and what can be done at the end. */
export function CardHeader({ title, aside, children }: CardHeaderProps) {
  return (
    <div className="flex min-h-11 flex-wrap items-center gap-x-3 gap-y-1.5 border-b px-4 py-1.5">
      <h2 className="text-sm font-semibold">{title}</h2>
      {aside !== undefined && <div className="text-xs text-muted">{aside}</div>}
      {children !== undefined && <div className="ml-auto flex items-center gap-2">{children}</div>}
    </div>
  );
}
