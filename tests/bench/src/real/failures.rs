//! Each service and each backend stopped, frozen and slowed down in turn, under load: what clients are
//! told meanwhile, how soon everything goes on, and whether anything is lost that was accepted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use touchstone_stack::Service;
use touchstone_test_services::Exclusive;

use super::deployment::{Deployment, Servers};
use super::recovery::{self, found};
use crate::system::Session;
use crate::table::{Goal, Table};

/// How long something is away.
const AWAY: Duration = Duration::from_secs(5);
/// What is slow works so long, and stands still so long, over and over.
const WORKS: Duration = Duration::from_millis(20);
const STANDS: Duration = Duration::from_millis(180);
/// A client of these gives up then; no service may take as long to say what is wrong.
const ANSWER: Duration = Duration::from_secs(65);
/// Clients of each kind of request: some hang at what is frozen while others go on.
const CLIENTS: usize = 3;
const PAUSE: Duration = Duration::from_millis(50);
/// Longest wait until everything goes on, after which the measurement fails.
const PATIENCE: Duration = Duration::from_mins(2);

/// What is struck.
enum Target<'a> {
    Service(Service),
    Server(&'a Exclusive),
}

/// How.
#[derive(Clone, Copy, Debug)]
enum How {
    /// SIGKILL, and a start after a while.
    Stopped,
    /// SIGSTOP, and SIGCONT after a while.
    Frozen,
    /// A tenth of the time to work.
    Slow,
}

impl Target<'_> {
    fn name(&self) -> String {
        match self {
            Self::Service(service) => service.to_string(),
            Self::Server(server) => server.kind().to_string(),
        }
    }

    async fn pause(&self, deployment: &Deployment) -> anyhow::Result<()> {
        match self {
            Self::Service(service) => deployment.signal(*service, "-STOP").await?,
            Self::Server(server) => server.freeze().await,
        }
        Ok(())
    }

    async fn go_on(&self, deployment: &Deployment) -> anyhow::Result<()> {
        match self {
            Self::Service(service) => deployment.signal(*service, "-CONT").await?,
            Self::Server(server) => server.thaw().await,
        }
        Ok(())
    }

    /// Brings it about and ends it.
    async fn strike(&self, how: How, deployment: &mut Deployment) -> anyhow::Result<()> {
        match (how, self) {
            (How::Stopped, Self::Service(service)) => {
                deployment.kill(*service).await?;
                tokio::time::sleep(AWAY).await;
                deployment.spawn(*service)?;
            }
            (How::Stopped, Self::Server(server)) => {
                server.kill().await;
                tokio::time::sleep(AWAY).await;
                server.restart().await;
            }
            (How::Frozen, _) => {
                self.pause(deployment).await?;
                tokio::time::sleep(AWAY).await;
                self.go_on(deployment).await?;
            }
            (How::Slow, _) => {
                let began = Instant::now();
                while began.elapsed() < AWAY {
                    self.pause(deployment).await?;
                    tokio::time::sleep(STANDS).await;
                    self.go_on(deployment).await?;
                    tokio::time::sleep(WORKS).await;
                }
            }
        }
        Ok(())
    }
}

/// What became of requests.
#[derive(Clone, Debug, Default)]
struct Seen {
    good: u64,
    /// Good, and told to be less than usual.
    degraded: u64,
    /// Errors with a code.
    typed: BTreeMap<String, u64>,
    /// Errors without one.
    untyped: BTreeMap<String, u64>,
    /// No answer at all: the gateway itself was away.
    nothing: u64,
    /// The longest time until an error was told.
    slowest_error: Duration,
    /// When each kind of request was last answered well.
    last_good: BTreeMap<&'static str, Instant>,
    /// Documents that were accepted, and their text.
    accepted: Vec<(String, String)>,
}

type Shared = Arc<Mutex<Seen>>;

fn seen(shared: &Shared) -> std::sync::MutexGuard<'_, Seen> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

const KINDS: [&str; 5] = ["list", "search", "ask", "me", "upload"];

