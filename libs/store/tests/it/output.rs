//! What commands print.

use taskmaster_core::TaskLease;
use taskmaster_store::output::{NewPiece, Piece, Stream, append, read};
use taskmaster_store::{PgPool, claim, finish, start};

use crate::support::{assign, completed, failed_for_now, run, run_one, task, tasks, worker};

fn piece(task: TaskLease, seq: i32, data: &[u8]) -> NewPiece {
    NewPiece {
        task,
        attempt: 1,
        seq,
        stream: [Stream::Stdout, Stream::Stderr, Stream::Note][seq as usize % 3],
        data: data.to_vec(),
    }
}

async fn seqs(pool: &PgPool, task: TaskLease) -> Vec<i32> {
    let pieces = read(pool, task, -1, 1000).await.unwrap();
    pieces.into_iter().map(|piece| piece.seq).collect()
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn comes_back_in_order_byte_for_byte(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let held = run(&pool, holder, &tasks(2, 1)).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let pieces = [
        piece(held[0], 2, &every_byte),
        piece(held[1], 0, b"other"),
        piece(held[0], 0, b"first\n"),
        piece(held[0], 10, b""),
        piece(held[0], 1, "grün\r\n".as_bytes()),
    ];
    append(&pool, &pieces, &[]).await.unwrap();
    let stored = read(&pool, held[0], -1, 100).await.unwrap();
    let expected = [
        (0, Stream::Stdout, b"first\n".to_vec()),
        (1, Stream::Stderr, "grün\r\n".as_bytes().to_vec()),
        (2, Stream::Note, every_byte),
        (10, Stream::Stderr, Vec::new()),
    ];
    let expected = expected.map(|(seq, stream, data)| Piece { seq, stream, data });
    assert_eq!(stored, expected);

    assert_eq!(read(&pool, held[0], 1, 100).await.unwrap(), expected[2..]);
    assert_eq!(read(&pool, held[0], -1, 2).await.unwrap(), expected[..2]);
    assert!(read(&pool, held[0], 10, 100).await.unwrap().is_empty());
    append(&pool, &[], &[]).await.unwrap();
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn written_again_it_is_there_once(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let lease = run_one(&pool, holder, task("x")).await;
    let first = [piece(lease, 0, b"0"), piece(lease, 1, b"1")];
    append(&pool, &first, &[]).await.unwrap();
    // The answer was lost: the same again, with what came meanwhile.
    let again = [
        piece(lease, 0, b"0"),
        piece(lease, 1, b"1"),
        piece(lease, 2, b"2"),
    ];
    append(&pool, &again, &[]).await.unwrap();
    assert_eq!(seqs(&pool, lease).await, [0, 1, 2]);
    let stored: i64 = sqlx::query_scalar("select count(*) from output")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(stored, 3);
    // Even if the first write was still under way when the second began.
    sqlx::query(
        "insert into output (task_id, lease, seq, attempt, stream, data, written_at)
         select task_id, lease, seq, attempt, stream, data, written_at + interval '1 ms' from output",
    )
    .execute(&pool)
    .await
    .unwrap();
    assert_eq!(seqs(&pool, lease).await, [0, 1, 2]);
    let page = read(&pool, lease, 0, 2).await.unwrap();
    assert_eq!(
        page.iter().map(|piece| piece.seq).collect::<Vec<_>>(),
        [1, 2]
    );
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn only_of_what_runs_under_its_lease(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let ended = run_one(&pool, holder, task("x")).await;
    finish::finish(&pool, holder.worker_id, vec![completed(ended)])
        .await
        .unwrap();
    let assigned = assign(&pool, holder, &[task("x")]).await[0];
    let older = run_one(&pool, holder, tasks(1, 2).remove(0)).await;
    append(&pool, &[piece(older, 0, b"of the first attempt")], &[])
        .await
        .unwrap();
    finish::finish(&pool, holder.worker_id, vec![failed_for_now(older, 0)])
        .await
        .unwrap();
    let newer = claim::claim(&pool, &[holder.worker_id]).await.unwrap()[0].task;
    start::start(&pool, holder, vec![newer]).await.unwrap();

    let pieces = [ended, assigned, older, newer].map(|task| piece(task, 1, b"late"));
    append(&pool, &pieces, &[]).await.unwrap();
    assert!(seqs(&pool, ended).await.is_empty());
    assert!(seqs(&pool, assigned).await.is_empty());
    assert_eq!(seqs(&pool, older).await, [0]);
    assert_eq!(seqs(&pool, newer).await, [1]);
}

#[sqlx::test(migrator = "crate::support::MIGRATOR")]
async fn what_is_dropped_goes(pool: PgPool) {
    let holder = worker(&pool, "w").await;
    let held = run(&pool, holder, &tasks(2, 1)).await;
    let pieces: Vec<NewPiece> = (0..6)
        .flat_map(|seq| held.iter().map(move |task| piece(*task, seq, b"x")))
        .collect();
    append(&pool, &pieces, &[]).await.unwrap();
    let cut = [piece(held[0], 6, b"note: cut here")];
    let dropped = [(held[0], 2), (held[0], 3), (held[1], 5), (held[1], 99)];
    append(&pool, &cut, &dropped).await.unwrap();
    assert_eq!(seqs(&pool, held[0]).await, [0, 1, 4, 5, 6]);
    assert_eq!(seqs(&pool, held[1]).await, [0, 1, 2, 3, 4]);
    // Trying again is harmless.
    append(&pool, &cut, &dropped).await.unwrap();
    assert_eq!(seqs(&pool, held[0]).await, [0, 1, 4, 5, 6]);
}
