//! Long recordings of live runs, and the verdict on many pairs of runs that are drawn from them.

use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};
use touchstone_load::baseline::calibration::{Recording, told_of_recordings};
use touchstone_load::measure::Sparse;

use crate::child::{Server, generate};
use crate::say;

/// Seconds of a run: two stretches of thirty are left when its begin and its end are taken away.
const RUN: u64 = 64;
/// Seconds at its begin that are left out.
const WARM_UP: u64 = 2;
/// Requests a second.
const RATE: u32 = 400;
/// Seconds of a side of a pair.
const SIDE: usize = 180;

/// Live runs against a service, and against one that takes a tenth longer, by turns.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Recorded {
    /// Each run as the histograms of its seconds.
    usual: Vec<Vec<Sparse>>,
    slower: Vec<Vec<Sparse>>,
    /// Runs that were INVALID; they are in it all the same.
    invalid: usize,
}

/// Rates of a verdict over pairs, and what they were drawn from.
pub(crate) struct Rates {
    pub alarms: u64,
    pub found: u64,
    pub minutes: [usize; 2],
    pub invalid: usize,
}

/// Records so many runs of each, one minute and a bit long, into a file.
pub(crate) async fn record(runs: u32, file: &Path) -> anyhow::Result<()> {
    let server = Server::start().await?;
    let load =
        format!("{{ kind = \"constant\", rate = {RATE}, duration = \"{RUN}s\", burstiness = 1 }}");
    let mut recorded = Recorded::default();
    for number in 0..runs * 2 {
        let is_usual = number % 2 == 0;
        let path = if is_usual {
            "/wander"
        } else {
            "/wander-slower"
        };
        let report = generate(&server.url, path, &load).await?;
        let last = (report.seconds.floor() as u64).min(RUN) - 1;
        let whole = report
            .series
            .iter()
            .filter(|second| (WARM_UP..last).contains(&second.at))
            .map(|second| second.histogram.clone());
        let kept = if is_usual {
            &mut recorded.usual
        } else {
            &mut recorded.slower
        };
        kept.push(whole.collect());
        recorded.invalid += usize::from(!report.verdict.is_valid());
        say(&format!("{path}: {}", report.verdict));
        std::fs::write(file, serde_json::to_vec(&recorded)?)?;
    }
    Ok(())
}

/// How often the verdict is right over so many pairs of 3 x 60 s a side.
pub(crate) fn rates(file: &Path, pairs: u64) -> anyhow::Result<Rates> {
    let text = std::fs::read(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let recorded: Recorded = serde_json::from_slice(&text)?;
    let recording = |runs: &[Vec<Sparse>]| Recording::new(runs.iter().map(Vec::as_slice));
    let (usual, slower) = (recording(&recorded.usual), recording(&recorded.slower));
    let short = "the recording is too short: record seven runs at least";
    let alarms = told_of_recordings(pairs, SIDE, (&usual, None), false).context(short)?;
    let found = told_of_recordings(pairs, SIDE, (&usual, Some(&slower)), true).context(short)?;
    Ok(Rates {
        alarms,
        found,
        minutes: [usual.seconds() / 60, slower.seconds() / 60],
        invalid: recorded.invalid,
    })
}
