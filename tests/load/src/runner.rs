//! A scenario against a target: from users to report.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use http::HeaderValue;
use tokio::task::LocalSet;
use tokio_util::sync::CancellationToken;
use touchstone_types::{Clock, SystemClock};

use crate::arrivals::Random;
use crate::client::{Client, Connector, Lane, Read, Settings, Target, TargetError};
use crate::engine::{self, Ended, Progress, Ran, Share, Turn, Work};
use crate::faults::{FaultRow, Faults, FaultsError};
use crate::machine::Processes;
use crate::measure::Recorder;
use crate::report::{Circumstances, Report};
use crate::scenario::Prepared;
use crate::services;
use crate::steps::{Call, Session};
use crate::users::{self, Account, Users, UsersError};
use crate::validity::{self, Rules};
use crate::workers::{self, Distributed, WorkerUse, Workers, WorkersError};

/// How a scenario is run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is aimed at.
    pub target: String,
    /// Threads of load, of each worker where there are workers; as many as are good when absent.
    pub shards: Option<u64>,
    /// Processes that make the load; this one when absent.
    pub workers: Option<Workers>,
    /// What workers at other addresses want to be known.
    pub worker_key: String,
    /// Speaks HTTP/2.
    pub http2: bool,
    /// Certificates in PEM that are believed besides the public ones.
    pub authorities: Option<PathBuf>,
    /// Metrics of services that are looked at during the run.
    pub metrics: Vec<services::Endpoint>,
    /// Key with which faults are asked for.
    pub fault_key: Option<String>,
    /// Users.
    pub users: users::Options,
    /// What is tolerated of the generator.
    pub rules: Rules,
}

