//! Limits that nobody is told: how often they are met, and how much of them is used.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::{join_all, try_join_all};
use touchstone_lifecycle::Lifecycle;
use touchstone_telegram_simulator::Limit;

use super::{joined, world};
use crate::Args;
use crate::served::{Client, Options, data_centre};
use crate::table::{Goal, Table};

/// The method that is limited.
const METHOD: &str = "messages.getHistory";
/// What the owner allows, calls per second: more than any hidden limit.
const RATE: f64 = 100.0;
/// Callers at once.
const CALLERS: usize = 4;

/// Rate, burst and seconds of the first wait. The governor was never run under the last three before
/// it was as it is.
const POLICIES: [(f64, f64, u32); 6] = [
    (40.0, 10.0, 1),
    (25.0, 100.0, 3),
    (60.0, 5.0, 2),
    (35.0, 25.0, 4),
    (65.0, 30.0, 3),
    (85.0, 60.0, 6),
];

/// What came of a policy.
struct Outcome {
    calls: u64,
    floods: u64,
    share: f64,
    /// The longest time of a call, in seconds.
    longest: f64,
}

pub(super) async fn run(args: &Args, table: &mut Table) -> anyhow::Result<()> {
    let time = Duration::from_secs(args.flood_seconds);
    let outcomes = POLICIES.map(|policy| Box::pin(under(policy, time)));
    for (outcome, (rate, burst, wait)) in join_all(outcomes).await.into_iter().zip(POLICIES) {
        let outcome = outcome?;
        let policy = format!(
            "{rate}/s, burst {burst}, wait {wait} s, over {} s",
            time.as_secs()
        );
        let each = outcome.floods as f64 * 1_000.0 / outcome.calls as f64;
        let what = format!("FLOOD_WAITs per 1,000 calls under a hidden limit of {policy}");
        table.measured(&what, Goal::AtMost(1.0), each, "", 2);
        let what = format!("share of the best rate there ({} calls)", outcome.calls);
        table.measured(&what, Goal::AtLeast(80.0), outcome.share * 100.0, " %", 1);
        table.measured(
            "longest time of a call there",
            Goal::None,
            outcome.longest,
            " s",
            1,
        );
    }
    Ok(())
}

async fn under((rate, burst, wait): (f64, f64, u32), time: Duration) -> anyhow::Result<Outcome> {
    let centre = Lifecycle::new();
    let mut scenario = world(5, vec![joined("durov".into(), 1_000)]);
    let limit = Limit {
        rate,
        burst,
        wait,
        escalation: 2.0,
    };
    scenario.limits = [(METHOD.to_owned(), limit)].into();
    let simulator = data_centre(scenario, &centre).await?;
    let folder = tempfile::tempdir()?;
    let options = Options {
        session: simulator.session().to_owned(),
        folder: folder.path().to_owned(),
        rate: RATE,
        poll: 3_600_000,
        bus: false,
    };
    let served = Box::pin(options.start()).await?;
    let client = Client::new(format!("http://{}", served.address))?;
    client.authorized().await?;
    let id = client.join("durov").await?;
    let (calls, longest, started) = (AtomicU64::new(0), AtomicU64::new(0), Instant::now());
    let caller = async || {
        while started.elapsed() < time {
            let before = 2 + calls.fetch_add(1, Ordering::Relaxed) % 900;
            let path = format!("/channels/{id}/messages?limit=1&before={before}");
            let asked = Instant::now();
            let (status, answer) = client.get(&path).await?;
            longest.fetch_max(asked.elapsed().as_millis() as u64, Ordering::Relaxed);
            anyhow::ensure!(status == 200, "{status} {answer}");
        }
        anyhow::Ok(())
    };
    try_join_all((0..CALLERS).map(|_| caller())).await?;
    let seconds = started.elapsed().as_secs_f64();
    let answered = simulator.answered(METHOD);
    let floods = simulator.fired().get("limit").copied().unwrap_or_default();
    let longest = longest.into_inner() as f64 / 1_000.0;
    served.life.shutdown(Duration::from_secs(5)).await;
    centre.shutdown(Duration::from_secs(1)).await;
    Ok(Outcome {
        calls: answered,
        floods,
        longest,
        share: answered as f64 / (burst + rate * seconds).min(RATE * seconds),
    })
}
