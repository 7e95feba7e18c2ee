//! Ingest on real servers, and what processes and servers add to a search.

use std::path::Path;
use std::time::Instant;

use reqwest::Method;
use serde_json::json;

use super::deployment::{Deployment, Servers, register};
use crate::system::load::{World, fill};
use crate::system::{Running, Session, percentile};
use crate::table::{Goal, Table};

const QUERIES: usize = 1000;
const WARMUP: usize = 100;

pub async fn run(
    binary: &Path,
    servers: &Servers,
    chunks: usize,
    table: &mut Table,
) -> anyhow::Result<()> {
    let place = match servers.qdrant {
        Some(_) => "PostgreSQL, Redis, Kafka, Qdrant",
        None => "PostgreSQL, Redis, Kafka, own index",
    };
    let deployment = Deployment::start(binary, servers).await?;
    let distributed = &deployment.user;
    let mut world = World::new(42);
    let filled = fill(distributed, &mut world, chunks).await?;
    let what = format!("ingest of {} chunks to `indexed` ({place})", filled.written);
    table.measured(&what, Goal::AtLeast(500.0), filled.rate(), " chunks/s", 0);

    // The same text in one process, asked in turns, so that both feel the same neighbours.
    let stack = Running::start(binary).await?;
    stack.session.settled().await?;
    let embedded = register(stack.gateway()).await?;
    fill(&embedded, &mut World::new(42), chunks).await?;
    let (mut here, mut there) = (Vec::new(), Vec::new());
    for number in 0..WARMUP + QUERIES {
        let question = world.question();
        let (one, other) = if number % 2 == 0 {
            let one = search(&embedded, &question).await?;
            (one, search(distributed, &question).await?)
        } else {
            let other = search(distributed, &question).await?;
            (search(&embedded, &question).await?, other)
        };
        if number >= WARMUP {
            here.push(one);
            there.push(other);
        }
    }
    let at = |at: f64, values: &mut Vec<f64>| percentile(values, at);
    for (name, share) in [("p50", 0.5), ("p95", 0.95)] {
        let (one, other) = (at(share, &mut here), at(share, &mut there));
        let what = format!("search at {} chunks, {name} ({place})", filled.held);
        table.measured(&what, Goal::None, other, " ms", 2);
        let what = format!("search at {} chunks, {name}, in one process", filled.held);
        table.measured(&what, Goal::None, one, " ms", 2);
        let goal = if share > 0.9 {
            Goal::AtMost(3.0)
        } else {
            Goal::None
        };
        let what = format!("added by processes and servers, {name} ({place})");
        table.measured(&what, goal, other - one, " ms", 2);
    }
    stack.stop().await
}

/// Milliseconds of a search.
async fn search(user: &Session, question: &str) -> anyhow::Result<f64> {
    let body = json!({"query": question, "limit": 10});
    let started = Instant::now();
    user.send(Method::POST, "/search", Some(&body)).await?;
    Ok(started.elapsed().as_secs_f64() * 1e3)
}
