//! What commands print, in pieces.

use taskmaster_core::{Lease, TaskLease};
use uuid::Uuid;

use crate::{Connections, PgPool, Result, acquire};

/// Where a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// The command's standard output.
    Stdout,
    /// The command's standard error.
    Stderr,
    /// A remark of the worker's, such as where output was cut.
    Note,
}

impl Stream {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
            Self::Note => "note",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "stderr" => Self::Stderr,
            "note" => Self::Note,
            _ => Self::Stdout,
        }
    }
}

/// A piece of output to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPiece {
    /// The claim that the command runs under.
    pub task: TaskLease,
    /// Which start it is.
    pub attempt: i32,
    /// Its place, counted from 0 in each run.
    pub seq: i32,
    /// Where it came from.
    pub stream: Stream,
    /// The bytes, as they came.
    pub data: Vec<u8>,
}

/// Stores pieces of the output of tasks that run; pieces of a run that lost its lease are dropped. Of `dropped`, pairs
/// of a claim and a place, the pieces are deleted: the middle of an output that grew past its limit.
///
/// # Errors
/// When Postgres is away. Trying again is harmless.
pub async fn append(
    connections: &impl Connections,
    pieces: &[NewPiece],
    dropped: &[(TaskLease, i32)],
) -> Result<()> {
    if !pieces.is_empty() {
        let ids: Vec<Uuid> = pieces.iter().map(|piece| piece.task.id).collect();
        let leases: Vec<Lease> = pieces.iter().map(|piece| piece.task.lease).collect();
        let attempts: Vec<i32> = pieces.iter().map(|piece| piece.attempt).collect();
        let seqs: Vec<i32> = pieces.iter().map(|piece| piece.seq).collect();
        let streams: Vec<&str> = pieces.iter().map(|piece| piece.stream.as_str()).collect();
        let data: Vec<&[u8]> = pieces.iter().map(|piece| piece.data.as_slice()).collect();
        let mut connection = connections.lend().await?;
        sqlx::query_file!(
            "src/append.sql",
            &ids,
            &leases,
            &seqs,
            &attempts,
            &streams as _,
            &data as _,
        )
        .execute(&mut *connection)
        .await?;
        connection.done();
    }
    if !dropped.is_empty() {
        let ids: Vec<Uuid> = dropped.iter().map(|(task, _)| task.id).collect();
        let leases: Vec<Lease> = dropped.iter().map(|(task, _)| task.lease).collect();
        let seqs: Vec<i32> = dropped.iter().map(|(_, seq)| *seq).collect();
        let mut connection = connections.lend().await?;
        sqlx::query!(
            r#"
            delete from output o
            using unnest($1::uuid[], $2::integer[], $3::integer[]) as x(id, lease, seq)
            where o.task_id = x.id and o.lease = x.lease and o.seq = x.seq
            "#,
            &ids,
            &leases,
            &seqs
        )
        .execute(&mut *connection)
        .await?;
        connection.done();
    }
    Ok(())
}

/// A stored piece of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Its place.
    pub seq: i32,
    /// Where it came from.
    pub stream: Stream,
    /// The bytes, as they came.
    pub data: Vec<u8>,
}

/// The pieces of the run under `lease`, from the first one after place `after` (-1: from the start), at most `limit`.
///
/// # Errors
/// When Postgres is away.
pub async fn read(pool: &PgPool, task: TaskLease, after: i32, limit: i64) -> Result<Vec<Piece>> {
    // Distinct: of a piece whose first write was taken for lost, there may be two.
    let rows = sqlx::query!(
        r#"
        select distinct on (seq) seq, stream, data
        from output where task_id = $1 and lease = $2 and seq > $3 order by seq limit $4
        "#,
        task.id,
        task.lease,
        after,
        limit
    )
    .fetch_all(&mut *acquire(pool).await?)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| Piece {
            seq: row.seq,
            stream: Stream::parse(&row.stream),
            data: row.data,
        })
        .collect())
}
