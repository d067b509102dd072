// A task's output as lines, bounded, in blocks that never change once full, so that a page that follows a chatty
// task only renders what is new.

import { stripAnsi } from "./ansi";

/** `note` is a remark of the worker's, as where output was cut. */
export type Stream = "stdout" | "stderr" | "note";
export type Line = { stream: Stream; text: string };
export type Block = { id: number; lines: readonly Line[] };
export type OutputView = { blocks: readonly Block[]; dropped: number; lines: number };

const BLOCK_LINES = 100;
const LINE_CHARACTERS = 4_000;

export class OutputBuffer {
  private blocks: Block[] = [{ id: 0, lines: [] }];
  private dropped = 0;
  private total = 0;
  private lastSeq: number | undefined;
  private open: Record<Stream, boolean> = { stdout: false, stderr: false, note: false };

  constructor(private readonly maxLines = 5_000) {}

  /** Adds a piece of output. A piece that came before (the stream was resumed) changes nothing. */
  append(seq: number, stream: Stream, text: string): boolean {
    if (this.lastSeq !== undefined && seq <= this.lastSeq) return false;
    this.lastSeq = seq;
    const pieces = text.split("\n");
    const endsOpen = pieces.at(-1) !== "";
    if (!endsOpen) pieces.pop();
    pieces.forEach((piece, index) => {
      this.addLine(stream, piece, index === 0 && this.open[stream]);
    });
    this.open[stream] = endsOpen;
    this.dropOldest();
    return true;
  }

  view(): OutputView {
    return {
      blocks: this.blocks.filter((block) => block.lines.length > 0),
      dropped: this.dropped,
      lines: this.total,
    };
  }

  private addLine(stream: Stream, raw: string, continues: boolean): void {
    const last = this.blocks[this.blocks.length - 1] ?? { id: 0, lines: [] };
    const previous = last.lines.at(-1);
    if (continues && previous?.stream === stream) {
      const line = { stream, text: shown(previous.text + raw) };
      this.blocks[this.blocks.length - 1] = { id: last.id, lines: [...last.lines.slice(0, -1), line] };
      return;
    }
    const line = { stream, text: shown(raw) };
    this.total += 1;
    if (last.lines.length < BLOCK_LINES) {
      this.blocks[this.blocks.length - 1] = { id: last.id, lines: [...last.lines, line] };
    } else {
      this.blocks.push({ id: last.id + 1, lines: [line] });
    }
  }

  private dropOldest(): void {
    while (this.total - this.dropped > this.maxLines && this.blocks.length > 1) {
      this.dropped += this.blocks.shift()?.lines.length ?? 0;
    }
  }
}

/** What of a line is shown: a progress bar's last state, without escape codes, within reason. */
function shown(raw: string): string {
  const withoutEnd = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
  const text = stripAnsi(withoutEnd.slice(withoutEnd.lastIndexOf("\r") + 1));
  return text.length > LINE_CHARACTERS ? `${text.slice(0, LINE_CHARACTERS)}…` : text;
}
