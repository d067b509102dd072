import { CopyButton } from "./copy-button";

/** A line to paste into a terminal. */
export function CommandLine({ children }: { children: string }) {
  return (
    <div className="flex min-w-0 items-center gap-1 rounded-md border bg-sunken py-0.5 pr-0.5 pl-3 text-left">
      <code className="min-w-0 flex-1 overflow-x-auto py-1 font-mono text-xs whitespace-pre text-foreground">
        {children}
      </code>
      <CopyButton text={children} label="Copy to clipboard" />
    </div>
  );
}
