//! How long after the end of a fault a new document is accepted, indexed and found.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use touchstone_stack::Service;
use touchstone_test_services::Exclusive;

use super::deployment::{Deployment, Servers};
use crate::system::{Session, percentile};
use crate::table::{Goal, Table};

/// Each fault comes so often.
const ROUNDS: usize = 2;
/// Clients that upload all the while, so that faults hit work in flight.
const CLIENTS: usize = 4;
/// How long a server is away.
const AWAY: Duration = Duration::from_secs(2);
/// Longest wait for one answer: a client of a frozen server gives up.
const ANSWER: Duration = Duration::from_secs(3);
/// Longest wait for recovery, after which the measurement fails.
const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(20);

/// What happens.
enum Fault<'a> {
    /// SIGKILL, and a new process at once.
    Dead(Service),
    /// SIGKILL, and a start with its data.
    Killed(&'a Exclusive),
    /// SIGSTOP and SIGCONT.
    Frozen(&'a Exclusive),
}

impl Fault<'_> {
    fn name(&self) -> String {
        match self {
            Self::Dead(service) => format!("{service} killed"),
            Self::Killed(server) => format!("{} killed", server.kind()),
            Self::Frozen(server) => format!("{} frozen", server.kind()),
        }
    }

    /// Brings it about and ends it.
    async fn strike(&self, deployment: &mut Deployment) -> anyhow::Result<()> {
        match self {
            Self::Dead(service) => {
                deployment.kill(*service).await?;
                deployment.spawn(*service)?;
            }
            Self::Killed(server) => {
                server.kill().await;
                tokio::time::sleep(AWAY).await;
                server.restart().await;
            }
            Self::Frozen(server) => {
                server.freeze().await;
                tokio::time::sleep(AWAY).await;
                server.thaw().await;
            }
        }
        Ok(())
    }
}

pub async fn run(
    mut deployment: Deployment,
    servers: &Servers,
    table: &mut Table,
) -> anyhow::Result<()> {
    let user = deployment.user.clone();
    let mut faults: Vec<_> = Service::ALL.into_iter().map(Fault::Dead).collect();
    let all = [&servers.postgres, &servers.redis, &servers.kafka];
    let known = all.into_iter().chain(&servers.qdrant);
    faults.extend(known.clone().map(Fault::Killed));
    faults.extend(known.map(Fault::Frozen));
    let accepted = Arc::new(AtomicUsize::new(0));
    let mut load = JoinSet::new();
    for client in 0..CLIENTS {
        load.spawn(uploads(user.clone(), client, Arc::clone(&accepted)));
    }
    let mut recoveries: Vec<(f64, String)> = Vec::new();
    for round in 0..ROUNDS {
        for (number, fault) in faults.iter().enumerate() {
            let before = accepted.load(Ordering::SeqCst);
            while accepted.load(Ordering::SeqCst) < before + CLIENTS {
                tokio::time::sleep(PAUSE).await;
            }
            fault.strike(&mut deployment).await?;
            let ended = Instant::now();
            let word = format!("recovery{round}x{number}");
            let recovered = found(&user, &word, ended).await;
            recovered.with_context(|| format!("after {}", fault.name()))?;
            recoveries.push((ended.elapsed().as_secs_f64(), fault.name()));
        }
    }
    load.shutdown().await;
    let what = "faults: a new document is accepted, indexed and found after, p95";
    tell(what, 0.95, recoveries, table);
    Ok(())
}

/// How long it took after how many of `what`, at this quantile, at half of them and at the slowest.
pub(super) fn tell(what: &str, at: f64, mut recoveries: Vec<(f64, String)>, table: &mut Table) {
    let mut seconds: Vec<_> = recoveries.iter().map(|(seconds, _)| *seconds).collect();
    let what = format!("{} {what}", recoveries.len());
    let high = percentile(&mut seconds, at);
    table.measured(&what, Goal::AtMost(10.0), high, " s", 2);
    let p50 = percentile(&mut seconds, 0.5);
    table.measured("the same, p50", Goal::None, p50, " s", 2);
    recoveries.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (seconds, name) in recoveries.iter().take(3) {
        let what = format!("the slowest: {name}");
        table.measured(&what, Goal::None, *seconds, " s", 2);
    }
}

/// Uploads for ever; what fails is let be.
async fn uploads(user: Session, client: usize, accepted: Arc<AtomicUsize>) {
    for number in 0.. {
        let content = format!("Client {client} notes that item {number} is on a shelf.");
        let body = json!({"filename": format!("{client}-{number}.txt"), "content": content});
        let request = user.request(Method::POST, "/documents").json(&body);
        if answer(request).await.is_some() {
            accepted.fetch_add(1, Ordering::SeqCst);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The body of a success; nothing for whatever else.
async fn answer(request: RequestBuilder) -> Option<Value> {
    let answer = request.timeout(ANSWER).send().await.ok()?;
    let good = answer.status().is_success();
    answer.json().await.ok().filter(|_| good)
}

/// Uploads a document with a word of its own and searches it until it is found.
pub(super) async fn found(user: &Session, word: &str, since: Instant) -> anyhow::Result<()> {
    let body = json!({"filename": format!("{word}.txt"), "content": format!("This is {word}.")});
    let mut stored = Value::Null;
    loop {
        if stored.is_null() {
            let request = user.request(Method::POST, "/documents");
            let request = request.header("Idempotency-Key", word).json(&body);
            stored = answer(request).await.unwrap_or_default()["id"].take();
        } else {
            let query = json!({"query": word, "limit": 1});
            let request = user.request(Method::POST, "/search").json(&query);
            let told = answer(request).await.unwrap_or_default();
            if told["hits"][0]["document_id"] == stored {
                return Ok(());
            }
        }
        anyhow::ensure!(since.elapsed() < PATIENCE, "`{word}` is not found");
        tokio::time::sleep(PAUSE).await;
    }
}
