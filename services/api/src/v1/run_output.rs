//! The output of one run of a task: which run, and its pieces as text.

use serde::Serialize;
use taskmaster_core::{Lease, TaskLease};
use taskmaster_store::attempts::{self, Attempt};
use taskmaster_store::output::{self, Stream};
use taskmaster_store::{self as store, PgPool, bounded};
use uuid::Uuid;

use super::text::Decoder;
use crate::error::ApiError;
use crate::query::{Parameters, number};

/// How many pieces are read at once.
const PAGE_PIECES: i64 = 256;

/// A piece of output as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct TextPiece {
    attempt: i32,
    seq: i32,
    stream: Stream,
    /// The text itself.
    pub(crate) text: String,
}

/// Reads the output of one run, from its start on.
pub(crate) struct RunOutput {
    task: TaskLease,
    attempt: i32,
    last_seq: i32,
    decoder: Decoder,
}

impl RunOutput {
    /// Of this attempt.
    pub(crate) fn of(id: Uuid, attempt: &Attempt) -> Self {
        Self {
            task: TaskLease {
                id,
                lease: attempt.lease,
            },
            attempt: attempt.attempt,
            last_seq: -1,
            decoder: Decoder::default(),
        }
    }

    /// The claim it runs under.
    pub(crate) fn lease(&self) -> Lease {
        self.task.lease
    }

    /// The next pieces that there are, or nothing if that was all for now.
    ///
    /// # Errors
    /// When Postgres is away.
    pub(crate) async fn next(&mut self, pool: &PgPool) -> store::Result<Option<Vec<TextPiece>>> {
        let reading = output::read(pool, self.task, self.last_seq, PAGE_PIECES);
        let pieces = bounded(reading).await?;
        let Some(last) = pieces.last() else {
            return Ok(None);
        };
        self.last_seq = last.seq;
        let pieces = pieces.iter().map(|piece| TextPiece {
            attempt: self.attempt,
            seq: piece.seq,
            stream: piece.stream,
            text: self.decoder.next(piece),
        });
        Ok(Some(
            pieces.filter(|piece| !piece.text.is_empty()).collect(),
        ))
    }

    /// What is left once there are no more pieces: characters that were never completed.
    pub(crate) fn end(&mut self) -> Vec<TextPiece> {
        let cut = self.decoder.cut().map(|stream| {
            self.last_seq += 1;
            TextPiece {
                attempt: self.attempt,
                seq: self.last_seq,
                stream,
                text: char::REPLACEMENT_CHARACTER.to_string(),
            }
        });
        cut.collect()
    }
}

/// The `attempt` of a query, if it has one.
///
/// # Errors
/// [`ApiError::BadInput`].
pub(crate) fn read_attempt(mut parameters: Parameters) -> Result<Option<i32>, ApiError> {
    let attempt = parameters.take("attempt", number(1, i64::from(i32::MAX)));
    parameters.finish()?;
    Ok(attempt.and_then(|attempt| i32::try_from(attempt).ok()))
}

/// The attempt with this number, or else the latest; `None` if the task never started.
///
/// # Errors
/// [`ApiError::NotFound`], or when Postgres is away.
pub(crate) async fn find_attempt(
    pool: &PgPool,
    id: Uuid,
    number: Option<i32>,
) -> Result<Option<Attempt>, ApiError> {
    let attempts = bounded(attempts::list(pool, id)).await?;
    let mut attempts = attempts.ok_or_else(|| ApiError::no_task(id))?;
    let Some(number) = number else {
        return Ok(attempts.pop());
    };
    let count = attempts.len();
    match attempts
        .into_iter()
        .rfind(|attempt| attempt.attempt == number)
    {
        Some(attempt) => Ok(Some(attempt)),
        None => {
            let detail =
                format!("attempt: there is no attempt {number}; this task has had {count}");
            Err(ApiError::NotFound(detail))
        }
    }
}
