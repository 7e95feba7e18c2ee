//! Schedules of faults: in the end what is held is what is true. And what a client of the same
//! library without a ledger holds after the same schedules.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::{StreamExt, TryStreamExt, stream};
use touchstone_lifecycle::Lifecycle;
use touchstone_telegram_simulator::Schedule;

use super::{Difference, in_step, percentile, plain};
use crate::Args;
use crate::served::{Client, Options, data_centre, store_of};
use crate::table::{Goal, Table};

/// Between two looks, and longest time from the end of a schedule to the truth.
const LOOKS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_mins(2));

/// How a client stood after a schedule.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub seed: u64,
    pub difference: Difference,
    pub complete: bool,
    /// From the end of the schedule.
    pub seconds: f64,
    pub fired: BTreeMap<String, u64>,
}

pub(super) async fn run(args: &Args, table: &mut Table) -> anyhow::Result<()> {
    let seeds = args.seed..args.seed + args.schedules;
    let ours: Vec<Outcome> = stream::iter(seeds.clone().map(|seed| Box::pin(service(seed))))
        .buffer_unordered(args.at_once)
        .inspect_ok(tell)
        .try_collect()
        .await?;
    let what = format!("{} schedules of faults, the service", args.schedules);
    rows(&what, &ours, Goal::AtMost(0.0), table);
    let mut seconds: Vec<f64> = ours.iter().map(|outcome| outcome.seconds).collect();
    seconds.sort_by(f64::total_cmp);
    for (name, share) in [("p50", 0.5), ("p99", 0.99), ("longest", 1.0)] {
        let what = format!("end of a schedule to the truth, {name}");
        table.measured(&what, Goal::None, percentile(&seconds, share), " s", 2);
    }
    let mut fired = BTreeMap::<&str, u64>::new();
    for (fault, times) in ours.iter().flat_map(|outcome| &outcome.fired) {
        *fired.entry(fault).or_default() += times;
    }
    table.told("faults that struck", &format!("{fired:?}"));

    let plain: Vec<Outcome> = stream::iter(seeds.map(|seed| Box::pin(plain::play(seed))))
        .buffer_unordered(args.at_once)
        .try_collect()
        .await?;
    let what = format!("the same {}, grammers alone", args.schedules);
    rows(&what, &plain, Goal::None, table);
    Ok(())
}

/// Long runs: show at once what is not as it should be.
fn tell(outcome: &Outcome) {
    if !(outcome.difference.is_none() && outcome.complete) {
        let _ = std::io::Write::write_all(
            &mut std::io::stderr(),
            format!("schedule {}: {outcome:?}\n", outcome.seed).as_bytes(),
        );
    }
}

fn rows(what: &str, outcomes: &[Outcome], goal: Goal, table: &mut Table) {
    let sum = |part: fn(&Difference) -> usize| {
        let parts = outcomes.iter().map(|outcome| part(&outcome.difference));
        parts.sum::<usize>() as f64
    };
    table.measured(&format!("{what}: missing"), goal, sum(|d| d.missing), "", 0);
    table.measured(&format!("{what}: extra"), goal, sum(|d| d.extra), "", 0);
    table.measured(&format!("{what}: stale"), goal, sum(|d| d.stale), "", 0);
    let wrong = outcomes
        .iter()
        .filter(|outcome| !(outcome.difference.is_none() && outcome.complete));
    let wrong = wrong.count() as f64;
    table.measured(
        &format!("{what}: schedules with any of it"),
        goal,
        wrong,
        "",
        0,
    );
}

/// Plays a schedule against the service.
async fn service(seed: u64) -> anyhow::Result<Outcome> {
    let schedule = Schedule::seeded(seed);
    let (channel, centre) = (Schedule::CHANNEL, Lifecycle::new());
    let simulator = data_centre(schedule.scenario.clone(), &centre).await?;
    let folder = tempfile::tempdir()?;
    let options = Options {
        session: simulator.session().to_owned(),
        folder: folder.path().to_owned(),
        rate: 10_000.0,
        // What was lost without a trace is found by looking, here more often than usual.
        poll: 300,
        bus: false,
    };
    let served = Box::pin(options.start()).await?;
    let client = Client::new(format!("http://{}", served.address))?;
    let store = store_of(folder.path()).await?;
    client.follow(Schedule::NAME).await?;
    schedule.play(&simulator).await;
    let ended = Instant::now();
    let (difference, complete) = in_step(&client, &*store, &simulator, channel, LOOKS).await?;
    let outcome = Outcome {
        seed,
        difference,
        complete,
        seconds: ended.elapsed().as_secs_f64(),
        fired: simulator.fired(),
    };
    served.life.shutdown(Duration::from_secs(5)).await;
    centre.shutdown(Duration::from_secs(5)).await;
    Ok(outcome)
}
