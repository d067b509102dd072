//! The place of one private server: empty, or one that is starting, or one that runs.

use std::sync::Arc;

use anyhow::Context;
use taskmaster_embedded::Error;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::output::Terminal;

/// One server's place. A start that nobody waits for any more goes on here, so that it can be ended properly.
#[derive(Debug)]
pub(super) struct Slot<T> {
    starting: Option<JoinHandle<Result<T, Error>>>,
    running: Option<Arc<T>>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            starting: None,
            running: None,
        }
    }
}

impl<T: Send + Sync + 'static> Slot<T> {
    /// Starts the server, saying so, and returns it when it is ready.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) async fn start(
        &mut self,
        what: &str,
        start: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> anyhow::Result<Arc<T>> {
        let mut terminal = Terminal::new();
        terminal.note(format!("starting {what} …"));
        let begin = Instant::now();
        let started = self.starting.insert(tokio::spawn(start)).await;
        self.starting = None;
        let server = Arc::new(started.context("its start panicked")??);
        self.running = Some(server.clone());
        terminal.note(format!(
            "{what} … ready ({:.1} s)",
            begin.elapsed().as_secs_f64()
        ));
        Ok(server)
    }

    /// The server, if it runs.
    pub(super) fn running(&self) -> Option<Arc<T>> {
        self.running.clone()
    }

    /// Ends a start: the server is told to stop, and nobody waits for that.
    pub(super) fn abandon(&mut self) {
        if let Some(starting) = self.starting.take() {
            starting.abort();
        }
    }

    /// Takes the server out, waiting for the end of its start; if `now` comes first, it is abandoned.
    pub(super) async fn settle(&mut self, what: &str, now: &CancellationToken) -> Option<Arc<T>> {
        if let Some(mut starting) = self.starting.take() {
            Terminal::new().note(format!(
                "{what} is still starting; it is stopped when it runs (Ctrl-C again leaves it) …"
            ));
            match now.run_until_cancelled(&mut starting).await {
                Some(Ok(Ok(server))) => return Some(Arc::new(server)),
                Some(Ok(Err(_)) | Err(_)) => {}
                None => starting.abort(),
            }
        }
        self.running.take()
    }
}
