import { LoaderCircle, Minus, Plus } from "lucide-react";
import { useEffect, useEffectEvent, useId, useState, type FormEvent } from "react";
import type { Fleet } from "@/services/fleet";
import { ProblemError, type Schemas } from "@/services/http";
import { useScale } from "@/services/workers";
import { Button } from "./ui/button";
import { Input } from "./ui/input";

type ScaleControlProps = {
  fleet: Fleet;
  /** Workers of the fleet that are there and will stay. */
  staying: number;
  draining: number;
};

/** Grows and shrinks the fleet, and shows how far that has come. */
export function ScaleControl({ fleet, staying, draining }: ScaleControlProps) {
  const id = useId();
  const scale = useScale();
  const [edited, setEdited] = useState<string>();
  const wanted = fleet.desired ?? staying;
  const text = edited ?? String(wanted);
  const count = Number(text);
  const valid = /^\d+$/.test(text) && count >= fleet.min && count <= fleet.max;
  const away = !fleet.available;

  const forget = () => {
    if (!scale.isPending) scale.reset();
  };
  // What came of the last scaling says nothing of a fleet that has changed since.
  const outlive = useEffectEvent(forget);
  useEffect(() => {
    outlive();
  }, [fleet.desired, fleet.available]);

  const edit = (next: string) => {
    forget();
    setEdited(next);
  };
  const step = (by: number) => {
    const from = valid ? count : wanted;
    edit(String(Math.min(fleet.max, Math.max(fleet.min, from + by))));
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (!valid || away || scale.isPending) return;
    scale.mutate(count, {
      onSuccess: () => {
        setEdited(undefined);
      },
    });
  };

  return (
    <form onSubmit={submit} noValidate aria-label="Worker control" className="border-b px-4 py-3">
      <div className="flex items-center gap-2">
        <label htmlFor={id} className="text-sm text-muted">
          Workers
        </label>
        <div className="flex">
          <Button
            size="icon"
            aria-label="One worker fewer"
            className="rounded-r-none"
            disabled={away || (valid && count <= fleet.min)}
            onClick={() => {
              step(-1);
            }}
          >
            <Minus aria-hidden />
          </Button>
          <Input
            id={id}
            type="number"
            inputMode="numeric"
            min={fleet.min}
            max={fleet.max}
            value={text}
            disabled={away}
            aria-invalid={valid ? undefined : true}
            aria-describedby={`${id}-note`}
            onChange={(event) => {
              edit(event.target.value);
            }}
            className="z-1 -mx-px w-12 [appearance:textfield] rounded-none px-1 text-center tabular-nums [&::-webkit-inner-spin-button]:appearance-none"
          />
          <Button
            size="icon"
            aria-label="One worker more"
            className="rounded-l-none"
            disabled={away || (valid && count >= fleet.max)}
            onClick={() => {
              step(1);
            }}
          >
            <Plus aria-hidden />
          </Button>
        </div>
        <Button
          type="submit"
          variant={valid && count !== wanted ? "primary" : "outline"}
          disabled={!valid || away}
          pending={scale.isPending}
        >
          Scale
        </Button>
      </div>
      <p
        id={`${id}-note`}
        role="status"
        data-testid="scale-state"
        className="mt-1.5 flex min-h-4 items-center gap-1.5 text-xs"
      >
        <ScaleNote
          problem={
            valid
              ? (refusal(scale.error) ?? failed(scale.data))
              : `Between ${fleet.min} and ${fleet.max} workers.`
          }
          wanted={wanted}
          staying={staying}
          draining={draining}
        />
      </p>
    </form>
  );
}

type ScaleNoteProps = { problem: string | undefined; wanted: number; staying: number; draining: number };

function ScaleNote({ problem, wanted, staying, draining }: ScaleNoteProps) {
  if (problem !== undefined) return <span className="text-failed">{problem}</span>;
  const leaving = draining > 0 ? `, ${draining} draining` : "";
  return (
    <>
      {(staying !== wanted || draining > 0) && (
        <LoaderCircle aria-hidden className="size-3 animate-spin text-draining" />
      )}
      <span className="text-muted tabular-nums">
        {staying} of {wanted} online{leaving}
      </span>
    </>
  );
}

/** The workers that could not be started. */
function failed(result: Schemas["ScaleResult"] | undefined): string | undefined {
  if (result === undefined || result.failed.length === 0) return undefined;
  return result.failed.map(({ name, reason }) => `${name} could not be started: ${reason}`).join("; ");
}

/** The API's own words about why it does not scale. */
function refusal(error: Error | null): string | undefined {
  if (error === null) return undefined;
  const field =
    error instanceof ProblemError ? error.problem.errors?.find((each) => each.field === "count") : undefined;
  return field?.message ?? error.message;
}
