import { ArrowDownToLine, ExternalLink } from "lucide-react";
import { memo, useLayoutEffect, useRef, useState } from "react";
import { cn } from "@/lib/cn";
import type { Block } from "@/lib/output-buffer";
import { outputAddress, useOutput, type OutputState } from "@/services/output";
import { Button } from "./ui/button";
import { CardHeader } from "./ui/card";

type TaskOutputProps = { id: string; attempt: number; latest: boolean };

/** An attempt's output as it is written. Mount it with a key of the run. */
export function TaskOutput({ id, attempt, latest }: TaskOutputProps) {
  const output = useOutput(id, attempt);
  return (
    <>
      <CardHeader title="Output" aside={remark(output, latest ? undefined : attempt)}>
        <Button asChild variant="ghost" size="sm">
          <a href={outputAddress(id, attempt)} target="_blank" rel="noreferrer">
            <ExternalLink aria-hidden />
            Raw
          </a>
        </Button>
      </CardHeader>
      <OutputLog output={output} />
    </>
  );
}

function remark(output: OutputState, attempt: number | undefined): string {
  const states: Record<OutputState["state"], string> = {
    connecting: "opening…",
    following: "following",
    reconnecting: "connection lost, reconnecting…",
    ended: `${output.lines} ${output.lines === 1 ? "line" : "lines"}`,
  };
  return attempt === undefined ? states[output.state] : `attempt ${attempt}, ${states[output.state]}`;
}

/** The lines. It follows the newest one until the reader scrolls up, and again from the bottom on. */
export function OutputLog({ output }: { output: OutputState }) {
  const log = useRef<HTMLDivElement>(null);
  const [follows, setFollows] = useState(true);
  const toEnd = () => {
    const element = log.current;
    if (element !== null) element.scrollTop = element.scrollHeight;
  };

  useLayoutEffect(() => {
    if (follows) toEnd();
  }, [output, follows]);

  return (
    <div className="relative">
      <div
        ref={log}
        role="log"
        aria-label="Output"
        // A screen reader must not read a thousand lines a second; the log is there to be walked through.
        aria-live="off"
        tabIndex={0}
        onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
          setFollows(scrollHeight - scrollTop - clientHeight < 24);
        }}
        className="max-h-[min(26rem,60dvh)] min-h-32 overflow-auto rounded-b-lg bg-sunken py-2 font-mono text-xs leading-5 -outline-offset-2"
      >
        {output.dropped > 0 && (
          <p className="px-4 text-muted italic">
            {output.dropped} earlier lines are not shown; “Raw” has them.
          </p>
        )}
        {output.blocks.map((block) => (
          <OutputBlock key={block.id} block={block} />
        ))}
        {output.lines === 0 && (
          <p className="px-4 font-sans text-muted">
            {output.state === "ended" ? "It wrote nothing." : "Nothing written yet."}
          </p>
        )}
      </div>
      {!follows && (
        <Button
          size="sm"
          className="absolute right-4 bottom-3 shadow-md"
          onClick={() => {
            setFollows(true);
            toEnd();
          }}
        >
          <ArrowDownToLine aria-hidden />
          Follow
        </Button>
      )}
    </div>
  );
}

// A full block never changes again, so following a chatty task draws only the last one.
const OutputBlock = memo(function OutputBlock({ block }: { block: Block }) {
  return block.lines.map((line, index) => (
    <div
      key={index}
      data-stream={line.stream}
      title={line.stream === "stderr" ? "Standard error" : undefined}
      className={cn(
        "min-h-5 border-l-2 border-transparent px-3.5 break-words whitespace-pre-wrap",
        line.stream === "stderr" && "border-draining bg-draining/8",
        line.stream === "note" && "text-muted italic",
      )}
    >
      {line.text}
    </div>
  ));
});
