import type { ComponentProps } from "react";
import { cn } from "@/lib/cn";

const control =
  "w-full min-w-0 rounded-md border border-border-strong/70 bg-surface text-foreground shadow-2xs transition-colors placeholder:text-muted/70 hover:border-border-strong focus-visible:border-ring focus-visible:outline-2 focus-visible:outline-offset-0 focus-visible:outline-ring/35 disabled:opacity-50 aria-invalid:border-failed aria-invalid:outline-failed/30";

export function Input({ className, ...props }: ComponentProps<"input">) {
  return <input {...props} className={cn(control, "h-8 px-2.5 text-sm", className)} />;
}

export function Textarea({ className, ...props }: ComponentProps<"textarea">) {
  return <textarea {...props} className={cn(control, "px-2.5 py-2 text-sm", className)} />;
}

/** The browser's own select: as accessible as it gets, also on a phone. */
export function Select({ className, ...props }: ComponentProps<"select">) {
  return <select {...props} className={cn(control, "h-8 px-2 text-sm", className)} />;
}
