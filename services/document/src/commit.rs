//! Uploads that arrive together are committed together: one flush to the disk for all.

use std::pin::pin;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use touchstone_error::{Classify, ErrorKind, chain};

use crate::store::{self, Accept, Accepted, Store};

/// Uploads that are committed together at most.
const COMMIT_BATCH: usize = 64;

/// An upload that waits for its commit.
pub(crate) type Pending = (Accept, oneshot::Sender<Result<Accepted, store::Error>>);

/// Commits what waits together, until the soft stop; what comes later is committed alone.
pub(crate) async fn commit_loop(
    store: Arc<dyn Store>,
    mut pending: mpsc::Receiver<Pending>,
    stop: impl Future<Output = ()>,
) {
    let mut stop = pin!(stop);
    let (mut batch, mut open) = (Vec::with_capacity(COMMIT_BATCH), true);
    loop {
        tokio::select! {
            () = &mut stop, if open => {
                // What waits already is still committed.
                open = false;
                pending.close();
                continue;
            }
            received = pending.recv_many(&mut batch, COMMIT_BATCH) => if received == 0 { return },
        }
        let (items, answers): (Vec<_>, Vec<_>) = batch.drain(..).unzip();
        match store.accept(&items).await {
            Ok(accepted) => {
                for (answer, accepted) in answers.into_iter().zip(accepted) {
                    // Whoever left is answered by the next try with the same key.
                    let _ = answer.send(Ok(accepted));
                }
            }
            // Nobody knows whether they were stored, or nothing can be stored now: whoever sent them
            // asks again, with its key. Done again here, a new version might be made twice.
            Err(error) if items.len() > 1 && is_indefinite(&error) => {
                for answer in answers {
                    let _ = answer.send(Err(store::Error::indefinite()));
                }
                tracing::warn!(error = %chain(&error), uploads = items.len(), "uploads were not committed");
            }
            // One that cannot be stored must not stop the others.
            Err(_) if items.len() > 1 => {
                for (item, answer) in items.iter().zip(answers) {
                    let alone = store.accept(std::slice::from_ref(item)).await;
                    let _ = match alone {
                        Ok(accepted) => accepted.into_iter().next().map(|it| answer.send(Ok(it))),
                        Err(error) => Some(answer.send(Err(error))),
                    };
                }
            }
            Err(error) => {
                if let Some(answer) = answers.into_iter().next() {
                    let _ = answer.send(Err(error));
                }
            }
        }
    }
}

fn is_indefinite(error: &store::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Timeout)
}
