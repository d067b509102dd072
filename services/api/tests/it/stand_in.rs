//! Does with a task in Postgres what the coordinator and a worker do, one move at a time.

use std::time::Duration;

use taskmaster_core::{Outcome, TaskLease, TaskStatus, Verdict};
use taskmaster_store::finish::Finish;
use taskmaster_store::output::{NewPiece, Stream};
use taskmaster_store::start::Holder;
use taskmaster_store::workers::Registration;
use taskmaster_store::{PgPool, claim, finish, output, start, workers};
use uuid::Uuid;

pub(crate) struct StandIn {
    pool: PgPool,
    holder: Holder,
}

impl StandIn {
    pub(crate) async fn register(pool: &PgPool, name: &str) -> Self {
        Self::register_as(pool, name, 42).await
    }

    /// The same, with the process id `pid`.
    pub(crate) async fn register_as(pool: &PgPool, name: &str, pid: i32) -> Self {
        let incarnation = Uuid::now_v7();
        let registration = Registration {
            name,
            incarnation,
            slots: 4,
            host: "a-host",
            pid,
            version: "0.0.0",
            heartbeat_timeout_seconds: 15,
        };
        let worker_id = workers::register(pool, &registration).await.unwrap();
        Self {
            pool: pool.clone(),
            holder: Holder {
                worker_id,
                incarnation,
            },
        }
    }

    /// Is gone.
    pub(crate) async fn sign_off(&self) {
        workers::sign_off(&self.pool, self.holder).await.unwrap();
    }

    /// Is given the next due task.
    pub(crate) async fn claim(&self) -> TaskLease {
        let claimed = claim::claim(&self.pool, &[self.holder.worker_id]).await;
        claimed.unwrap().first().expect("no task is due").task
    }

    /// Is given the next due task and starts it.
    pub(crate) async fn start(&self) -> TaskLease {
        let task = self.claim().await;
        let started = start::start(&self.pool, self.holder, vec![task]).await;
        assert_eq!(started.unwrap().len(), 1);
        task
    }

    pub(crate) async fn print(&self, task: TaskLease, seq: i32, stream: Stream, data: &[u8]) {
        let piece = NewPiece {
            task,
            attempt: 1,
            seq,
            stream,
            data: data.to_vec(),
        };
        output::append(&self.pool, &[piece], &[]).await.unwrap();
    }

    pub(crate) async fn complete(&self, task: TaskLease) {
        let verdict = Verdict::Final(TaskStatus::Completed);
        self.end(task, Outcome::Completed, verdict, 0).await;
    }

    pub(crate) async fn fail(&self, task: TaskLease) {
        let verdict = Verdict::Final(TaskStatus::Failed);
        self.end(task, Outcome::Failed, verdict, 3).await;
    }

    pub(crate) async fn fail_and_try_again(&self, task: TaskLease) {
        let verdict = Verdict::RetryAfter(Duration::ZERO);
        self.end(task, Outcome::Failed, verdict, 3).await;
    }

    async fn end(&self, task: TaskLease, outcome: Outcome, verdict: Verdict, exit_code: i32) {
        let error_message = (exit_code != 0).then(|| format!("exit code {exit_code}"));
        let finish = Finish {
            task,
            outcome,
            verdict,
            exit_code: Some(exit_code),
            signal: None,
            error_message,
        };
        let ended = finish::finish(&self.pool, self.holder.worker_id, vec![finish]).await;
        assert_eq!(ended.unwrap().len(), 1);
    }
}
