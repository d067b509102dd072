//! Bytes that come in pieces, as text.

use taskmaster_store::output::{Piece, Stream};

/// Makes text of a command's output. A character that was cut between two pieces of the same stream is put together
/// again; what is no UTF-8 is replaced by U+FFFD.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Decoder {
    /// The text of the next piece, without a character at its end that is not complete yet.
    pub(crate) fn next(&mut self, piece: &Piece) -> String {
        let held = match piece.stream {
            Stream::Stdout => &mut self.stdout,
            Stream::Stderr => &mut self.stderr,
            // Written by the worker, whole.
            Stream::Note => return String::from_utf8_lossy(&piece.data).into_owned(),
        };
        held.extend_from_slice(&piece.data);
        let mut text = String::with_capacity(held.len());
        let mut rest = Vec::new();
        let mut chunks = held.utf8_chunks().peekable();
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            match std::str::from_utf8(chunk.invalid()) {
                Ok(_) => {}
                // No error length: it may become a character with the bytes to come.
                Err(error) if error.error_len().is_none() && chunks.peek().is_none() => {
                    rest = chunk.invalid().to_vec();
                }
                Err(_) => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        *held = rest;
        text
    }

    /// The streams that ended in the middle of a character, once no more comes.
    pub(crate) fn cut(&mut self) -> impl Iterator<Item = Stream> + use<> {
        let held = [
            (Stream::Stdout, std::mem::take(&mut self.stdout)),
            (Stream::Stderr, std::mem::take(&mut self.stderr)),
        ];
        held.into_iter()
            .filter(|(_, held)| !held.is_empty())
            .map(|(stream, _)| stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(stream: Stream, data: &[u8]) -> Piece {
        Piece {
            seq: 0,
            stream,
            data: data.to_vec(),
        }
    }

    #[test]
    fn a_character_cut_anywhere_is_whole_again() {
        let all = "aä€😀z".as_bytes();
        for cut in 0..=all.len() {
            let mut decoder = Decoder::default();
            let (head, tail) = all.split_at(cut);
            let mut text = decoder.next(&piece(Stream::Stdout, head));
            text += &decoder.next(&piece(Stream::Stderr, b"!"));
            text += &decoder.next(&piece(Stream::Stdout, tail));
            assert_eq!(text.replace('!', ""), "aä€😀z", "{cut}");
            assert_eq!(decoder.cut().count(), 0);
        }
    }

    #[test]
    fn what_is_no_text_is_replaced() {
        let mut decoder = Decoder::default();
        let text = decoder.next(&piece(Stream::Stdout, b"a\xffb\xf0\x9f"));
        assert_eq!(text, "a\u{fffd}b");
        assert_eq!(decoder.next(&piece(Stream::Stdout, b"c")), "\u{fffd}c");
        assert_eq!(decoder.next(&piece(Stream::Stdout, b"\xe2\x82")), "");
        assert_eq!(decoder.cut().collect::<Vec<_>>(), [Stream::Stdout]);
    }
}
