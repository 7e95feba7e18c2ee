//! A million posts to JSON and text, beside Telethon on the same data centre.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::{Value, json};
use tempfile::TempDir;
use touchstone_lifecycle::Lifecycle;
use touchstone_telegram_simulator::Simulator;

use super::{joined, world};
use crate::child::{Program, resident_mib};
use crate::served::{Client, Options, PATIENCE, data_centre, store_of};
use crate::table::{Goal, Table};
use crate::{Args, venv};

/// Most posts of one request.
const EACH: u32 = 10_000;
/// Numbers of a channel: some are holes.
const NUMBERS: u32 = 10_500;
/// Requests at once.
const AT_ONCE: usize = 3;
/// Channels of which the events are waited for.
const TOLD: usize = 10;

pub(super) async fn run(args: &Args, table: &mut Table) -> anyhow::Result<()> {
    let names: Vec<String> = (0..args.posts.div_ceil(EACH))
        .map(|number| format!("archive_{number:03}"))
        .collect();
    let channels = names.iter().map(|name| joined(name.clone(), NUMBERS));
    let centre = Lifecycle::new();
    let simulator = data_centre(world(1, channels.collect()), &centre).await?;
    let posts = f64::from(EACH) * names.len() as f64;
    let ours = Box::pin(service(&simulator, &names, table)).await?;
    let what = format!("{posts} posts to JSON and text, the service");
    table.measured(&what, Goal::AtLeast(50_000.0), posts / ours, " posts/s", 0);
    let few = &names[..names.len().min(TOLD)];
    let seconds = Box::pin(told(&simulator, few)).await?;
    let posts_told = f64::from(EACH) * few.len() as f64;
    let what = format!("{posts_told} posts, until the bus has all their events");
    table.measured(&what, Goal::None, posts_told / seconds, " posts/s", 0);
    match telethon(&simulator, &names).await {
        Ok(theirs) => {
            table.measured(
                "the same, Telethon 1.45.0",
                Goal::None,
                posts / theirs,
                " posts/s",
                0,
            );
            let ratio = theirs / ours;
            table.measured("rate beside Telethon's", Goal::AtLeast(2.0), ratio, "x", 2);
        }
        Err(error) => table.skipped("Telethon 1.45.0", &format!("{error:#}")),
    }
    centre.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// Exports every channel with the service; seconds.
async fn service(
    simulator: &Simulator,
    names: &[String],
    table: &mut Table,
) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let (program, client) = start(simulator, &folder, false).await?;
    let done = Arc::new(AtomicBool::default());
    let memory = watch(program.id(), Arc::clone(&done));
    let work = async {
        let started = Instant::now();
        let exports = exports(&client, names).await;
        done.store(true, Ordering::Relaxed);
        anyhow::Ok((exports?, started.elapsed().as_secs_f64()))
    };
    let (memory, worked) = tokio::join!(memory, work);
    let (exports, seconds) = worked?;
    for place in [0, exports.len() / 2, exports.len() - 1] {
        verify(simulator, &folder, &names[place], &exports[place])?;
    }
    let most = |part: &[f64]| part.iter().copied().fold(0.0, f64::max);
    let quarter = memory.len() / 4;
    table.measured(
        "its resident memory, most",
        Goal::AtMost(200.0),
        most(&memory),
        " MiB",
        0,
    );
    let (second, last) = (&memory[quarter..2 * quarter], &memory[3 * quarter..]);
    let growth = most(last) - most(second);
    let what = "its growth from the second quarter to the last";
    table.measured(what, Goal::AtMost(20.0), growth, " MiB", 0);
    let points: Vec<String> = (0..10)
        .filter_map(|tenth| memory.get(tenth * memory.len() / 10))
        .map(|mib| format!("{mib:.0}"))
        .collect();
    table.told(
        "its resident memory by tenths of the time, MiB",
        &points.join(" "),
    );
    Ok(seconds)
}

