//! Row 6: an upstream that fails, and one that is asked for three times what it can do.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{GUARDED_PATH, Policies, Rig};
use crate::gateway;
use crate::load::get;
use crate::load::open::{Arrivals, Call, Outcome, open};
use crate::mock::{SLOT_TIME, SLOTS};
use crate::peers::Peer;
use crate::report::Goal;

/// Callers a second of the failing upstream.
const OFFERED: u64 = 500;
/// How much more than it can do the slow upstream is asked for.
const OVERLOAD: u64 = 3;
/// An answer later than this helps nobody.
const PATIENCE: Duration = Duration::from_secs(1);
/// Left out at the beginning, while limits are being found.
const SETTLING: Duration = Duration::from_secs(2);

pub async fn run(rig: &mut Rig) -> anyhow::Result<()> {
    failing(rig).await?;
    overload(rig).await
}

async fn failing(rig: &mut Rig) -> anyhow::Result<()> {
    let gateway = rig
        .gateway("gateway-failing", Policies::Full, rig.mock.service, &[])
        .await?;
    let lasting = rig.lasting(Duration::from_secs(5), Duration::from_secs(2));
    let arrivals = Arrivals {
        rate: OFFERED,
        lasting,
        patience: PATIENCE,
    };
    let bearer = gateway::bearer(&rig.ids)?;
    let before = rig.mock.seen.failed.load(Ordering::Relaxed);
    let to = [gateway.address()];
    let calls = open(&to, arrivals, |number| request("fail", number, &bearer)).await?;
    let reached = rig.mock.seen.failed.load(Ordering::Relaxed) - before;
    let share = reached as f64 / calls.len() as f64;
    let what = "load of an upstream that always fails, of what was offered";
    rig.report.number(6, what, Goal::AtMost(1.2), share, "x");
    let answered = share_of(&calls, |call| {
        matches!(call.result, Outcome::Answer(500..=599))
    });
    rig.report.number(
        6,
        "callers of it who were told at once",
        Goal::AtLeast(99.0),
        answered,
        " %",
    );
    Ok(())
}

async fn overload(rig: &mut Rig) -> anyhow::Result<()> {
    let upstream = rig.mock.service;
    let capacity = SLOTS as f64 / SLOT_TIME.as_secs_f64();
    let gateway = rig
        .gateway("gateway-overload", Policies::Full, upstream, &[])
        .await?;
    let goodput = offered(rig, gateway.address(), capacity).await?;
    let what = format!("goodput at {OVERLOAD}x of what the upstream can do, of its capacity");
    rig.report
        .number(6, &what, Goal::AtLeast(90.0), goodput, " %");
    drop(gateway);
    if let Some(nginx) = rig.peer(Peer::Nginx, upstream).await? {
        let goodput = offered(rig, nginx.address(), capacity).await?;
        rig.report
            .number(6, "nginx: the same", Goal::None, goodput, " %");
    }
    Ok(())
}

/// Share of the capacity that became answers in time.
async fn offered(rig: &Rig, address: SocketAddr, capacity: f64) -> anyhow::Result<f64> {
    let lasting = rig.lasting(Duration::from_secs(8), Duration::from_secs(4));
    let rate = capacity as u64 * OVERLOAD;
    let arrivals = Arrivals {
        rate,
        lasting,
        patience: PATIENCE,
    };
    let bearer = gateway::bearer(&rig.ids)?;
    let calls = open(&[address], arrivals, |number| {
        request("slow", number, &bearer)
    })
    .await?;
    let good = calls.iter().filter(|call| {
        call.due >= SETTLING && call.result == Outcome::Answer(200) && call.took <= PATIENCE
    });
    let seconds = lasting.saturating_sub(SETTLING).as_secs_f64();
    Ok(good.count() as f64 / seconds / capacity * 100.0)
}

/// A request that no other is equal to.
fn request(kind: &str, number: u64, bearer: &str) -> Vec<u8> {
    get(
        &format!("{GUARDED_PATH}?do={kind}&number={number}"),
        &[("authorization", bearer)],
    )
}

fn share_of(calls: &[Call], counts: impl Fn(&Call) -> bool) -> f64 {
    calls.iter().filter(|call| counts(call)).count() as f64 / calls.len() as f64 * 100.0
}
