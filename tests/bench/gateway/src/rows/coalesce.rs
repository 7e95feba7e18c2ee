//! Row 8: a thousand callers who ask the same thing at the same time.

use std::sync::atomic::Ordering;

use tokio::task::JoinSet;

use super::{GUARDED_PATH, Policies, Rig};
use crate::gateway;
use crate::load::{Connection, get, joined};
use crate::mock;
use crate::report::Goal;

const CALLERS: usize = 1000;
/// How long the upstream takes: longer than it takes all of them to come.
const WAIT_MS: u64 = 1500;

pub async fn run(rig: &mut Rig) -> anyhow::Result<()> {
    let gateway = rig
        .gateway("gateway-coalesce", Policies::Full, rig.mock.service, &[])
        .await?;
    let bearer = gateway::bearer(&rig.ids)?;
    let path = format!("{GUARDED_PATH}?do=cacheable&wait_ms={WAIT_MS}");
    let request = get(&path, &[("authorization", &bearer)]);
    // All are connected before the first one asks.
    let mut connections = Vec::with_capacity(CALLERS);
    for _ in 0..CALLERS {
        connections.push(Connection::open(gateway.address()).await?);
    }
    let before = rig.mock.seen.cacheable.load(Ordering::Relaxed);
    let (mut callers, expected) = (JoinSet::new(), mock::plain_body());
    for mut connection in connections {
        let (request, expected) = (request.clone(), expected.clone());
        callers.spawn(async move {
            let answer = connection.exchange(&request).await?;
            anyhow::ensure!(answer.status == 200, "answered {}", answer.status);
            anyhow::ensure!(*answer.body == *expected, "a wrong body");
            Ok(())
        });
    }
    joined(callers).await?;
    let calls = rig.mock.seen.cacheable.load(Ordering::Relaxed) - before;
    let what = format!("upstream calls for {CALLERS} identical concurrent misses");
    rig.report
        .number(8, &what, Goal::AtMost(1.0), calls as f64, "");
    Ok(())
}
