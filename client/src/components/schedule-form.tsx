import { useRef, useState, type FormEvent } from "react";
import { useNow } from "@/lib/clock";
import { newIdempotencyKey } from "@/lib/idempotency-key";
import {
  errorsFrom,
  toSubmission,
  type Draft,
  type DraftErrors,
  type DraftField,
  type When,
} from "@/lib/schedule-draft";
import { formatExact, formatRelative, toLocalInput, zoneName } from "@/lib/time";
import { useSubmitTask, type Task } from "@/services/tasks";
import { ProblemAlert } from "./problem-alert";
import { Button } from "./ui/button";
import { Card } from "./ui/card";
import { Field } from "./ui/field";
import { Input, Textarea } from "./ui/input";
import { Segmented } from "./ui/segmented";

const WHENS = [
  { value: "now", label: "Now" },
  { value: "at", label: "At a time" },
  { value: "in", label: "In some minutes" },
] as const satisfies readonly { value: When; label: string }[];

type ScheduleFormProps = { initial: Draft; onScheduled: (task: Task) => void };

export function ScheduleForm({ initial, onScheduled }: ScheduleFormProps) {
  const [draft, setDraft] = useState(initial);
  const [errors, setErrors] = useState<DraftErrors>({});
  // A refusal that the fields do not tell in full is told above the button.
  const [unplaced, setUnplaced] = useState<Error | null>(null);
  const form = useRef<HTMLFormElement>(null);
  // What was sent and not answered with success: sent once more as it is, it may be there already.
  const open = useRef<{ content: string; key: string }>(null);
  const submit = useSubmitTask();

  const set = (change: Partial<Draft>) => {
    setDraft({ ...draft, ...change });
    // A field's error goes when the field is touched, not before.
    setErrors(Object.fromEntries(Object.entries(errors).filter(([field]) => !(field in change))));
  };
  const refuse = (found: DraftErrors) => {
    setErrors(found);
    const first = Object.keys(found)[0];
    form.current?.querySelector<HTMLElement>(`[name="${first}"]`)?.focus();
  };
  const onSubmit = (event: FormEvent) => {
    event.preventDefault();
    if (submit.isPending) return;
    const result = toSubmission(draft);
    if ("errors" in result) {
      refuse(result.errors);
      return;
    }
    setErrors({});
    setUnplaced(null);
    const content = JSON.stringify(result.task);
    if (open.current?.content !== content) open.current = { content, key: newIdempotencyKey() };
    const submission = { task: result.task, idempotencyKey: open.current.key };
    submit.mutate(submission, {
      onSuccess: (task) => {
        // The same once more is meant to be another task.
        open.current = null;
        onScheduled(task);
      },
      onError: (error) => {
        const refusal = errorsFrom(error, draft.when);
        setUnplaced(refusal.complete ? null : error);
        refuse(refusal.errors);
      },
    });
  };

  return (
    <Card>
      <form ref={form} onSubmit={onSubmit} noValidate aria-label="Schedule a task">
        <div className="space-y-3 p-4 sm:p-5">
          <Field
            label="Command"
            hint="Run by /bin/sh -c on a worker. Ctrl+Enter schedules it."
            error={errors.command}
          >
            {(control) => (
              <Textarea
                {...control}
                name={"command" satisfies DraftField}
                value={draft.command}
                onChange={(event) => {
                  set({ command: event.target.value });
                }}
                onKeyDown={(event) => {
                  if (event.key === "Enter" && (event.ctrlKey || event.metaKey))
                    form.current?.requestSubmit();
                }}
                rows={Math.min(14, Math.max(4, draft.command.split("\n").length + 1))}
                placeholder="process-data --input file.csv"
                autoFocus
                required
                spellCheck={false}
                autoCapitalize="off"
                autoComplete="off"
                className="resize-y font-mono text-sm"
              />
            )}
          </Field>
          <WhenFields draft={draft} errors={errors} set={set} />
          <div className="grid gap-x-4 gap-y-3 sm:grid-cols-3">
            <Field label="Priority" hint="-100 to 100, higher first" error={errors.priority}>
              {(control) => (
                <Input
                  {...control}
                  name={"priority" satisfies DraftField}
                  type="number"
                  min={-100}
                  max={100}
                  step={1}
                  value={draft.priority}
                  onChange={(event) => {
                    set({ priority: event.target.value });
                  }}
                />
              )}
            </Field>
            <Field label="Time limit (seconds)" hint="Empty: no limit" error={errors.timeoutSeconds}>
              {(control) => (
                <Input
                  {...control}
                  name={"timeoutSeconds" satisfies DraftField}
                  type="number"
                  min={1}
                  max={31_536_000}
                  step={1}
                  placeholder="none"
                  value={draft.timeoutSeconds}
                  onChange={(event) => {
                    set({ timeoutSeconds: event.target.value });
                  }}
                />
              )}
            </Field>
            <Field label="Attempts" hint="1: runs at most once" error={errors.maxAttempts}>
              {(control) => (
                <Input
                  {...control}
                  name={"maxAttempts" satisfies DraftField}
                  type="number"
                  min={1}
                  max={100}
                  step={1}
                  value={draft.maxAttempts}
                  onChange={(event) => {
                    set({ maxAttempts: event.target.value });
                  }}
                />
              )}
            </Field>
          </div>
          <Carried draft={draft} set={set} />
          {unplaced !== null && <ProblemAlert error={unplaced} />}
        </div>
        <div className="flex items-center justify-end gap-2 rounded-b-lg border-t bg-sunken px-4 py-3 sm:px-5">
          <Button type="submit" variant="primary" pending={submit.isPending}>
            Schedule task
          </Button>
        </div>
      </form>
    </Card>
  );
}

