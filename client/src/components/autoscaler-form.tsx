import { useState, type FormEvent } from "react";
import {
  draftOf,
  errorsOf,
  NUMBERS,
  toChange,
  type AutoscalerDraft,
  type AutoscalerErrors,
} from "@/lib/autoscaler-draft";
import { useChangeAutoscaler, type Autoscaler } from "@/services/autoscaler";
import { ProblemAlert } from "./problem-alert";
import { Button } from "./ui/button";
import { Field } from "./ui/field";
import { Input } from "./ui/input";
import { Segmented } from "./ui/segmented";

const MODES = [
  { value: "off", label: "Off" },
  { value: "dry-run", label: "Dry run" },
  { value: "on", label: "On" },
] as const;

type AutoscalerFormProps = { autoscaler: Autoscaler; onSaved: () => void };

/** How the autoscaler is set. */
export function AutoscalerForm({ autoscaler, onSaved }: AutoscalerFormProps) {
  // As it was when the form was opened: what somebody else sets meanwhile stays.
  const [initial] = useState<AutoscalerDraft>(draftOf(autoscaler));
  const [draft, setDraft] = useState<AutoscalerDraft>(initial);
  const [errors, setErrors] = useState<AutoscalerErrors>({});
  const change = useChangeAutoscaler();
  const unplaced = change.error !== null && Object.keys(errorsOf(change.error)).length === 0;

  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (change.isPending) return;
    const result = toChange(draft, initial);
    if ("errors" in result) {
      setErrors(result.errors);
      return;
    }
    setErrors({});
    if (Object.keys(result.change).length === 0) {
      onSaved();
      return;
    }
    change.mutate(result.change, {
      onSuccess: onSaved,
      onError: (error) => {
        setErrors(errorsOf(error));
      },
    });
  };

  return (
    <form onSubmit={submit} noValidate aria-label="Autoscaler settings" className="border-b px-4 py-3">
      <Segmented
        label="Mode"
        value={draft.mode}
        options={MODES}
        onChange={(mode) => {
          setDraft({ ...draft, mode });
        }}
      />
      <div className="mt-3 grid grid-cols-2 gap-x-4 gap-y-1">
        {NUMBERS.map(({ name, label, low, high }) => (
          <Field key={name} label={label} error={errors[name]}>
            {(control) => (
              <Input
                {...control}
                name={name}
                type="number"
                min={low}
                max={high}
                step={1}
                value={draft[name]}
                onChange={(event) => {
                  setDraft({ ...draft, [name]: event.target.value });
                }}
              />
            )}
          </Field>
        ))}
      </div>
      {unplaced && <ProblemAlert error={change.error} />}
      <div className="mt-2 flex justify-end">
        <Button type="submit" variant="primary" pending={change.isPending}>
          Save
        </Button>
      </div>
    </form>
  );
}
