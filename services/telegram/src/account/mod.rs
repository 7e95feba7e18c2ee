//! An account: one supervised connection to Telegram, with the governor in front of every call.

mod branch;
mod error;
mod instance;
mod lease;
mod session;
mod supervisor;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use grammers_client::Client;
use grammers_client::tl::{self, RemoteCall};
use serde::Serialize;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use touchstone_config::Secret;
use touchstone_lifecycle::Lifecycle;

pub use error::CallError;
pub(crate) use instance::Instance;
pub(crate) use lease::Lease;
pub(crate) use session::{AccountSession, Beginning, OpenError};
pub use supervisor::Hint;

use self::branch::Branches;
use crate::domain::governor::{AGAIN, Governor, Standing};
use crate::metrics::Metrics;

/// Longest time that one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a connection may owe an answer before it is asked whether it lives.
const SILENCE: Duration = Duration::from_secs(1);

/// How long it may take to say so: one that is half open never does.
const SIGN_OF_LIFE: Duration = Duration::from_millis(1_500);

/// How an account stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// A connection is being made.
    Connecting,
    /// Logged in.
    Authorized {
        /// Bare id of the user.
        user: i64,
    },
    /// Connected, and the session is not logged in; only another SESSION helps.
    NotAuthorized,
    /// The session is used elsewhere; it is tried again, slowly.
    Duplicated,
    /// Another instance uses the account; this one takes over when that one ends.
    Standby,
    /// There is no connection; it is tried again.
    Unreachable {
        /// Why.
        reason: String,
    },
}

/// What an account needs to know.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub session: Arc<AccountSession>,
    pub api_id: i32,
    /// Calls per second.
    pub rate: f64,
    /// `socks5://…` of a proxy, or of the bridge to one.
    pub proxy: Option<Secret>,
    /// What keeps other instances away from the account.
    pub lease: Lease,
    pub metrics: Metrics,
}

/// Longest sleep of a call that waits for the governor.
const LOOK: Duration = Duration::from_millis(250);

/// A supervised account; clones are handles of the same one.
#[derive(Clone, Debug)]
pub(crate) struct Account(Arc<Shared>);

struct Shared {
    options: Options,
    governor: Mutex<Governor>,
    started: Instant,
    link: watch::Sender<Option<Link>>,
    state: watch::Sender<State>,
    /// Connections to other data centres.
    branches: Branches,
    life: Lifecycle,
    /// Tells the supervisor that a connection is useless.
    broken: mpsc::UnboundedSender<Report>,
}

/// What a call found out about its connection.
#[derive(Debug)]
struct Report {
    /// The connection.
    number: u64,
    /// What Telegram said, if it said something.
    refused: Option<CallError>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("state", &*self.state.borrow())
            .finish_non_exhaustive()
    }
}

/// A connection; its number tells it from those before.
#[derive(Clone)]
pub(crate) struct Link {
    client: Client,
    number: u64,
}

impl Account {
    /// Starts an account; what Telegram tells by itself goes to `hints`.
    pub(crate) fn start(
        options: Options,
        hints: mpsc::UnboundedSender<Hint>,
        life: &Lifecycle,
    ) -> Self {
        let (broken, reports) = mpsc::unbounded_channel();
        let shared = Shared {
            governor: Mutex::new(Governor::new(options.rate)),
            options,
            started: Instant::now(),
            link: watch::Sender::new(None),
            state: watch::Sender::new(State::Connecting),
            branches: Branches::default(),
            life: life.clone(),
            broken,
        };
        let account = Self(Arc::new(shared));
        life.spawn(
            "telegram.account",
            supervisor::run(account.clone(), hints, reports, life.soft_stop()),
        );
        account
    }

    /// How the account stands.
    pub(crate) fn state(&self) -> State {
        self.0.state.borrow().clone()
    }

    /// How the governor stands.
    pub(crate) fn standing(&self) -> Standing {
        self.governor().standing(self.0.started.elapsed())
    }

