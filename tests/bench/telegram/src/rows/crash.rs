//! SIGKILL at random points of reading a channel's history: what is fetched again, what is missing,
//! what is told twice.

use std::path::Path;
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use touchstone_lifecycle::Lifecycle;
use touchstone_telegram_simulator::{Scenario, Simulator};

use super::{Difference, in_step, joined, world};
use crate::Args;
use crate::served::{Client, Options, PATIENCE, data_centre, store_of};
use crate::table::{Goal, Table};

/// Channels of an instance, and their numbers.
const CHANNELS: usize = 3;
const NUMBERS: u32 = 4_000;
/// Times that an instance is killed.
const EACH: usize = 10;
/// Calls per second: so reading takes longer than the instance lives.
const RATE: f64 = 100.0;
/// An instance lives at most so long after it is logged in, in milliseconds.
const LONGEST_LIFE: u64 = 300;
/// Instances at once: as many as the machine has processors.
const AT_ONCE: usize = 2;
/// Between two looks at what is held, which take from what is measured.
const PAUSE: Duration = Duration::from_millis(500);
/// More events than an instance has.
const EVENTS: u32 = 1_000_000;

/// What an instance did and had in the end.
struct Run {
    difference: Difference,
    complete: bool,
    /// Pages that were asked for.
    pages: usize,
    /// What was told of which post, in the outbox.
    told: Vec<String>,
}

pub(super) async fn run(args: &Args, table: &mut Table) -> anyhow::Result<()> {
    let instances = args.kills.div_ceil(EACH);
    let kills = instances * EACH;
    let undisturbed = instance(0, 0).await?;
    let runs: Vec<Run> = stream::iter((0..instances as u64).map(|seed| instance(seed, EACH)))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    let again: Vec<usize> = runs
        .iter()
        .map(|run| run.pages.saturating_sub(undisturbed.pages))
        .collect();
    let most = EACH * CHANNELS;
    let worst = again.iter().copied().max().unwrap_or_default() as f64 / most as f64;
    let what = format!("{kills} kills: pages fetched again per kill and channel, worst instance");
    table.measured(&what, Goal::AtMost(1.0), worst, "", 2);
    let mean = again.iter().sum::<usize>() as f64 / (kills * CHANNELS) as f64;
    table.measured(
        &format!("{kills} kills: the same, mean"),
        Goal::None,
        mean,
        "",
        3,
    );
    let holes = runs.iter().map(|run| run.difference.missing).sum::<usize>();
    table.measured(
        &format!("{kills} kills: posts missing"),
        Goal::AtMost(0.0),
        holes as f64,
        "",
        0,
    );
    let wrong = |run: &&Run| !run.complete || run.difference.extra + run.difference.stale > 0;
    let wrong = runs.iter().filter(wrong).count() as f64;
    let what = format!("{kills} kills: instances with anything extra, stale or incomplete");
    table.measured(&what, Goal::AtMost(0.0), wrong, "", 0);
    let differ = runs.iter().filter(|run| run.told != undisturbed.told);
    let what = format!("{kills} kills: instances that told of a post twice or never");
    table.measured(&what, Goal::AtMost(0.0), differ.count() as f64, "", 0);
    Ok(())
}

/// Reads some channels in an instance that is killed so often.
async fn instance(seed: u64, kills: usize) -> anyhow::Result<Run> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let centre = Lifecycle::new();
    let simulator = data_centre(scenario(), &centre).await?;
    let folder = tempfile::tempdir()?;
    let options = Options {
        session: simulator.session().to_owned(),
        folder: folder.path().to_owned(),
        rate: RATE,
        poll: 300,
        bus: false,
    };
    let (mut program, base) = options.spawn().await?;
    let mut client = Client::new(base)?;
    for number in 0..CHANNELS {
        client.follow(&name(number)).await?;
    }
    for _ in 0..kills {
        client.authorized().await?;
        let life = Duration::from_millis(rng.random_range(0..LONGEST_LIFE));
        tokio::time::sleep(life).await;
        program.kill()?;
        let (next, base) = options.spawn().await?;
        (program, client) = (next, Client::new(base)?);
    }
    let run = finished(&simulator, &client, folder.path()).await;
    program.kill()?;
    centre.shutdown(Duration::from_secs(1)).await;
    run
}

/// Waits until everything is read, and counts.
async fn finished(simulator: &Simulator, client: &Client, folder: &Path) -> anyhow::Result<Run> {
    let store = store_of(folder).await?;
    let (mut total, mut all) = (Difference::default(), true);
    for channel in simulator.channels() {
        let (difference, complete) =
            in_step(client, &*store, simulator, channel.id, (PAUSE, PATIENCE)).await?;
        total.missing += difference.missing;
        total.extra += difference.extra;
        total.stale += difference.stale;
        all &= complete;
    }
    let calls = simulator.calls();
    let pages = calls
        .iter()
        .filter(|call| call.method == "messages.getHistory");
    let events = store.outbox().pending(EVENTS).await?;
    // The key begins with the tenant, which is another one in every run.
    let post = |key: &str| key.split_once('/').map_or("", |(_, post)| post).to_owned();
    let mut told: Vec<String> = events.iter().map(|event| post(&event.key)).collect();
    told.sort();
    Ok(Run {
        difference: total,
        complete: all,
        pages: pages.count(),
        told,
    })
}

fn name(number: usize) -> String {
    format!("crash_{number}")
}

fn scenario() -> Scenario {
    let channels = (0..CHANNELS).map(|number| joined(name(number), NUMBERS));
    world(3, channels.collect())
}