impl Options {
    /// For a target without users, on one thread: what measures itself.
    pub fn plain(target: impl Into<String>) -> Self {
        Self {
            target: target.into(),
            shards: Some(1),
            workers: None,
            worker_key: String::new(),
            http2: false,
            authorities: None,
            metrics: Vec::new(),
            fault_key: None,
            users: users::Options::default(),
            rules: Rules::default(),
        }
    }
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
    /// A key is missing.
    #[error("the scenario does what only whoever runs the target may do: give it --operator-key")]
    NoOperator,
    /// The workers.
    #[error("the workers cannot make the load")]
    Workers(#[source] WorkersError),
    /// The faults.
    #[error("cannot ask for the faults of the scenario")]
    Faults(#[from] FaultsError),
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
pub(crate) struct ScenarioWork {
    prepared: Arc<Prepared>,
    client: Client,
    accounts: Arc<Vec<Account>>,
    operator: Option<HeaderValue>,
}

/// Makes the work of each shard, on its own thread.
pub(crate) fn works(
    prepared: &Arc<Prepared>,
    target: &Target,
    connector: &Connector,
    accounts: &Arc<Vec<Account>>,
    operator: Option<HeaderValue>,
) -> impl Fn(Share) -> ScenarioWork + Send + Sync + Clone + use<> {
    let settings = Settings {
        timeout: prepared.scenario.timeout,
        ..Settings::default()
    };
    let (prepared, accounts) = (Arc::clone(prepared), Arc::clone(accounts));
    let (target, connector) = (target.clone(), connector.clone());
    move |_| ScenarioWork {
        prepared: Arc::clone(&prepared),
        client: Client::new(target.clone(), connector.clone(), settings),
        accounts: Arc::clone(&accounts),
        operator: operator.clone(),
    }
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
        let phase = usize::from(turn.phase);
        let (_, account, step) = self.prepared.choose(phase, turn.user, turn.draw);
        async move {
            let mut session = Session {
                client: &self.client,
                lane,
                recorder,
                turn,
                account: account.and_then(|at| self.accounts.get(at)),
                operator: self.operator.as_ref(),
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
    // Everything beside the load speaks HTTP/1.1.
    let plain = Connector::new(&target, false, authorities.as_deref())?;
    let client = Client::new(target.clone(), plain, Settings::default());
    let operator = operator(&prepared, options)?;
    reach(&client).await?;
    let mut watch = services::Watch::start(&options.metrics).await?;
    raise_limit();
    let users = Users::prepare(&client, &prepared, &options.users, &mut note).await?;
    let shards = options
        .shards
        .unwrap_or_else(|| default_shards(&target))
        .max(1);
    let prepared = Arc::new(prepared);
    let started_at = SystemClock.now().to_rfc3339();
    let processes = target.is_local().then(Processes::start);
    let over = CancellationToken::new();
    let (users, faults) = arm(&client, &prepared, options, users).await?;
    let (ran, renewed) = {
        let local = LocalSet::new();
        let load = async {
            let making = Making {
                prepared: &prepared,
                options,
                target: &target,
                connector: &connector,
                accounts: &users.accounts,
                operator,
                authorities,
                shards,
            };
            let ran = making.make(stop, &mut note, progress).await;
            over.cancel();
            ran
        };
        let kept = users.keep_logged_in(&client, over.clone());
        let watched = watch.watch(over.clone());
        let all = futures_util::future::join3(load, kept, watched);
        let (ran, renewed, ()) = Box::pin(local.run_until(all)).await;
        (ran, renewed)
    };
    // Whatever became of the load: nothing is left behind.
    let is_lost = matches!(
        &ran,
        Ok((
            Ran {
                ended: Ended::TargetLost,
                ..
            },
            ..
        ))
    );
    let finished = if is_lost {
        Ok(())
    } else {
        users.finish(&client).await
    };
    let (faults, unproven) = Faults::prove(faults, &client).await;
    let (ran, workers, lost) = ran?;
    let mut notes: Vec<_> = faults.iter().map(FaultRow::line).collect();
    if renewed > 0 {
        notes.push(format!("{renewed} credentials were renewed during the run"));
    }
    if options.users.operator.is_none()
        && prepared.accounts() > 0
        && options.users.api_key.is_none()
    {
        notes.push("the target's own limits were in force: no operator's key was given".into());
    }
    if let Err(error) = finished {
        notes.push(format!("the limits could not be put back: {error}"));
    }
    let mut verdict = validity::judge(&ran.series, &ran.usage, &options.rules);
    verdict.reasons.splice(0..0, lost);
    verdict.reasons.extend(unproven);
    let circumstances = Circumstances {
        target: target.url().to_owned(),
        started_at,
        shards: if workers.is_empty() {
            shards
        } else {
            workers.iter().map(|worker| worker.shards).sum()
        },
        workers,
        verdict,
        processes: processes
            .map(|processes| processes.end(20))
            .unwrap_or_default(),
        services: watch.end(),
        notes,
        faults,
    };
    Ok(Report::new(&prepared, &ran, circumstances))
}

/// Asks for the faults. Where they cannot be had there is no run, and the limits are put back.
async fn arm(
    client: &Client,
    prepared: &Prepared,
    options: &Options,
    users: Users,
) -> Result<(Users, Option<Faults>), RunError> {
    match Faults::arm(client, prepared, options.fault_key.as_deref()).await {
        Ok(faults) => Ok((users, faults)),
        Err(error) => {
            // What is wrong with the faults is told, and not this.
            let _ = users.finish(client).await;
            Err(error.into())
        }
    }
}

/// Everything that the load itself is made of.
struct Making<'a> {
    prepared: &'a Arc<Prepared>,
    options: &'a Options,
    target: &'a Target,
    connector: &'a Connector,
    accounts: &'a Arc<Vec<Account>>,
    operator: Option<HeaderValue>,
    authorities: Option<Vec<u8>>,
    shards: u64,
}

/// What a run was, the workers that made it, and what went wrong with them.
type Made = (Ran, Vec<WorkerUse>, Vec<String>);

impl Making<'_> {
    async fn make(
        self,
        stop: CancellationToken,
        note: &mut impl FnMut(String),
        progress: impl FnMut(Progress<'_>),
    ) -> Result<Made, RunError> {
        let Some(workers) = &self.options.workers else {
            let work = works(
                self.prepared,
                self.target,
                self.connector,
                self.accounts,
                self.operator,
            );
            let plan = self.prepared.plan.clone();
            let ran = engine::run(plan, self.shards, work, stop, progress).await?;
            return Ok((ran, Vec::new(), Vec::new()));
        };
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let operator = self.operator.as_ref().map(HeaderValue::to_str);
        let given = Distributed {
            workers: workers.clone(),
            key: self.options.worker_key.clone(),
            shards: self.options.shards,
            target: self.options.target.clone(),
            http2: self.options.http2,
            operator: operator.and_then(Result::ok).map(str::to_owned),
            authorities: self.authorities.map(text),
        };
        workers::run(self.prepared, &given, self.accounts, stop, note, progress)
            .await
            .map_err(RunError::Workers)
    }
}

/// The credential of whoever runs the target, if the scenario has steps for them.
fn operator(prepared: &Prepared, options: &Options) -> Result<Option<HeaderValue>, RunError> {
    if !prepared.needs_operator() {
        return Ok(None);
    }
    let key = options
        .users
        .operator
        .as_ref()
        .ok_or(RunError::NoOperator)?;
    let mut credential = HeaderValue::from_str(&format!("Bearer {key}"))
        .map_err(|_| UsersError::Credential("the operator"))?;
    credential.set_sensitive(true);
    Ok(Some(credential))
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
pub(crate) fn raise_limit() {
    // What the system allows is what there is; a lack of it shows as errors of the generator's own.
    let _ = rlimit::increase_nofile_limit(1 << 20);
}
