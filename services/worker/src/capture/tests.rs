//! What is kept of an output, against a plain account of what was printed.

use std::collections::BTreeMap;

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

fn capture(limit: usize) -> Capture {
    Capture::new(
        TaskLease {
            id: Uuid::nil(),
            lease: 1,
        },
        1,
        limit,
    )
}

/// The database's side.
#[derive(Default)]
struct Stored(BTreeMap<i32, (Stream, Vec<u8>)>);

impl Stored {
    fn apply(&mut self, taken: Taken) {
        for piece in taken.pieces {
            assert!(
                self.0
                    .insert(piece.seq, (piece.stream, piece.data))
                    .is_none(),
                "a place is used once"
            );
        }
        for (_, seq) in taken.dropped {
            assert!(
                self.0.remove(&seq).is_some(),
                "only what is stored is deleted"
            );
        }
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.values().flat_map(|(_, data)| data.clone()).collect()).unwrap()
    }

    fn bytes(&self) -> usize {
        self.0
            .values()
            .filter(|(stream, _)| *stream != Stream::Note)
            .map(|(_, data)| data.len())
            .sum()
    }
}

#[test]
fn streams_mix_line_by_line() {
    let mut capture = capture(1000);
    capture.push(Stream::Stdout, b"one\ntw");
    capture.push(Stream::Stderr, b"oops\n");
    capture.push(Stream::Stdout, b"o\n");
    let mut stored = Stored::default();
    stored.apply(capture.finish());
    assert_eq!(stored.text(), "one\noops\ntwo\n");
    assert_eq!(capture.last_stderr_line(), "oops");
}

#[test]
fn a_prompt_without_a_line_end_is_seen() {
    let mut capture = capture(1000);
    capture.push(Stream::Stdout, b"name? ");
    assert_eq!(capture.take().pieces[0].data, b"name? ");
}

#[test]
fn head_and_tail_are_kept_and_the_cut_is_marked() {
    let mut capture = capture(20);
    for i in 0..1000 {
        capture.push(Stream::Stdout, format!("{i}\n").as_bytes());
    }
    let mut stored = Stored::default();
    stored.apply(capture.finish());
    let text = stored.text();
    assert!(text.starts_with("0\n1\n2\n3\n4\n"), "{text}");
    assert!(
        text.ends_with("bytes of output were cut here]\n") || text.ends_with("999\n"),
        "{text}"
    );
    assert!(stored.bytes() <= 20);
}

#[test]
fn a_window_that_moves_fast_is_not_stored_each_time() {
    let mut capture = capture(1 << 20);
    let (mut stored, mut written) = (Stored::default(), 0);
    let mut take = |capture: &mut Capture| {
        let taken = capture.take();
        written += taken
            .pieces
            .iter()
            .map(|piece| piece.data.len())
            .sum::<usize>();
        stored.apply(taken);
        written
    };
    let lines = "a line\n".repeat(150_000);
    for _ in 0..100 {
        capture.push(Stream::Stdout, lines.as_bytes());
        take(&mut capture);
    }
    let after = take(&mut capture);
    assert!(
        after < 6 << 19,
        "the head, and four or five windows: {after}"
    );
    capture.push(Stream::Stdout, b"the last line\n");
    assert_eq!(
        take(&mut capture),
        after + 14,
        "at once, when it prints less"
    );
}

proptest! {
    /// However it comes and whenever it is stored: what is kept is a beginning and an end of what was printed, within
    /// the limit, and the remark tells exactly what is missing.
    #[test]
    fn nothing_is_lost_unsaid(
        writes in prop::collection::vec((prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 0..200), any::<bool>()), 0..60),
        limit in 2..3000usize,
    ) {
        let mut capture = capture(limit);
        let (mut stored, mut printed) = (Stored::default(), Vec::new());
        for (data, store) in writes {
            printed.extend_from_slice(&data);
            capture.push(Stream::Stdout, &data);
            if store {
                stored.apply(capture.take());
            }
        }
        stored.apply(capture.finish());
        let kept = stored.bytes();
        prop_assert!(kept <= limit);
        let cut = printed.len() - kept;
        let printed = String::from_utf8(printed).unwrap();
        if cut == 0 {
            prop_assert_eq!(stored.text(), printed);
        } else {
            let mark = format!("\n[taskmaster: {cut} bytes of output were cut here]\n");
            let text = stored.text();
            let (head, tail) = text.split_once(&mark).expect("the cut is marked");
            prop_assert!(printed.starts_with(head) && printed.ends_with(tail));
        }
    }
}
