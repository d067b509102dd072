import { useId, type ReactNode } from "react";
import { cn } from "@/lib/cn";

/** What the control of a field must carry, so that its label, hint and error belong to it. */
export type FieldControl = {
  id: string;
  "aria-describedby": string | undefined;
  "aria-invalid": boolean | undefined;
};

type FieldProps = {
  label: string;
  hint?: ReactNode;
  error?: string;
  className?: string;
  children: (control: FieldControl) => ReactNode;
};

export function Field({ label, hint, error, className, children }: FieldProps) {
  const id = useId();
  const noteId = `${id}-note`;
  const note = error ?? hint;
  return (
    <div className={cn("min-w-0", className)}>
      <label htmlFor={id} className="mb-1.5 block text-sm font-medium">
        {label}
      </label>
      {children({
        id,
        "aria-describedby": note === undefined ? undefined : noteId,
        "aria-invalid": error === undefined ? undefined : true,
      })}
      {/* The line is always there, so that an error moves nothing. */}
      <p
        id={noteId}
        role={error === undefined ? undefined : "alert"}
        className={cn("mt-1 min-h-4 text-xs", error === undefined ? "text-muted" : "text-failed")}
      >
        {note}
      </p>
    </div>
  );
}
