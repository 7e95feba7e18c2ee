//! The rows of the table.

mod crash;
mod export;
mod flood;
mod index;
mod plain;
mod recovery;
mod schedules;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use touchstone_telegram::store::Store;
use touchstone_telegram_simulator::{ChannelScenario, Language, Scenario, Simulator};

use crate::Args;
use crate::served::Client;
use crate::table::Table;

/// Measures what is wanted and prints the table.
pub async fn run(args: &Args) -> anyhow::Result<()> {
    let mut table = Table::default();
    if args.only.wants("schedules") {
        Box::pin(schedules::run(args, &mut table)).await?;
    }
    if args.only.wants("export") {
        Box::pin(export::run(args, &mut table)).await?;
    }
    if args.only.wants("index") {
        Box::pin(index::run(args, &mut table)).await?;
    }
    if args.only.wants("crash") {
        Box::pin(crash::run(args, &mut table)).await?;
    }
    if args.only.wants("flood") {
        Box::pin(flood::run(args, &mut table)).await?;
    }
    if args.only.wants("recovery") {
        Box::pin(recovery::run(&mut table)).await?;
    }
    table.print();
    Ok(())
}

/// A public channel that the account is a member of.
fn joined(name: String, posts: u32) -> ChannelScenario {
    ChannelScenario {
        title: format!("Channel {name}"),
        username: Some(name),
        language: Language::En,
        posts,
        group: false,
        invite: None,
        joined: true,
    }
}

/// A world of these channels alone.
fn world(seed: u64, channel: Vec<ChannelScenario>) -> Scenario {
    Scenario {
        seed,
        channels: 0,
        channel,
        ..Scenario::default()
    }
}

/// Texts by number.
type Posts = BTreeMap<i32, String>;

fn truth(simulator: &Simulator, channel: i64) -> Posts {
    let truth = simulator.truth(channel);
    let posts = truth.into_iter().flat_map(|truth| truth.posts);
    posts.map(|post| (post.id, post.text)).collect()
}

async fn held(store: &dyn Store, channel: i64) -> anyhow::Result<Posts> {
    let rows = store.rows(channel, 0, i32::MAX).await?;
    let posts = rows.into_iter().filter_map(|stored| stored.row.post);
    Ok(posts.map(|post| (post.message_id, post.text)).collect())
}

/// How what a client holds differs from what is true.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Difference {
    missing: usize,
    extra: usize,
    stale: usize,
}

impl Difference {
    fn between(held: &Posts, truth: &Posts) -> Self {
        let stale = |(id, text): &(&i32, &String)| truth.get(id).is_some_and(|own| own != *text);
        Self {
            missing: truth.keys().filter(|id| !held.contains_key(id)).count(),
            extra: held.keys().filter(|id| !truth.contains_key(id)).count(),
            stale: held.iter().filter(stale).count(),
        }
    }

    fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// Waits until a service holds what is true and says so, or for `patience`; the last difference,
/// and whether it said that it is complete. It looks every `pause`.
async fn in_step(
    client: &Client,
    store: &dyn Store,
    simulator: &Simulator,
    channel: i64,
    (pause, patience): (Duration, Duration),
) -> anyhow::Result<(Difference, bool)> {
    let started = Instant::now();
    loop {
        let path = format!("/channels/{channel}/completeness");
        let complete = client.get(&path).await?.1["data"]["complete"] == true;
        let held = held(store, channel).await?;
        let difference = Difference::between(&held, &truth(simulator, channel));
        if (difference.is_none() && complete) || started.elapsed() > patience {
            return Ok((difference, complete));
        }
        tokio::time::sleep(pause).await;
    }
}

/// The value below which this share of the sorted values lies.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    sorted
        .get(place.saturating_sub(1).min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or_default()
}
