//! What a run prints, kept within a limit: the first half of it as it comes, the last half as a window that moves on.
//!
//! A pure buffer, without I/O: readers push into it, and whoever stores takes out what is to be written and what is
//! to be deleted again. It never holds more than its limit, so a command that prints without end costs no memory and
//! is never made to wait.

use std::collections::VecDeque;

use taskmaster_core::TaskLease;
use taskmaster_store::output::{NewPiece, Stream};

/// The largest piece that is stored.
const PIECE_BYTES: usize = 64 * 1024;

/// While a run prints more than a piece between two takes, its window is stored only every so many takes: what is
/// stored is deleted again as the window moves on, and Postgres has better things to do.
const TAKES_PER_WINDOW: u32 = 25;

/// The output of one run.
#[derive(Debug)]
pub(crate) struct Capture {
    task: TaskLease,
    attempt: i32,
    /// How much of the head is left, in bytes.
    head_left: usize,
    tail_limit: usize,
    next_seq: i32,
    /// Lines that are not complete yet, of standard output and standard error.
    partial: [Vec<u8>; 2],
    /// Pieces of the head that were not taken yet.
    head: Vec<NewPiece>,
    /// The place kept for the remark that says how much was cut.
    note_seq: Option<i32>,
    /// The moving window: pieces that were taken (and stored) are empty and only remembered for their size.
    tail: VecDeque<TailPiece>,
    tail_bytes: usize,
    /// Whether anything was printed since the last take.
    prints: bool,
    /// How often the window was left for a later take.
    left_for_later: u32,
    cut_bytes: u64,
    lost_bytes: u64,
    /// Stored pieces that the window has left behind.
    dropped: Vec<(TaskLease, i32)>,
    last_stderr_line: Vec<u8>,
}

#[derive(Debug)]
struct TailPiece {
    seq: i32,
    stream: Stream,
    bytes: usize,
    /// What is in it, until it was taken.
    data: Option<Vec<u8>>,
}

/// What is to be written, and deleted, in the database.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) pieces: Vec<NewPiece>,
    pub(crate) dropped: Vec<(TaskLease, i32)>,
}

impl Capture {
    /// A capture that keeps at most `limit` bytes.
    pub(crate) fn new(task: TaskLease, attempt: i32, limit: usize) -> Self {
        Self {
            task,
            attempt,
            head_left: limit / 2,
            tail_limit: limit - limit / 2,
            next_seq: 0,
            partial: [Vec::new(), Vec::new()],
            head: Vec::new(),
            note_seq: None,
            tail: VecDeque::new(),
            tail_bytes: 0,
            prints: false,
            left_for_later: 0,
            cut_bytes: 0,
            lost_bytes: 0,
            dropped: Vec::new(),
            last_stderr_line: Vec::new(),
        }
    }

    /// Takes in what was read. Whole lines are kept together, so that the two streams mix line by line.
    pub(crate) fn push(&mut self, stream: Stream, data: &[u8]) {
        self.prints = true;
        let partial = &mut self.partial[usize::from(stream == Stream::Stderr)];
        // Asked first because it is many times faster, where lines are long.
        let whole = if data.contains(&b'\n') {
            data.iter()
                .rposition(|byte| *byte == b'\n')
                .map_or(0, |at| at + 1)
        } else {
            0
        };
        if whole == 0 {
            partial.extend_from_slice(data);
            if partial.len() < PIECE_BYTES {
                return;
            }
            let long_line = std::mem::take(partial);
            self.keep(stream, long_line);
            return;
        }
        let mut lines = std::mem::take(partial);
        lines.extend_from_slice(&data[..whole]);
        partial.extend_from_slice(&data[whole..]);
        self.keep(stream, lines);
    }

    /// The last line of standard error, for the error message of a run that failed.
    pub(crate) fn last_stderr_line(&self) -> String {
        let line = if self.partial[1].is_empty() {
            &self.last_stderr_line
        } else {
            &self.partial[1]
        };
        // Postgres takes no NUL in text.
        let text = String::from_utf8_lossy(line).replace('\0', "");
        text.trim().chars().take(500).collect()
    }

    /// What is to be stored now, lines that are not complete included.
    pub(crate) fn take(&mut self) -> Taken {
        let fresh = |piece: &TailPiece| piece.data.as_ref().map_or(0, Vec::len);
        let hurries = self.prints && self.tail.iter().map(fresh).sum::<usize>() > PIECE_BYTES;
        self.prints = false;
        self.left_for_later = if hurries {
            (self.left_for_later + 1) % TAKES_PER_WINDOW
        } else {
            0
        };
        self.take_with(self.left_for_later == 0)
    }

