//! Keeps a connection: watches the client's runner, which may panic, and builds it anew.

use std::num::NonZeroUsize;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use grammers_client::Client;
use grammers_client::client::ClientConfiguration;
use grammers_client::tl;
use grammers_mtsender::{ConnectionParams, NoRetries, SenderPool};
use grammers_session::updates::UpdatesLike;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::lease::{self, Whose};
use super::{Account, CallError, Link, Options, Report, State};

/// Shortest and longest time between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Shortest time until a session that was refused is tried again.
const REFUSED_PAUSE: Duration = Duration::from_secs(2);

/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Updates that wait to be read; those beyond are dropped by the client, and found by the ledger.
const UPDATES: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// What Telegram tells by itself.
#[derive(Debug)]
pub enum Hint {
    /// Updates.
    Updates(Box<tl::enums::Updates>),
    /// Something may have been missed.
    Gap,
}

/// Why a connection ended.
enum Ending {
    Stop,
    /// Another instance may use the account now.
    Lost,
    Broken,
    Panicked,
    Refused(CallError),
}

pub(super) async fn run(
    account: Account,
    hints: mpsc::UnboundedSender<Hint>,
    mut reports: mpsc::UnboundedReceiver<Report>,
    stop: CancellationToken,
) {
    let mut pause = FIRST_PAUSE;
    let lease = account.0.options.lease.clone();
    for number in 1.. {
        let wait = match lease.hold().await {
            Whose::Ours(since) => Ok(since),
            Whose::Theirs => {
                account.stands(State::Standby);
                Err(lease::EVERY)
            }
            // A slow disk is no other instance.
            Whose::Unknown => Err(lease::EVERY / 4),
        };
        let since = match wait {
            Ok(since) => since,
            Err(wait) => {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(wait) => {}
                }
                continue;
            }
        };
        let kept = std::pin::pin!(lease.keep(since));
        let (hints, reports) = (&hints, &mut reports);
        let ending = tokio::select! {
            () = stop.cancelled() => Ending::Stop,
            () = kept => Ending::Lost,
            ending = connection(&account, number, hints, reports, &mut pause) => ending,
        };
        account.unlink();
        match ending {
            Ending::Stop => {
                lease.release().await;
                return;
            }
            Ending::Lost => {
                tracing::warn!("the lease of the account was lost; its connection is closed");
                account.stands(State::Standby);
            }
            Ending::Refused(error) => {
                if let CallError::NotAuthorized | CallError::Duplicated = error {
                    pause = pause.max(REFUSED_PAUSE);
                }
                account.found(&error);
            }
            Ending::Broken | Ending::Panicked => {
                let panicked = matches!(ending, Ending::Panicked);
                tracing::warn!(
                    panicked,
                    "the connection to Telegram ended; it is made anew"
                );
                account.stands(State::Connecting);
            }
        }
        tokio::select! {
            () = stop.cancelled() => {
                lease.release().await;
                return;
            }
            () = tokio::time::sleep(pause) => {}
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// How connections are made.
pub(super) fn parameters(options: &Options) -> ConnectionParams {
    ConnectionParams {
        device_model: "Touchstone".into(),
        app_version: env!("CARGO_PKG_VERSION").into(),
        proxy_url: options.proxy.as_ref().map(|url| url.expose().to_owned()),
        use_ipv6: options.session.is_ipv6(),
        // Waiting is the governor's business: it knows every call, the client only one.
        retry_policy: Box::new(NoRetries),
        updates_channel_capacity: UPDATES,
        ..ConnectionParams::default()
    }
}

pub(super) const fn client_configuration() -> ClientConfiguration {
    ClientConfiguration {
        auto_cache_peers: false,
    }
}

/// Makes a connection and keeps it until it ends; cut off, it is closed.
async fn connection(
    account: &Account,
    number: u64,
    hints: &mpsc::UnboundedSender<Hint>,
    reports: &mut mpsc::UnboundedReceiver<Report>,
    pause: &mut Duration,
) -> Ending {
    let options = &account.0.options;
    let session = Arc::clone(&options.session);
    let pool = SenderPool::with_configuration(session, options.api_id, parameters(options));
    let client = Client::with_configuration(pool.handle, client_configuration());
    let mut updates = pool.updates;
    let mut runner = std::pin::pin!(AssertUnwindSafe(pool.runner.run()).catch_unwind());

    let link = Link {
        client: client.clone(),
        number,
    };
    let who = timeout(CONNECT_TIMEOUT, myself(&client));
    let user = tokio::select! {
        _ = &mut runner => return Ending::Panicked,
        found = who => match found {
            Ok(Ok(user)) => user,
            Ok(Err(error)) => return Ending::Refused(error),
            Err(_) => return Ending::Refused(CallError::Timeout),
        },
    };
    *pause = FIRST_PAUSE;
    account.stands(State::Authorized { user });
    account.0.link.send_replace(Some(link));
    // Whatever happened while there was no connection was not told.
    let _ = hints.send(Hint::Gap);
    loop {
        tokio::select! {
            ended = &mut runner => {
                return if ended.is_err() { Ending::Panicked } else { Ending::Broken };
            }
            Some(report) = reports.recv() => {
                if report.number == number {
                    return report.refused.map_or(Ending::Broken, Ending::Refused);
                }
            }
            update = updates.recv() => {
                let hint = match update {
                    Some(UpdatesLike::Updates(updates)) => Hint::Updates(Box::new(updates)),
                    Some(_) => Hint::Gap,
                    None => return Ending::Broken,
                };
                let _ = hints.send(hint);
            }
        }
    }
}

/// Who is logged in; asking also makes the data centre send updates on this connection.
async fn myself(client: &Client) -> Result<i64, CallError> {
    let request = tl::functions::users::GetUsers {
        id: vec![tl::enums::InputUser::UserSelf],
    };
    let users = client.invoke(&request).await?;
    match users.first() {
        Some(tl::enums::User::User(user)) => Ok(user.id),
        _ => Err(CallError::NotAuthorized),
    }
}