/// Asks for ever, until it is over; every answer is looked at.
async fn client(
    user: Session,
    kind: &'static str,
    number: usize,
    shared: Shared,
    over: Arc<AtomicBool>,
) {
    let mut turn = 0;
    while !over.load(Ordering::Relaxed) {
        turn += 1;
        let text = format!("Client {number} puts item {turn} on the shelf of the failing.");
        let request = match kind {
            "list" => user.request(Method::GET, "/documents?limit=5"),
            "search" => {
                let query = json!({"query": "shelf", "limit": 3});
                user.request(Method::POST, "/search").json(&query)
            }
            "ask" => {
                let question = json!({"question": format!("Where is item {turn}?")});
                user.request(Method::POST, "/ask").json(&question)
            }
            "me" => user.request(Method::GET, "/auth/me"),
            _ => {
                let body = json!({"filename": format!("{number}-{turn}.txt"), "content": text});
                user.request(Method::POST, "/documents").json(&body)
            }
        };
        ask(request, kind, text, &shared).await;
        tokio::time::sleep(PAUSE).await;
    }
}

async fn ask(request: RequestBuilder, kind: &'static str, text: String, shared: &Shared) {
    let request = request.header("cache-control", "no-cache");
    let began = Instant::now();
    let answer = request.timeout(ANSWER).send().await;
    let Ok(answer) = answer else {
        let mut seen = seen(shared);
        seen.nothing += 1;
        seen.slowest_error = seen.slowest_error.max(began.elapsed());
        return;
    };
    let (status, is_degraded) = (answer.status(), answer.headers().contains_key("degraded"));
    let body = answer.json::<Value>().await.unwrap_or_default();
    let mut seen = seen(shared);
    if status.is_success() {
        seen.good += 1;
        seen.degraded += u64::from(is_degraded);
        seen.last_good.insert(kind, began);
        if let (true, Some(id)) = (kind == "upload", body["id"].as_str()) {
            seen.accepted.push((id.to_owned(), text));
        }
        return;
    }
    seen.slowest_error = seen.slowest_error.max(began.elapsed());
    let told = match body["code"].as_str() {
        Some(code) if body["status"] == status.as_u16() => {
            (&mut seen.typed, format!("{} {code}", status.as_u16()))
        }
        _ => (&mut seen.untyped, status.as_u16().to_string()),
    };
    *told.0.entry(told.1).or_default() += 1;
}

