import { Search, X } from "lucide-react";
import { useEffect, useEffectEvent, useState } from "react";
import { cn } from "@/lib/cn";
import { TASK_STATUSES, type TaskStatus } from "@/services/tasks";
import { useWorkers } from "@/services/workers";
import { statusLabel, StatusIcon } from "./status-badge";
import { Button } from "./ui/button";
import { Input, Select } from "./ui/input";

export type Filters = { status: readonly TaskStatus[]; worker: string | undefined; q: string | undefined };

type TaskFiltersProps = { filters: Filters; onChange: (filters: Filters) => void };

const SEARCH_AFTER_MS = 250;

/** What narrows the list of tasks: status chips, a worker, a part of the command. */
export function TaskFilters({ filters, onChange }: TaskFiltersProps) {
  const filtered = filters.status.length > 0 || filters.worker !== undefined || filters.q !== undefined;
  const toggle = (status: TaskStatus) => {
    const without = filters.status.filter((each) => each !== status);
    const next = without.length < filters.status.length ? without : [...filters.status, status];
    // In the order of life, so that the same filter always has the same address.
    onChange({ ...filters, status: TASK_STATUSES.filter((each) => next.includes(each)) });
  };
  return (
    <div className="flex flex-wrap items-center gap-2 border-b px-3 py-2.5">
      <div role="group" aria-label="Status" className="flex flex-wrap gap-1">
        {TASK_STATUSES.map((status) => {
          const on = filters.status.includes(status);
          return (
            <button
              key={status}
              type="button"
              aria-pressed={on}
              onClick={() => {
                toggle(status);
              }}
              className={cn(
                "inline-flex h-7 items-center gap-1.5 rounded-full border px-2.5 text-xs font-medium transition-colors",
                on
                  ? "border-foreground/25 bg-foreground/8 text-foreground"
                  : "border-border text-muted hover:bg-hover hover:text-foreground",
              )}
            >
              <StatusIcon status={status} className="size-3" />
              {statusLabel(status)}
            </button>
          );
        })}
      </div>
      <div className="flex min-w-0 flex-1 items-center justify-end gap-2 max-md:basis-full">
        <SearchBox
          value={filters.q ?? ""}
          onChange={(q) => {
            onChange({ ...filters, q: q === "" ? undefined : q });
          }}
        />
        <WorkerSelect
          value={filters.worker}
          onChange={(worker) => {
            onChange({ ...filters, worker });
          }}
        />
        {filtered && (
          <Button
            variant="ghost"
            size="icon"
            aria-label="Clear filters"
            title="Clear filters"
            onClick={() => {
              onChange({ status: [], worker: undefined, q: undefined });
            }}
          >
            <X aria-hidden />
          </Button>
        )}
      </div>
    </div>
  );
}

/** Searches shortly after the last key, not at each. */
function SearchBox({ value, onChange }: { value: string; onChange: (value: string) => void }) {
  const [text, setText] = useState(value);
  const [known, setKnown] = useState(value);
  const [sent, setSent] = useState(value);
  if (known !== value) {
    setKnown(value);
    // Back, forward and "clear" change the address from outside; our own search must not eat what was typed since.
    if (value !== sent) {
      setSent(value);
      setText(value);
    }
  }
  const search = useEffectEvent(onChange);
  useEffect(() => {
    const wanted = text.trim();
    if (wanted === sent) return;
    const timer = window.setTimeout(() => {
      setSent(wanted);
      search(wanted);
    }, SEARCH_AFTER_MS);
    return () => {
      window.clearTimeout(timer);
    };
  }, [text, sent]);

  return (
    <div className="relative min-w-0 flex-1 md:max-w-64">
      <Search
        aria-hidden
        className="pointer-events-none absolute top-1/2 left-2.5 size-3.5 -translate-y-1/2 text-muted"
      />
      <Input
        type="search"
        aria-label="Search commands"
        placeholder="Search commands"
        value={text}
        onChange={(event) => {
          setText(event.target.value);
        }}
        className="pl-8"
      />
    </div>
  );
}

function WorkerSelect({
  value,
  onChange,
}: {
  value: string | undefined;
  onChange: (worker?: string) => void;
}) {
  const workers = useWorkers();
  const known = workers.data?.workers.map((worker) => worker.name) ?? [];
  const choices = value === undefined || known.includes(value) ? known : [value, ...known];
  return (
    <Select
      aria-label="Worker"
      value={value ?? ""}
      onChange={(event) => {
        onChange(event.target.value === "" ? undefined : event.target.value);
      }}
      className="w-36 shrink-0"
    >
      <option value="">All workers</option>
      {choices.map((name) => (
        <option key={name} value={name}>
          {name}
        </option>
      ))}
    </Select>
  );
}
