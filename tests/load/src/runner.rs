//! A scenario against a target: from users to report.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;
use touchstone_types::{Clock, SystemClock};

use crate::arrivals::Random;
use crate::client::{Client, Connector, Lane, Read, Settings, Target, TargetError};
use crate::engine::{self, Ended, Progress, Ran, Turn, Work};
use crate::machine::Processes;
use crate::measure::Recorder;
use crate::report::{Circumstances, Report};
use crate::scenario::Prepared;
use crate::steps::{Call, Session};
use crate::users::{self, Account, Users, UsersError};
use crate::validity::{self, Rules};

/// How a scenario is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is aimed at.
    pub target: String,
    /// Threads of load; as many as are good when absent.
    pub shards: Option<u64>,
    /// Speaks HTTP/2.
    pub http2: bool,
    /// Certificates in PEM that are believed besides the public ones.
    pub authorities: Option<PathBuf>,
    /// Users.
    pub users: users::Options,
    /// What is tolerated of the generator.
    pub rules: Rules,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The target.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The users.
    #[error("cannot make the users of the scenario")]
    Users(#[from] UsersError),
    /// This machine.
    #[error("cannot start")]
    Io(#[from] std::io::Error),
}

impl RunError {
    /// Whether it is the target that is not there.
    pub const fn is_target(&self) -> bool {
        matches!(
            self,
            Self::Target(TargetError::Unreachable { .. } | TargetError::Name { .. })
        ) || matches!(
            self,
            Self::Users(UsersError::Api(users::ApiError::NoAnswer { .. }))
        )
    }
}

/// The work of one shard.
struct ScenarioWork {
    prepared: Arc<Prepared>,
    client: Client,
    accounts: Arc<Vec<Account>>,
}

impl Work for ScenarioWork {
    type Lane = Lane;

    fn lane(&self) -> Lane {
        self.client.lane()
    }

    fn run<'a>(
        &'a self,
        turn: Turn,
        lane: &'a mut Lane,
        recorder: &'a Recorder,
    ) -> LocalBoxFuture<'a, ()> {
        let is_open = self.prepared.plan.phases[usize::from(turn.phase)]
            .load
            .is_open();
        let (_, account, step) = self.prepared.choose(is_open, turn.user, turn.draw);
        async move {
            let mut session = Session {
                client: &self.client,
                lane,
                recorder,
                turn,
                account: account.and_then(|at| self.accounts.get(at)),
                base: self.prepared.bases[step],
                sheds: self.prepared.scenario.sheds,
                random: Random::new(turn.draw, 0),
                is_begun: false,
            };
            self.prepared.steps[step].run(&mut session).await;
        }
        .boxed_local()
    }
}

/// Runs a prepared scenario. `note` is told what is going on before the load, `progress` each second
/// of it. Cancelling `stop` ends the load early; what was measured is reported.
pub async fn run(
    prepared: Prepared,
    options: &Options,
    stop: CancellationToken,
    mut note: impl FnMut(String),
    progress: impl FnMut(Progress<'_>),
) -> Result<Report, RunError> {
    let target = Target::resolve(&options.target).await?;
    let authorities = options
        .authorities
        .as_ref()
        .map(std::fs::read)
        .transpose()?;
    let connector = Connector::new(&target, options.http2, authorities.as_deref())?;
    let settings = Settings {
        timeout: prepared.scenario.timeout,
        ..Settings::default()
    };
    // Everything beside the load speaks HTTP/1.1.
    let plain = Connector::new(&target, false, authorities.as_deref())?;
    let client = Client::new(target.clone(), plain, Settings::default());
    reach(&client).await?;
    raise_limit();
    let users = Users::prepare(&client, &prepared, &options.users, &mut note).await?;
    let shards = options
        .shards
        .unwrap_or_else(|| default_shards(&target))
        .max(1);
    let prepared = Arc::new(prepared);
    let (accounts, shared) = (Arc::clone(&users.accounts), Arc::clone(&prepared));
    let work_target = target.clone();
    let work = move |_| ScenarioWork {
        prepared: Arc::clone(&shared),
        client: Client::new(work_target.clone(), connector.clone(), settings),
        accounts: Arc::clone(&accounts),
    };
    let started_at = SystemClock.now().to_rfc3339();
    let processes = target.is_local().then(Processes::start);
    let over = CancellationToken::new();
    let (ran, renewed) = {
        let local = LocalSet::new();
        let load = engine::run(prepared.plan.clone(), shards, work, stop, progress);
        let load = async {
            let ran = load.await;
            over.cancel();
            ran
        };
        let kept = users.keep_logged_in(&client, over.clone());
        local
            .run_until(futures_util::future::join(load, kept))
            .await
    };
    let ran: Ran = ran?;
    let mut notes = Vec::new();
    if renewed > 0 {
        notes.push(format!("{renewed} credentials were renewed during the run"));
    }
    if options.users.operator.is_none()
        && prepared.accounts() > 0
        && options.users.api_key.is_none()
    {
        notes.push("the target's own limits were in force: no operator's key was given".into());
    }
    if ran.ended != Ended::TargetLost
        && let Err(error) = users.finish(&client).await
    {
        notes.push(format!("the limits could not be put back: {error}"));
    }
    let verdict = validity::judge(&ran.series, &ran.usage, &options.rules);
    let circumstances = Circumstances {
        target: target.url().to_owned(),
        started_at,
        shards,
        verdict,
        processes: processes
            .map(|processes| processes.end(12))
            .unwrap_or_default(),
        notes,
    };
    Ok(Report::new(&prepared, &ran, circumstances))
}

/// Whether anything answers at all.
async fn reach(client: &Client) -> Result<(), RunError> {
    let unreachable = |reason: String| TargetError::Unreachable {
        url: client.target().url().to_owned(),
        reason,
    };
    let request = Call::get("/ready").request(client, None);
    let request = request.map_err(|error| unreachable(error.to_string()))?;
    let exchange = client
        .exchange(&mut client.lane(), request, Read::Count)
        .await;
    match exchange.result {
        Ok(_) => Ok(()),
        Err(failure) => Err(unreachable(failure.what).into()),
    }
}

/// Half of the cores when the target is on this machine, else all of them but one.
fn default_shards(target: &Target) -> u64 {
    let cores = crate::machine::cores();
    if target.is_local() {
        cores / 2
    } else {
        cores - 1
    }
}

/// A thousand users are a thousand descriptors.
fn raise_limit() {
    // What the system allows is what there is; a lack of it shows as errors of the generator's own.
    let _ = rlimit::increase_nofile_limit(1 << 20);
}
