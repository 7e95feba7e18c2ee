//! Start, first answer, idle memory, size of the binary.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::Method;
use serde_json::json;

use super::{Running, Session, percentile};
use crate::table::{Goal, Table};

const ROUNDS: usize = 5;
/// How long the stack rests before its memory is read.
const IDLE: Duration = Duration::from_secs(5);

pub async fn run(binary: &Path, table: &mut Table) -> anyhow::Result<()> {
    let size = std::fs::metadata(binary)?.len() as f64 / f64::from(1 << 20);
    table.measured("size of the binary", Goal::AtMost(100.0), size, " MiB", 1);
    let mut seconds = Vec::new();
    let mut memory = 0.0_f64;
    for round in 0..ROUNDS {
        let started = Instant::now();
        let stack = Running::start(binary).await?;
        first_answer(&stack.session).await?;
        seconds.push(started.elapsed().as_secs_f64());
        if round + 1 == ROUNDS {
            tokio::time::sleep(IDLE).await;
            memory = stack.resident_mib()?;
        }
        stack.stop().await?;
    }
    let median = percentile(&mut seconds, 0.5);
    table.measured(
        "start to first cited answer, median of 5",
        Goal::AtMost(3.0),
        median,
        " s",
        2,
    );
    table.measured(
        "idle memory of the whole stack",
        Goal::AtMost(120.0),
        memory,
        " MiB",
        1,
    );
    Ok(())
}

/// Asks until the demo corpus, which is still being indexed, gives a cited answer.
async fn first_answer(user: &Session) -> anyhow::Result<()> {
    let question =
        json!({"question": "When was the lighthouse at Cape Verin lit for the first time?"});
    let started = Instant::now();
    loop {
        let answer = user.send(Method::POST, "/ask", Some(&question)).await?;
        let citations = answer["citations"].as_array().context("no citations")?;
        if !citations.is_empty() {
            return Ok(());
        }
        anyhow::ensure!(
            started.elapsed() < Duration::from_mins(1),
            "no cited answer: {answer}"
        );
    }
}