/// Opened and closed breakers that the gateway counted since it began.
async fn breakers(deployment: &Deployment) -> anyhow::Result<(f64, f64)> {
    let text = deployment.metrics().await?;
    let sum = |action: &str| -> f64 {
        let lines = text.lines().filter(|line| {
            line.starts_with("touchstone_mesh_decisions_total{")
                && line.contains("policy=\"breaker\"")
                && line.contains(&format!("action=\"{action}\""))
        });
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    Ok((sum("opened"), sum("closed")))
}

/// Until every kind of request was answered well that began after the fault was over, and a new document
/// is found.
async fn goes_on(
    user: &Session,
    shared: &Shared,
    word: &str,
    ended: Instant,
) -> anyhow::Result<()> {
    found(user, word, ended).await?;
    loop {
        let is_well = |kind: &&str| {
            let last = seen(shared).last_good.get(*kind).copied();
            last.is_some_and(|last| last >= ended)
        };
        let Some(kind) = KINDS.iter().find(|kind| !is_well(kind)) else {
            return Ok(());
        };
        anyhow::ensure!(ended.elapsed() < PATIENCE, "`{kind}` does not go on");
        tokio::time::sleep(PAUSE).await;
    }
}

/// Documents that were accepted and are not indexed, or not what was sent.
async fn lost(user: &Session, accepted: &[(String, String)]) -> anyhow::Result<Vec<String>> {
    user.settled().await?;
    let mut lost = Vec::new();
    for (id, text) in accepted {
        let told = user
            .send(Method::GET, &format!("/documents/{id}"), None)
            .await;
        let content = user.request(Method::GET, &format!("/documents/{id}/content"));
        let content = content.send().await?.text().await?;
        let status = told
            .ok()
            .and_then(|told| told["status"].as_str().map(str::to_owned));
        if status.as_deref() != Some("indexed") || content != *text {
            lost.push(format!("{id} ({})", status.unwrap_or_default()));
        }
    }
    Ok(lost)
}

pub async fn run(
    mut deployment: Deployment,
    servers: &Servers,
    table: &mut Table,
) -> anyhow::Result<()> {
    let user = deployment.user.clone();
    let mut targets: Vec<_> = Service::ALL.into_iter().map(Target::Service).collect();
    let all = [&servers.postgres, &servers.redis, &servers.kafka];
    targets.extend(all.into_iter().chain(&servers.qdrant).map(Target::Server));
    let shared = Shared::default();
    let over = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for number in 0..CLIENTS * KINDS.len() {
        let kind = KINDS[number % KINDS.len()];
        let client = client(
            user.clone(),
            kind,
            number,
            Arc::clone(&shared),
            Arc::clone(&over),
        );
        load.spawn(client);
    }
    goes_on(&user, &shared, "calm", Instant::now()).await?;
    let (mut recoveries, mut opened, mut closed) = (Vec::new(), 0, 0);
    let mut unanswered = 0;
    for (number, target) in targets.iter().enumerate() {
        for how in [How::Stopped, How::Frozen, How::Slow] {
            let name = format!("{} {how:?}", target.name()).to_lowercase();
            let before = breakers(&deployment).await?;
            let calm = seen(&shared).clone();
            target.strike(how, &mut deployment).await?;
            let ended = Instant::now();
            let word = format!("failure{number}{how:?}").to_lowercase();
            let well = goes_on(&user, &shared, &word, ended).await;
            well.with_context(|| format!("after {name}"))?;
            let took = ended.elapsed().as_secs_f64();
            let after = breakers(&deployment).await?;
            // A gateway that began anew counts from nothing.
            if after.0 > before.0 {
                opened += 1;
                closed += u32::from(after.1 > before.1);
            }
            let now = seen(&shared).clone();
            let told = now.typed.values().sum::<u64>() - calm.typed.values().sum::<u64>();
            table.told(
                &name,
                &format!(
                    "{} good ({} degraded), {told} typed errors, {} without an answer; goes on after {took:.1} s",
                    now.good - calm.good,
                    now.degraded - calm.degraded,
                    now.nothing - calm.nothing,
                ),
            );
            if !matches!(target, Target::Service(Service::Gateway)) {
                unanswered += now.nothing - calm.nothing;
            }
            recoveries.push((took, name));
        }
    }
    over.store(true, Ordering::Relaxed);
    while load.join_next().await.is_some() {}
    let total = seen(&shared).clone();
    tell(&total, recoveries, (opened, closed), table);
    let what = "requests without an answer while the gateway was well";
    table.measured(what, Goal::AtMost(0.0), unanswered as f64, "", 0);
    let lost = lost(&user, &total.accepted).await?;
    let what = format!("of {} accepted documents are lost", total.accepted.len());
    table.measured(&what, Goal::AtMost(0.0), lost.len() as f64, "", 0);
    for one in lost.iter().take(5) {
        table.told("lost", one);
    }
    Ok(())
}

fn tell(
    total: &Seen,
    recoveries: Vec<(f64, String)>,
    (opened, closed): (u32, u32),
    table: &mut Table,
) {
    let what = "failures: every kind of request goes on after, longest";
    recovery::tell(what, 1.0, recoveries, table);
    let untyped: u64 = total.untyped.values().sum();
    table.measured(
        "errors without a code",
        Goal::AtMost(0.0),
        untyped as f64,
        "",
        0,
    );
    if untyped > 0 {
        table.told("errors without a code", &format!("{:?}", total.untyped));
    }
    let slowest = total.slowest_error.as_secs_f64();
    table.measured(
        "longest wait for an error",
        Goal::AtMost(60.0),
        slowest,
        " s",
        1,
    );
    let what = "answers, those of them degraded, typed errors, no answer";
    let text = format!(
        "{}, {}, {}, {}",
        total.good,
        total.degraded,
        total.typed.values().sum::<u64>(),
        total.nothing
    );
    table.told(what, &text);
    table.told("typed errors", &format!("{:?}", total.typed));
    let text = format!("in {opened} failures; closed again by their end in {closed}");
    table.told("breakers of the gateway opened", &text);
}
