//! Row 5: Redis is killed while three gateways count with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::quotas::{Admission, gateways, most_in_a_window};
use super::{GUARDED_PATH, Rig};
use crate::child::Program;
use crate::gateway;
use crate::load::{Connection, get, joined};
use crate::report::Goal;

/// Requests of one caller in a minute.
const LIMIT: usize = 300;
/// Callers who come before Redis is killed, and as many who come after.
const CALLERS: usize = 8;
/// Asking time before, and without Redis.
const BEFORE: Duration = Duration::from_secs(6);
const WITHOUT: Duration = Duration::from_secs(12);
/// Longest wait for the gateways to count together again.
const RETURN: Duration = Duration::from_secs(20);

/// What one connection saw.
#[derive(Default)]
struct Seen {
    admitted: Vec<Admission>,
    failures: u64,
}

pub async fn run(rig: &mut Rig) -> anyhow::Result<()> {
    let Some(mut redis) = rig.redis(5).await? else {
        return Ok(());
    };
    let address = redis.address();
    let store = format!("gateway.quota.store=redis://{address}");
    let gateways = gateways(rig, &[&store], LIMIT).await?;
    let addresses: Vec<SocketAddr> = gateways.iter().map(Program::address).collect();
    let mut bearers = Vec::new();
    for _ in 0..2 * CALLERS {
        bearers.push(gateway::bearer(&rig.ids)?);
    }
    let bearers: Arc<[String]> = bearers.into();
    let end = Instant::now() + BEFORE + WITHOUT;
    let old = ask(&addresses, &bearers, 0, end);
    let young = async {
        tokio::time::sleep(BEFORE).await;
        redis.kill()?;
        ask(&addresses, &bearers, CALLERS, end).await
    };
    let (old, young) = tokio::try_join!(old, young)?;
    let failures = old.failures + young.failures;
    let all: Vec<Admission> = old.admitted.into_iter().chain(young.admitted).collect();
    let most = most_in_a_window(&all) as f64 / LIMIT as f64;
    rig.report.number(
        5,
        "answers 5xx while Redis is gone",
        Goal::AtMost(0.0),
        failures as f64,
        "",
    );
    let what = "most that one caller was let through by three gateways, of its limit";
    rig.report.number(5, what, Goal::AtMost(1.1), most, "x");
    let _redis = rig.redis_at(address).await?;
    let back = together_again(rig, addresses[0]).await?;
    let what = "until the gateways count together again";
    rig.report
        .number(5, what, Goal::AtMost(2.0), back.as_secs_f64(), " s");
    Ok(())
}

/// Some callers ask at every gateway until `end`.
async fn ask(
    addresses: &[SocketAddr],
    bearers: &Arc<[String]>,
    first: usize,
    end: Instant,
) -> anyhow::Result<Seen> {
    let mut tasks = JoinSet::new();
    for &address in addresses {
        for caller in first..first + CALLERS {
            let bearers = Arc::clone(bearers);
            tasks.spawn(async move {
                let mut connection = Connection::open(address).await?;
                let request = get(GUARDED_PATH, &[("authorization", &bearers[caller])]);
                let mut seen = Seen::default();
                while Instant::now() < end {
                    let sent = Instant::now();
                    let status = connection.exchange(&request).await?.status;
                    let answered = Instant::now();
                    match status {
                        200 => seen.admitted.push(Admission {
                            caller,
                            sent,
                            answered,
                        }),
                        500..=599 => seen.failures += 1,
                        _ => {}
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Ok(seen)
            });
        }
    }
    let mut all = Seen::default();
    for seen in joined(tasks).await? {
        all.admitted.extend(seen.admitted);
        all.failures += seen.failures;
    }
    Ok(all)
}

/// How long until one gateway lets a new caller use more than its own share.
async fn together_again(rig: &Rig, address: SocketAddr) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let mut connection = Connection::open(address).await?;
    loop {
        let bearer = gateway::bearer(&rig.ids)?;
        let request = get(GUARDED_PATH, &[("authorization", &bearer)]);
        let began = start.elapsed();
        let mut passed = 0;
        for _ in 0..LIMIT / 2 {
            passed += usize::from(connection.exchange(&request).await?.status == 200);
        }
        if passed == LIMIT / 2 {
            return Ok(began);
        }
        anyhow::ensure!(start.elapsed() < RETURN, "they never count together again");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
