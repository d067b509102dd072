// The output resource, followed as it is written.

import { useEffect, useState } from "react";
import { OutputBuffer, type OutputView, type Stream } from "@/lib/output-buffer";
import { isRecord, openStream } from "./event-source";
import { address } from "./http";

export type OutputState = OutputView & { state: "connecting" | "following" | "reconnecting" | "ended" };

const NOTHING: OutputState = { blocks: [], dropped: 0, lines: 0, state: "connecting" };

/** The address of an attempt's whole output as text. */
export function outputAddress(id: string, attempt: number | undefined): string {
  return address("/api/v1/tasks/{id}/output", { path: { id }, query: { attempt } });
}

/** Follows one attempt's output until it ends. Mount it with a key of the run. */
export function useOutput(id: string, attempt: number | undefined): OutputState {
  const [output, setOutput] = useState<OutputState>(NOTHING);

  useEffect(() => {
    const buffer = new OutputBuffer();
    let state: OutputState["state"] = "connecting";
    let frame: number | undefined;
    // However fast it comes, the page is drawn once a frame.
    const draw = () => {
      frame ??= requestAnimationFrame(() => {
        frame = undefined;
        setOutput({ ...buffer.view(), state });
      });
    };
    const become = (next: OutputState["state"]) => {
      state = next;
      draw();
    };

    const close = openStream(
      address("/api/v1/tasks/{id}/output/stream", { path: { id }, query: { attempt } }),
      {
        onOpen: () => {
          become("following");
        },
        onLost: () => {
          become("reconnecting");
        },
        onEvent: {
          output: (data) => {
            if (!isRecord(data) || typeof data.seq !== "number" || typeof data.text !== "string") return;
            if (buffer.append(data.seq, streamOf(data.stream), data.text)) draw();
          },
          end: () => {
            close();
            become("ended");
          },
        },
      },
    );
    return () => {
      close();
      if (frame !== undefined) cancelAnimationFrame(frame);
    };
  }, [id, attempt]);

  return output;
}

function streamOf(value: unknown): Stream {
  return value === "stderr" || value === "note" ? value : "stdout";
}
