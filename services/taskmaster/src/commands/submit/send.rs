//! Sending a submission until its answer is there. Its idempotency key makes that safe: however often it arrives, it is
//! taken in once.

use std::time::Duration;

use taskmaster_core::IdempotencyKey;
use taskmaster_runtime::Backoff;
use tokio::time::Instant;

use crate::client::{Client, Error, Json};

/// For how long it is sent again, after the first answer was lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// The answer to a submission.
pub(super) struct Sent {
    pub(super) answer: Json,
    /// It had been taken in already, by an earlier command with the same key.
    pub(super) was_there: bool,
}

/// Why a submission was not answered as it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsent {
    /// The API said no, or is not there at all: nothing was taken in.
    #[error(transparent)]
    Refused(#[from] Error),
    /// No answer came, for as long as it was tried.
    #[error(
        "{last}; whether this was taken in is not known: repeat the command with --idempotency-key {key}, and it is taken in once"
    )]
    Uncertain {
        /// What was wrong the last time.
        last: Error,
        /// The key that the user knows of.
        key: String,
    },
}

/// Sends tasks, as JSON, under `key`; again for up to a minute if the answer is lost, which `note` is told once.
/// `known_as` is the key that the user can repeat the command with.
///
/// # Errors
/// See [`Unsent`].
pub(super) async fn send(
    client: &Client,
    body: &str,
    key: &IdempotencyKey,
    known_as: &str,
    note: impl FnOnce(String),
) -> Result<Sent, Unsent> {
    send_for(PATIENCE, client, body, key, known_as, note).await
}

async fn send_for(
    patience: Duration,
    client: &Client,
    body: &str,
    key: &IdempotencyKey,
    known_as: &str,
    note: impl FnOnce(String),
) -> Result<Sent, Unsent> {
    let first = match client.submit(body.to_owned(), key).await {
        Ok(submitted) => {
            return Ok(Sent {
                answer: submitted.answer,
                was_there: submitted.is_replay,
            });
        }
        // Nothing was sent.
        Err(error @ Error::Unreachable { .. }) => return Err(error.into()),
        Err(error) if error.leaves_open() => error,
        Err(error) => return Err(error.into()),
    };
    note(format!(
        "{first}; sending it again with the same idempotency key, {known_as}"
    ));
    let deadline = Instant::now() + patience;
    let (mut last, mut backoff) = (first, Backoff::default());
    while Instant::now() < deadline {
        backoff.wait().await;
        match client.submit(body.to_owned(), key).await {
            Ok(submitted) => {
                return Ok(Sent {
                    answer: submitted.answer,
                    was_there: false,
                });
            }
            Err(error) if error.leaves_open() => last = error,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Unsent::Uncertain {
        last,
        key: known_as.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn client(port: u16) -> Client {
        // Refused when another test of this process was first, which is as good.
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        Client::new(&format!("http://127.0.0.1:{port}").parse().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn gives_up_in_the_end_and_says_how_to_go_on() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = client(listener.local_addr().unwrap().port());
        let mut heard = 0;
        let cuts = async {
            while let Ok((connection, _)) = listener.accept().await {
                heard += 1;
                drop(connection);
            }
        };
        let mut notes = Vec::new();
        let key = "key/1".parse().unwrap();
        let patience = Duration::from_millis(200);
        let sending = send_for(patience, &client, "{}", &key, "key", |note| {
            notes.push(note)
        });
        let sent = tokio::select! {
            sent = sending => sent,
            () = cuts => unreachable!("it listens for ever"),
        };
        let error = sent.err().unwrap().to_string();
        assert!(error.contains("--idempotency-key key,"), "{error}");
        assert!(error.contains("was lost"), "{error}");
        assert!(
            notes.len() == 1 && notes[0].contains("sending it again"),
            "{notes:?}"
        );
        assert!(heard > 1, "{heard}");
    }

    #[tokio::test]
    async fn nobody_is_waited_for_who_was_never_there() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let key = "key".parse().unwrap();
        let sent = send(&client(port), "{}", &key, "key", |note| panic!("{note}")).await;
        let error = sent.err().unwrap();
        assert!(
            matches!(error, Unsent::Refused(Error::Unreachable { .. })),
            "{error}"
        );
    }
}