/// Exports channels with a bus that takes everything, until it has all events; seconds.
async fn told(simulator: &Simulator, names: &[String]) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let (_program, client) = start(simulator, &folder, true).await?;
    let outbox = store_of(folder.path()).await?.outbox();
    let started = Instant::now();
    exports(&client, names).await?;
    loop {
        let health = client.get("/health").await?.1;
        if health["details"]["posts_untold"] == 0 && outbox.backlog().await? == 0 {
            return Ok(started.elapsed().as_secs_f64());
        }
        anyhow::ensure!(started.elapsed() < PATIENCE, "not told: {health}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A service that is logged in.
async fn start(
    simulator: &Simulator,
    folder: &TempDir,
    bus: bool,
) -> anyhow::Result<(Program, Client)> {
    let options = Options {
        session: simulator.session().to_owned(),
        folder: folder.path().to_owned(),
        rate: 1_000_000.0,
        poll: 3_600_000,
        bus,
    };
    let (program, base) = options.spawn().await?;
    let client = Client::new(base)?;
    client.authorized().await?;
    Ok((program, client))
}

/// Exports channels; the names of the JSON files.
async fn exports(client: &Client, names: &[String]) -> anyhow::Result<Vec<String>> {
    let exports = stream::iter(names).map(|name| export(client, name));
    exports.buffered(AT_ONCE).try_collect().await
}

/// Resident memory of a process, ten times a second.
async fn watch(process: u32, done: Arc<AtomicBool>) -> Vec<f64> {
    let mut seen = Vec::new();
    while !done.load(Ordering::Relaxed) {
        seen.push(resident_mib(process));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    seen
}

/// Exports a channel; the name of the JSON file.
async fn export(client: &Client, name: &str) -> anyhow::Result<String> {
    let body = json!({"channel_username": name, "limit": EACH});
    let request = client.http.post(format!("{}/channels/parse", client.base));
    let mut answer = request.json(&body).send().await?;
    let status = answer.status();
    // How many there were, and the files, stand behind the posts.
    let mut end = Vec::new();
    while let Some(some) = answer.chunk().await? {
        end.extend_from_slice(&some);
        end.drain(..end.len().saturating_sub(300));
    }
    let end = String::from_utf8_lossy(&end);
    let whole = end.contains(&format!("\"total_parsed\":{EACH}"));
    anyhow::ensure!(status.is_success() && whole, "{name}: {status} {end}");
    let (_, rest) = end.split_once("\"json\":\"").context("no file")?;
    let (file, _) = rest.split_once('"').context("no file")?;
    Ok(file.to_owned())
}

/// Compares an export with what is true.
fn verify(simulator: &Simulator, folder: &TempDir, name: &str, file: &str) -> anyhow::Result<()> {
    let path = folder.path().join("exports").join(file);
    let export: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)?;
    let id = simulator.read(|world| world.named(name).map(|channel| channel.id));
    let truth = id
        .and_then(|id| simulator.truth(id))
        .context("no channel")?;
    let wanted = truth.posts.iter().rev().take(EACH as usize);
    let wanted: Vec<(i64, &str)> = wanted
        .map(|post| (i64::from(post.id), post.text.as_str()))
        .collect();
    let posts = export["posts"].as_array().context("no posts")?;
    let got: Vec<(i64, &str)> = posts
        .iter()
        .filter_map(|post| Some((post["message_id"].as_i64()?, post["text"].as_str()?)))
        .collect();
    anyhow::ensure!(got == wanted, "the export of {name} is not what is true");
    let text = std::fs::read_to_string(path.with_extension("txt"))?;
    let entries = text.matches("\nID: ").count();
    anyhow::ensure!(
        entries >= wanted.len(),
        "{entries} posts in the text of {name}"
    );
    Ok(())
}

/// Exports every channel with Telethon; seconds.
async fn telethon(simulator: &Simulator, names: &[String]) -> anyhow::Result<f64> {
    let telethon = venv::telethon()?;
    let folder = tempfile::tempdir()?;
    let mut command = Command::new(telethon.python);
    command
        .arg(telethon.script)
        .arg(folder.path())
        .arg(EACH.to_string())
        .args(names)
        .env("SESSION", simulator.session())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let mut program = Program::start("telethon", &command, folder.path())?;
    let told = program.line(PATIENCE * 5).await?;
    let (count, seconds) = told.split_once(' ').context("no seconds")?;
    let wanted = names.len() * EACH as usize;
    anyhow::ensure!(count.parse() == Ok(wanted), "{count} posts");
    Ok(seconds.parse()?)
}