    /// Calls a method that only reads: once more on a new connection when the first one breaks.
    ///
    /// # Errors
    /// [`CallError`]; at the latest at `deadline`.
    pub(crate) async fn read<R: RemoteCall>(
        &self,
        method: &str,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Return, CallError> {
        match self.call(method, request, deadline).await {
            Err(error) if error.is_of_the_connection() && Instant::now() < deadline => {
                self.call(method, request, deadline).await
            }
            outcome => outcome,
        }
    }

    /// Calls a method once, when the governor allows it.
    ///
    /// # Errors
    /// [`CallError`]; at the latest at `deadline`. A wait that would pass it is told at once.
    pub(crate) async fn call<R: RemoteCall>(
        &self,
        method: &str,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Return, CallError> {
        self.call_at(None, method, request, deadline).await
    }

    /// Calls a method at home, or at another data centre.
    async fn call_at<R: RemoteCall>(
        &self,
        dc: Option<i32>,
        method: &str,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Return, CallError> {
        loop {
            // Without a connection nobody waits for their turn.
            self.link(deadline).await?;
            let flight = self.pass(method, deadline).await?;
            let outcome = match dc {
                None => self.send(request, deadline).await,
                Some(dc) => self.send_away(dc, request, deadline).await,
            };
            let now = self.0.started.elapsed();
            match outcome {
                Ok(answer) => {
                    self.governor().answered(method, now);
                    return Ok(answer);
                }
                Err(CallError::Flood(wait)) => {
                    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX);
                    self.governor().flooded(method, seconds, flight.sent, now);
                    self.0.options.metrics.flood_waits.inc();
                    if Instant::now() + wait >= deadline {
                        return Err(CallError::Flood(wait));
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for the governor.
    async fn pass<'a>(&'a self, method: &'a str, until: Instant) -> Result<Flight<'a>, CallError> {
        loop {
            let now = self.0.started.elapsed();
            let wait = self.governor().ask(method, now);
            if wait.is_zero() {
                return Ok(Flight {
                    account: self,
                    method,
                    sent: now,
                });
            }
            if Instant::now() + wait >= until {
                // What is over in a moment is no flood: those before take too long.
                return Err(if wait <= AGAIN {
                    CallError::Timeout
                } else {
                    CallError::Flood(wait)
                });
            }
            // What others learn meanwhile may shorten it.
            tokio::time::sleep(wait.min(LOOK)).await;
        }
    }

    async fn send<R: RemoteCall>(
        &self,
        request: &R,
        deadline: Instant,
    ) -> Result<R::Return, CallError> {
        let link = self.link(deadline).await?;
        let outcome = tokio::select! {
            outcome = link.client.invoke(request) => outcome,
            // That its caller waits no longer says nothing of the connection.
            () = sleep_until(deadline) => return Err(CallError::Timeout),
            () = silent_or_late(&link.client) => {
                // Half-open connections look like this: the next call gets a new one.
                self.report(&link, None);
                return Err(CallError::Timeout);
            }
        };
        outcome.map_err(|error| {
            let error = CallError::from(error);
            if error.is_of_the_connection() {
                self.report(&link, None);
            } else if let CallError::NotAuthorized | CallError::Duplicated = error {
                self.report(&link, Some(error.clone()));
            }
            error
        })
    }

    /// The present connection, awaited until the deadline.
    async fn link(&self, deadline: Instant) -> Result<Link, CallError> {
        match self.state() {
            State::NotAuthorized => return Err(CallError::NotAuthorized),
            State::Duplicated => return Err(CallError::Duplicated),
            State::Standby => return Err(CallError::Standby),
            _ => {}
        }
        let mut links = self.0.link.subscribe();
        let waited = timeout_at(deadline, links.wait_for(Option::is_some)).await;
        match waited {
            Ok(Ok(link)) => link
                .clone()
                .ok_or(CallError::Unreachable("there is no connection")),
            _ => Err(CallError::Unreachable("no connection could be made")),
        }
    }

    /// There is no connection any more, and none to other data centres either.
    fn unlink(&self) {
        self.0.link.send_replace(None);
        self.0.branches.clear();
    }

    fn report(&self, link: &Link, refused: Option<CallError>) {
        // Whoever tries again waits for the next connection instead of meeting this one once more.
        let is_present = self.0.link.send_if_modified(|present| {
            let same = present.as_ref().is_some_and(|it| it.number == link.number);
            if same {
                *present = None;
            }
            same
        });
        // What an earlier connection was told says nothing of the present one.
        if let Some(error) = refused.as_ref().filter(|_| is_present) {
            self.found(error);
        }
        // The supervisor ends with the stack, and then nobody needs a new connection.
        let _ = self.0.broken.send(Report {
            number: link.number,
            refused,
        });
    }

    fn found(&self, error: &CallError) {
        self.stands(match error {
            CallError::NotAuthorized => State::NotAuthorized,
            CallError::Duplicated => State::Duplicated,
            other => State::Unreachable {
                reason: other.to_string(),
            },
        });
    }

    /// Says how the account stands from now on.
    fn stands(&self, state: State) {
        let is_authorized = matches!(state, State::Authorized { .. });
        let metrics = &self.0.options.metrics;
        metrics.authorized.set(i64::from(is_authorized));
        self.0.state.send_replace(state);
    }

    fn governor(&self) -> MutexGuard<'_, Governor> {
        self.0
            .governor
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call that is under way until this is dropped, also when nobody waits for it any more.
struct Flight<'a> {
    account: &'a Account,
    method: &'a str,
    sent: Duration,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        self.account.governor().landed(self.method);
    }
}

/// Waits until a connection that owes an answer gives no sign of life, or owes it for too long.
async fn silent_or_late(client: &Client) {
    let ping = tl::functions::Ping { ping_id: 0 };
    let late = Instant::now() + CALL_TIMEOUT;
    while Instant::now() < late {
        tokio::time::sleep(SILENCE).await;
        // An error ends the call as well, and says more there.
        if timeout(SIGN_OF_LIFE, client.invoke(&ping)).await.is_err() {
            return;
        }
    }
}
