import { useRef, useState } from "react";
import { modeOf, type Mode } from "@/lib/autoscaler-draft";
import { formatDuration } from "@/lib/time";
import {
  useChangeAutoscaler,
  useDecisions,
  useForecast,
  type Autoscaler,
  type Decision,
  type FleetForecast,
} from "@/services/autoscaler";
import { useFleet } from "@/services/fleet";
import { AutoscalerForm } from "./autoscaler-form";
import { ProblemAlert, QueryProblem } from "./problem-alert";
import { RelativeTime } from "./relative-time";
import { Button } from "./ui/button";
import { Card, CardHeader } from "./ui/card";

const MODES: Record<Mode, string> = { off: "off", "dry-run": "dry run", on: "on" };

/** What scales the fleet by itself: how it is set, what it foresees, and why it did what it did. */
export function AutoscalerCard() {
  const fleet = useFleet();
  const controlled = fleet.data !== undefined && fleet.data.kind !== "none";
  // An engine that is away is told with the fleet; what it has is not known then.
  const visible = controlled && fleet.data.available;
  const forecast = useForecast(visible);
  const decisions = useDecisions(controlled);
  const release = useChangeAutoscaler();
  const [editing, setEditing] = useState(false);
  const settings = useRef<HTMLButtonElement>(null);
  if (!controlled) return null;
  const { autoscaler, desired } = fleet.data;

  return (
    <Card aria-label="Autoscaler" data-testid="autoscaler" className="mt-4">
      <CardHeader title="Autoscaler" aside={autoscaler.pinned ? "pinned" : MODES[modeOf(autoscaler)]}>
        <Button
          ref={settings}
          variant="ghost"
          size="sm"
          aria-expanded={editing}
          onClick={() => {
            setEditing(!editing);
          }}
        >
          Settings
        </Button>
      </CardHeader>
      {editing && (
        <AutoscalerForm
          autoscaler={autoscaler}
          onSaved={() => {
            setEditing(false);
            settings.current?.focus();
          }}
        />
      )}
      {autoscaler.pinned && (
        <Pinned
          pending={release.isPending}
          error={release.error}
          onRelease={() => {
            release.mutate(
              { pinned: false },
              {
                onSuccess: () => {
                  settings.current?.focus();
                },
              },
            );
          }}
        />
      )}
      {visible && forecast.data !== undefined && (
        <Outlook forecast={forecast.data} autoscaler={autoscaler} desired={desired ?? undefined} />
      )}
      {visible && <QueryProblem query={forecast} className="m-3" />}
      {decisions.data !== undefined && <Decisions decisions={decisions.data.decisions} />}
      <QueryProblem query={decisions} className="m-3" />
    </Card>
  );
}

type PinnedProps = { pending: boolean; error: Error | null; onRelease: () => void };

/** Somebody has scaled by hand: the way back. */
function Pinned({ pending, error, onRelease }: PinnedProps) {
  return (
    <div className="border-b px-4 py-2.5 text-xs">
      <div className="flex items-center gap-3">
        <p className="text-muted">Somebody scaled by hand. Nothing changes by itself until you release it.</p>
        <Button size="sm" className="ml-auto" pending={pending} onClick={onRelease}>
          Release
        </Button>
      </div>
      {error !== null && <ProblemAlert error={error} className="mt-2" />}
    </div>
  );
}

type OutlookProps = { forecast: FleetForecast; autoscaler: Autoscaler; desired: number | undefined };

/** The forecast as a sentence, and as a table of the sizes that matter. */
function Outlook({ forecast, autoscaler, desired }: OutlookProps) {
  const rows = forecast.forecasts.filter(({ workers }) =>
    [1, autoscaler.min, desired, forecast.needed, autoscaler.max].includes(workers),
  );
  return (
    <div className="border-b px-4 py-2.5">
      <p className="text-sm" data-testid="forecast">
        {forecast.summary}
      </p>
      <table className="mt-2 w-full text-xs tabular-nums" aria-label="Forecast">
        <thead className="text-left text-muted">
          <tr>
            <th className="font-normal">Workers</th>
            <th className="font-normal">Backlog cleared in</th>
            <th className="text-right font-normal">Slots in use</th>
          </tr>
        </thead>
        <tbody>
          {rows.map(({ workers, clears_in_seconds: seconds, utilisation }) => (
            <tr key={workers} className={workers === desired ? "font-medium" : undefined}>
              <td>{workers === desired ? `${workers} (now)` : workers}</td>
              <td>{clears(seconds)}</td>
              <td className="text-right">{Math.round(utilisation * 100)} %</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function clears(seconds: number | null | undefined): string {
  if (seconds == null) return "never";
  if (seconds === 0) return "nothing waits";
  return formatDuration(Math.max(1, Math.round(seconds)) * 1_000);
}

function Decisions({ decisions }: { decisions: readonly Decision[] }) {
  if (decisions.length === 0)
    return <p className="px-4 py-2.5 text-xs text-muted">Nothing was decided yet.</p>;
  return (
    <ul aria-label="Decisions" tabIndex={0} className="max-h-72 overflow-y-auto">
      {decisions.map((decision) => (
        <li
          key={decision.id}
          data-testid="decision"
          data-kind={decision.kind}
          className="border-b px-4 py-2 text-xs last:border-b-0"
        >
          <p className="flex gap-2">
            <span className="font-medium tabular-nums">{outcome(decision)}</span>
            <RelativeTime at={decision.at} past className="ml-auto shrink-0 text-muted" />
          </p>
          <p className="mt-0.5 text-muted">{decision.reason}</p>
          {decision.error != null && <p className="mt-0.5 text-failed">{decision.error}</p>}
        </li>
      ))}
    </ul>
  );
}

function outcome({ from, to, applied, dry_run: dryRun }: Decision): string {
  if (from === to) return `stays at ${to}`;
  if (applied) return `${from} → ${to}`;
  return dryRun ? `would go ${from} → ${to}` : `${from} → ${to}, not done`;
}