    fn take_with(&mut self, tail: bool) -> Taken {
        for (stream, i) in [(Stream::Stdout, 0), (Stream::Stderr, 1)] {
            if !self.partial[i].is_empty() {
                let partial = std::mem::take(&mut self.partial[i]);
                self.keep(stream, partial);
            }
        }
        let mut pieces = std::mem::take(&mut self.head);
        for piece in self.tail.iter_mut().filter(|_| tail) {
            if let Some(data) = piece.data.take() {
                pieces.push(NewPiece {
                    task: self.task,
                    attempt: self.attempt,
                    seq: piece.seq,
                    stream: piece.stream,
                    data,
                });
            }
        }
        Taken {
            pieces,
            dropped: std::mem::take(&mut self.dropped),
        }
    }

    /// Notes that so many bytes of what was taken could not be stored; how many they are in all.
    pub(crate) fn lost(&mut self, bytes: u64) -> u64 {
        self.lost_bytes += bytes;
        self.lost_bytes
    }

    /// The rest, and remarks: where output was cut, and how much was lost. Nothing is pushed after this.
    pub(crate) fn finish(&mut self) -> Taken {
        let mut taken = self.take_with(true);
        if let Some(seq) = self.note_seq
            && self.cut_bytes > 0
        {
            let remark = format!("{} bytes of output were cut here", self.cut_bytes);
            taken.pieces.push(self.remark(seq, &remark));
        }
        if self.lost_bytes > 0 {
            let seq = self.seq();
            let remark = lost_remark(self.lost_bytes);
            taken.pieces.push(self.remark(seq, &remark));
        }
        taken
    }

    fn remark(&self, seq: i32, remark: &str) -> NewPiece {
        NewPiece {
            task: self.task,
            attempt: self.attempt,
            seq,
            stream: Stream::Note,
            data: format!("\n[taskmaster: {remark}]\n").into_bytes(),
        }
    }

    fn seq(&mut self) -> i32 {
        let seq = self.next_seq;
        self.next_seq += 1;
        seq
    }

    fn keep(&mut self, stream: Stream, mut data: Vec<u8>) {
        if stream == Stream::Stderr
            && let Some(line) = data
                .split(|byte| *byte == b'\n')
                .rfind(|line| !line.is_empty())
        {
            self.last_stderr_line = line[..line.len().min(2000)].to_vec();
        }
        if self.head_left > 0 {
            let rest = data.split_off(data.len().min(self.head_left));
            self.head_left -= data.len();
            self.keep_head(stream, data);
            data = rest;
        }
        for piece in data.chunks(PIECE_BYTES.min(self.tail_limit.max(1))) {
            self.keep_tail(stream, piece);
        }
    }

    fn keep_head(&mut self, stream: Stream, data: Vec<u8>) {
        match self.head.last_mut() {
            Some(last) if last.stream == stream && last.data.len() + data.len() <= PIECE_BYTES => {
                last.data.extend_from_slice(&data);
            }
            _ => {
                let seq = self.seq();
                self.head.push(NewPiece {
                    task: self.task,
                    attempt: self.attempt,
                    seq,
                    stream,
                    data,
                });
            }
        }
    }

    fn keep_tail(&mut self, stream: Stream, data: &[u8]) {
        if self.note_seq.is_none() {
            self.note_seq = Some(self.seq());
        }
        self.tail_bytes += data.len();
        match self.tail.back_mut() {
            Some(TailPiece {
                stream: of,
                bytes,
                data: Some(last),
                ..
            }) if *of == stream && *bytes + data.len() <= PIECE_BYTES => {
                last.extend_from_slice(data);
                *bytes += data.len();
            }
            _ => {
                let seq = self.seq();
                self.tail.push_back(TailPiece {
                    seq,
                    stream,
                    bytes: data.len(),
                    data: Some(data.to_vec()),
                });
            }
        }
        while self.tail_bytes > self.tail_limit
            && let Some(oldest) = self.tail.pop_front()
        {
            self.tail_bytes -= oldest.bytes;
            self.cut_bytes += oldest.bytes as u64;
            if oldest.data.is_none() {
                self.dropped.push((self.task, oldest.seq));
            }
        }
    }
}

/// What is said of output that could not be stored.
pub(crate) fn lost_remark(bytes: u64) -> String {
    format!("{bytes} bytes of output could not be stored: Postgres had no room for them")
}

#[cfg(test)]
mod tests;