type PartProps = { draft: Draft; errors: DraftErrors; set: (change: Partial<Draft>) => void };

function WhenFields({ draft, errors, set }: PartProps) {
  const now = useNow();
  return (
    <div className="grid gap-x-4 gap-y-3 sm:grid-cols-[auto_minmax(0,1fr)]">
      <div>
        <p className="mb-1.5 text-sm font-medium" aria-hidden>
          When
        </p>
        <Segmented
          label="When"
          value={draft.when}
          options={WHENS}
          onChange={(when) => {
            // A sensible start: the next full quarter of an hour.
            const at = draft.at === "" ? toLocalInput((Math.floor(now / 900_000) + 1) * 900_000) : draft.at;
            set({ when, at });
          }}
        />
        <p className="mt-1 min-h-4 text-xs text-muted">
          {draft.when === "now" && "As soon as a worker has a free slot."}
        </p>
      </div>
      {draft.when === "at" && (
        <Field label="Date and time" hint={atHint(draft.at, now)} error={errors.at}>
          {(control) => (
            <Input
              {...control}
              name={"at" satisfies DraftField}
              type="datetime-local"
              value={draft.at}
              onChange={(event) => {
                set({ at: event.target.value });
              }}
            />
          )}
        </Field>
      )}
      {draft.when === "in" && (
        <Field label="Minutes" hint={inHint(draft.minutes, now)} error={errors.minutes}>
          {(control) => (
            <Input
              {...control}
              name={"minutes" satisfies DraftField}
              type="number"
              min={0}
              step="any"
              value={draft.minutes}
              onChange={(event) => {
                set({ minutes: event.target.value });
              }}
            />
          )}
        </Field>
      )}
    </div>
  );
}

function atHint(local: string, now: number): string {
  const at = Date.parse(local);
  if (Number.isNaN(at)) return `Your time zone: ${zoneName(now)}`;
  const past = at < now ? ", which is past: it starts at once" : "";
  return `${zoneName(at)} · ${formatRelative(at, now)}${past}`;
}

function inHint(minutes: string, now: number): string {
  const span = Number(minutes) * 60_000;
  if (!Number.isFinite(span) || span < 0 || now + span > 8e15) return "";
  return formatExact(Math.round((now + span) / 1_000) * 1_000).replace(/[.,]000/, "");
}

/** What is taken over from the task that is run again. */
function Carried({ draft, set }: Omit<PartProps, "errors">) {
  const names = Object.keys(draft.carried.env ?? {});
  const { executor } = draft.carried;
  if (names.length === 0 && executor == null) return null;
  return (
    <p className="flex flex-wrap items-center gap-x-2 text-xs text-muted">
      <span>
        Taken over:{" "}
        {[executor != null && `executor ${executor}`, names.length > 0 && `environment ${names.join(", ")}`]
          .filter((part) => part !== false)
          .join("; ")}
      </span>
      <Button
        variant="ghost"
        size="sm"
        onClick={() => {
          set({ carried: {} });
        }}
      >
        Leave out
      </Button>
    </p>
  );
}
