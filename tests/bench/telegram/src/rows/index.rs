//! From a post to its citation, and from its deletion to the end of that, through the whole stack.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::header::{AUTHORIZATION, CACHE_CONTROL, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use touchstone_lifecycle::Lifecycle;
use touchstone_telegram_simulator::{PostRequest, Simulator};

use super::{joined, percentile, world};
use crate::Args;
use crate::child::Program;
use crate::served::{Client, PATIENCE, data_centre};
use crate::table::{Goal, Table};

const SERVICES: [&str; 10] = [
    "gateway",
    "auth",
    "document",
    "embedding",
    "retrieval",
    "generation",
    "model",
    "vector",
    "telegram",
    "analytics",
];
/// Readers at once.
const READERS: usize = 16;
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(10);
/// From the deletion to the question.
const AFTER: Duration = Duration::from_secs(2);

/// What a reader saw of a post.
#[derive(Debug)]
struct Seen {
    /// Seconds from the post to the first search that found it.
    searchable: f64,
    /// Whether an answer cited it while it was there.
    cited: bool,
    /// Whether one did when it was gone.
    stale: bool,
}

pub(super) async fn run(args: &Args, table: &mut Table) -> anyhow::Result<()> {
    let binary = match &args.binary {
        Some(binary) => binary.clone(),
        None => beside()?,
    };
    if !binary.is_file() {
        let why = format!("no `{}`; build it or give `--binary`", binary.display());
        table.skipped("post to searchable, stale citations", &why);
        return Ok(());
    }
    let centre = Lifecycle::new();
    let simulator = data_centre(world(9, vec![joined("durov".into(), 3)]), &centre).await?;
    let folder = tempfile::tempdir()?;
    let (_stack, client) = stack(&binary, &simulator, folder.path()).await?;
    let channel = client.follow("durov").await?;
    let seen: Vec<Seen> = stream::iter(0..args.questions)
        .map(|number| reader(&client, &simulator, channel, number))
        .buffer_unordered(READERS)
        .try_collect()
        .await?;
    let mut seconds: Vec<f64> = seen.iter().map(|seen| seen.searchable).collect();
    seconds.sort_by(f64::total_cmp);
    let count = seen.len();
    for (name, share, goal) in [("p50", 0.5, 500.0), ("p99", 0.99, 2_000.0)] {
        let what = format!("post to searchable, {count} posts, {READERS} readers, {name}");
        let value = percentile(&seconds, share) * 1_000.0;
        table.measured(&what, Goal::AtMost(goal), value, " ms", 0);
    }
    let cited = seen.iter().filter(|seen| seen.cited).count() as f64;
    let what = format!("answers of {count} that cited the post while it was there");
    table.measured(&what, Goal::None, cited, "", 0);
    let stale = seen.iter().filter(|seen| seen.stale).count() as f64;
    let what = format!("answers of {count} that cited it 2 s after its deletion");
    table.measured(&what, Goal::AtMost(0.0), stale, "", 0);
    centre.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// Posts, waits until it is found, asks, deletes, and asks again.
async fn reader(
    client: &Client,
    simulator: &Simulator,
    channel: i64,
    number: usize,
) -> anyhow::Result<Seen> {
    let place = place(number);
    let question = format!("When does the ferry to {place} leave?");
    let text = format!("The ferry to {place} leaves at nine o'clock from pier {number}.");
    let posted = Instant::now();
    let id = simulator.post(channel, PostRequest::text(text));
    let id = id.context("no channel")?;
    let link = format!("https://t.me/durov/{id}");
    let searchable = loop {
        // The gateway would give the last answer to the same search for two seconds.
        let asked = client.http.post(format!("{}/search", client.base));
        let asked = asked.json(&json!({ "query": place }));
        let answer = asked.header(CACHE_CONTROL, "no-cache").send().await?;
        let status = answer.status();
        let answer: Value = answer.json().await?;
        anyhow::ensure!(status == 200, "{status} {answer}");
        if names(&answer["hits"], &link) {
            break posted.elapsed().as_secs_f64();
        }
        anyhow::ensure!(posted.elapsed() < PATIENCE, "{link} is never found");
        tokio::time::sleep(PAUSE).await;
    };
    let cited = cites(client, &question, &link).await?;
    simulator.delete(channel, &[id]);
    tokio::time::sleep(AFTER).await;
    let stale = cites(client, &question, &link).await?;
    Ok(Seen {
        searchable,
        cited,
        stale,
    })
}

/// Whether the answer to a question names the link.
async fn cites(client: &Client, question: &str, link: &str) -> anyhow::Result<bool> {
    let (status, answer) = client
        .post("/ask", &json!({ "question": question }))
        .await?;
    anyhow::ensure!(status == 200, "{status} {answer}");
    Ok(names(&answer, link))
}

fn names(value: &Value, link: &str) -> bool {
    value.to_string().contains(&format!("\"{link}\""))
}

/// A name that no other post has.
fn place(number: usize) -> String {
    let syllables = [
        "bra", "kel", "dor", "vin", "sul", "mey", "tor", "gan", "lis", "fru",
    ];
    let digits = format!("{number:04}");
    let parts = digits
        .bytes()
        .map(|digit| syllables[usize::from(digit - b'0')]);
    parts.collect()
}

fn beside() -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name("touchstone"))
}

/// The stack in a process of its own on this data centre, and a user of its gateway.
async fn stack(
    binary: &Path,
    simulator: &Simulator,
    folder: &Path,
) -> anyhow::Result<(Program, Client)> {
    let mut command = Command::new(std::path::absolute(binary)?);
    command
        .current_dir(folder)
        .arg("--data-dir")
        .arg(folder.join("data"))
        .arg("--json")
        .args(SERVICES.map(|service| format!("--{service}-port=0")));
    for setting in [
        "stack.demo.enabled=false",
        "stack.admin_port=0",
        "gateway.quota.limits.plan=load",
        "gateway.quota.limits.anonymous=load",
        "stack.log.filter=\"warn\"",
    ] {
        command.args(["--set", setting]);
    }
    command
        .env("SESSION", simulator.session())
        .env("TELEGRAM_API_ID", "1")
        .env("TELEGRAM_API_HASH", "hash")
        .env("TELEGRAM_RATE_LIMIT", "1000");
    let mut program = Program::start("stack", &command, folder)?;
    let banner: Value = serde_json::from_str(&program.line(PATIENCE).await?)?;
    let gateway = banner["urls"]["gateway"].as_str().context("no gateway")?;
    let mut client = Client::new(format!("{gateway}/api/v1"))?;
    let account = json!({"email": "bench@example.org", "password": "correct horse battery"});
    let (_, tokens) = client.post("/auth/register", &account).await?;
    client.http = bearer(&tokens["access_token"])?;
    // A token runs out within minutes, a key does not.
    let (_, made) = client
        .post("/auth/api-keys", &json!({"name": "bench"}))
        .await?;
    client.http = bearer(&made["key"])?;
    Ok((program, client))
}

fn bearer(token: &Value) -> anyhow::Result<reqwest::Client> {
    let token = token.as_str().context("no credential")?;
    let value = HeaderValue::from_str(&format!("Bearer {token}"))?;
    let headers = HeaderMap::from_iter([(AUTHORIZATION, value)]);
    let client = reqwest::Client::builder().default_headers(headers);
    Ok(client.timeout(PATIENCE).build()?)
}
