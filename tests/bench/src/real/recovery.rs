//! How long after the end of a fault a new document is accepted, indexed and found.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::deployment::{Deployment, Servers};
use super::strike::{How, Target};
use crate::system::{Session, percentile};
use crate::table::{Goal, Table};

/// Each fault comes so often.
const ROUNDS: usize = 2;
/// Clients that upload all the while, so that faults hit work in flight.
const CLIENTS: usize = 4;
/// How long a server is away; a service starts again at once.
const AWAY: Duration = Duration::from_secs(2);
/// Longest wait for one answer: a client of a frozen server gives up.
const ANSWER: Duration = Duration::from_secs(3);
/// Longest wait for recovery, after which the measurement fails.
const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(20);

pub async fn run(
    mut deployment: Deployment,
    servers: &Servers,
    table: &mut Table,
) -> anyhow::Result<()> {
    let user = deployment.user.clone();
    let killed = Target::services().into_iter();
    let mut faults: Vec<_> = killed
        .map(|target| (target, How::Stopped, Duration::ZERO))
        .collect();
    for how in [How::Stopped, How::Frozen] {
        let struck = Target::servers(servers).into_iter();
        faults.extend(struck.map(|target| (target, how, AWAY)));
    }
    let accepted = Arc::new(AtomicUsize::new(0));
    let mut load = JoinSet::new();
    for client in 0..CLIENTS {
        load.spawn(uploads(user.clone(), client, Arc::clone(&accepted)));
    }
    let mut recoveries: Vec<(f64, String)> = Vec::new();
    for round in 0..ROUNDS {
        for (number, (target, how, away)) in faults.iter().enumerate() {
            let name = format!("{} {}", target.name(), how.name());
            let before = accepted.load(Ordering::SeqCst);
            while accepted.load(Ordering::SeqCst) < before + CLIENTS {
                tokio::time::sleep(PAUSE).await;
            }
            target.strike(*how, *away, &mut deployment).await?;
            let ended = Instant::now();
            let word = format!("recovery{round}x{number}");
            let recovered = found(&user, &word, ended).await;
            recovered.with_context(|| format!("after {name}"))?;
            recoveries.push((ended.elapsed().as_secs_f64(), name));
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

/// How long after `since` a new document was accepted, a search was answered at all, and it found the
/// document.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moments {
    pub accepted: Duration,
    pub searched: Duration,
    pub found: Duration,
}

/// Uploads a document with a word of its own and searches it until it is found.
pub(super) async fn found(user: &Session, word: &str, since: Instant) -> anyhow::Result<Moments> {
    let body = json!({"filename": format!("{word}.txt"), "content": format!("This is {word}.")});
    let (mut accepted, mut searched) = (None, None);
    loop {
        if let Some((id, accepted)) = &accepted {
            let query = json!({"query": word, "limit": 1});
            let request = user.request(Method::POST, "/search").json(&query);
            // An answer that is kept for bad times tells nothing of these.
            let request = request.header("cache-control", "no-cache");
            if let Some(told) = answer(request).await {
                let now = since.elapsed();
                let searched = *searched.get_or_insert(now);
                if told["hits"][0]["document_id"] == *id {
                    return Ok(Moments {
                        accepted: *accepted,
                        searched,
                        found: now,
                    });
                }
            }
        } else {
            let request = user.request(Method::POST, "/documents");
            let request = request.header("Idempotency-Key", word).json(&body);
            let id = answer(request).await.unwrap_or_default()["id"].take();
            accepted = (!id.is_null()).then(|| (id, since.elapsed()));
        }
        anyhow::ensure!(
            since.elapsed() < PATIENCE,
            "`{word}` is not found; accepted and searched after {:?} and {searched:?}",
            accepted.map(|(_, after)| after),
        );
        tokio::time::sleep(PAUSE).await;
    }
}
