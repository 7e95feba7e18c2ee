//! Row 3: one request at a time.

use std::time::Duration;

use super::{BARE_PATH, GUARDED_PATH, Policies, Rig};
use crate::load::Load;
use crate::peers::Peer;
use crate::report::Goal;
use crate::stats::{Summary, percentile};

const REDIS: &str = "every policy and a trip to Redis";
/// Exchanges before the measured ones.
const WARM_UP: usize = 200;

pub async fn run(rig: &mut Rig) -> anyhow::Result<()> {
    let upstream = rig.mock.plain;
    let bare = rig
        .gateway("gateway-bare", Policies::Bare, upstream, &[])
        .await?;
    let full = rig
        .gateway("gateway-full", Policies::Full, upstream, &[])
        .await?;
    let nginx = rig.peer(Peer::Nginx, upstream).await?;
    let mut contestants: Vec<(&str, Load, Vec<f64>)> = Vec::new();
    if let Some(nginx) = &nginx {
        contestants.push((
            "nginx",
            rig.kilobyte(nginx.address(), BARE_PATH)?,
            Vec::new(),
        ));
    }
    contestants.push(("bare", rig.kilobyte(bare.address(), BARE_PATH)?, Vec::new()));
    contestants.push((
        "every policy",
        rig.kilobyte(full.address(), GUARDED_PATH)?,
        Vec::new(),
    ));
    let redis = rig.redis(3).await?;
    let mut asking = None;
    if let Some(redis) = &redis {
        // Without leases, every decision is a trip.
        let store = format!("gateway.quota.store=redis://{}", redis.address());
        let more = [store.as_str(), "gateway.quota.leases=false"];
        let gateway = rig
            .gateway("gateway-redis", Policies::Full, upstream, &more)
            .await?;
        contestants.push((
            REDIS,
            rig.kilobyte(gateway.address(), GUARDED_PATH)?,
            Vec::new(),
        ));
        asking = Some(gateway);
    }
    let lasting = rig.lasting(Duration::from_secs(1), Duration::from_millis(300));
    for _ in 0..rig.rounds() {
        for (_, load, medians) in &mut contestants {
            let mut micros = load.latencies(WARM_UP, lasting).await?;
            medians.push(percentile(&mut micros, 0.5));
        }
    }
    let nginx = contestants.iter().find(|(name, ..)| *name == "nginx");
    let nginx = nginx.map(|(_, _, medians)| Summary::of(medians));
    for (name, _, medians) in &contestants {
        let summary = Summary::of(medians);
        let what = format!("{name}: median latency of one request at a time");
        rig.report.summary(3, &what, Goal::None, &summary, " us");
        let goal = match *name {
            "bare" => 1.15,
            "every policy" => 1.4,
            REDIS => 2.2,
            _ => continue,
        };
        if let Some(nginx) = &nginx {
            let what = format!("median latency, {name} to nginx");
            rig.report
                .ratio(3, &what, Goal::AtMost(goal), summary.over(nginx));
        }
    }
    drop(asking);
    Ok(())
}
