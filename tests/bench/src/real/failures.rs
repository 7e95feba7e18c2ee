//! Each service and each backend stopped, frozen and slowed down in turn, under load: what clients are
//! told meanwhile, how soon everything goes on, and whether anything is lost that was accepted.

mod clients;

use std::fmt::Write;
use std::time::Duration;

use anyhow::Context;
use reqwest::Method;
use touchstone_stack::Service;

use self::clients::{Clients, KINDS, Seen};
use super::deployment::{Deployment, Servers};
use super::recovery::{self, Moments};
use super::strike::{How, Target};
use crate::system::Session;
use crate::table::{Goal, Table};

/// How long something is away.
const AWAY: Duration = Duration::from_secs(5);
/// Longest wait until everything goes on, after which the measurement fails.
const PATIENCE: Duration = Duration::from_mins(2);
const PAUSE: Duration = Duration::from_millis(50);
/// What has not gone on by then is looked into: half of what is asked for.
const LATE: Duration = Duration::from_secs(5);

/// Opened and closed breakers that the gateway counted since it began.
async fn breakers(deployment: &Deployment) -> anyhow::Result<(f64, f64)> {
    let text = deployment.metrics().await?;
    let sum = |action: &str| -> f64 {
        let lines = text.lines().filter(|line| {
            line.starts_with("touchstone_mesh_decisions_total{")
                && line.contains("policy=\"breaker\"")
                && line.contains(&format!("action=\"{action}\""))
        });
        lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    };
    Ok((sum("opened"), sum("closed")))
}

/// Breakers of all services that are not closed, as `who > whom`.
async fn open_breakers(deployment: &Deployment) -> String {
    let mut open = Vec::new();
    for service in Service::ALL {
        let Ok(text) = deployment.metrics_of(service).await else {
            open.push(format!("{service} does not answer"));
            continue;
        };
        let ejected = text.lines().filter(|line| {
            line.starts_with("touchstone_mesh_instances{")
                && line.contains("state=\"ejected\"")
                && !line.ends_with(" 0")
        });
        let whom = ejected.filter_map(|line| line.split("upstream=\"").nth(1)?.split('"').next());
        open.extend(whom.map(|whom| format!("{service} > {whom}")));
    }
    if open.is_empty() {
        "no breaker is open".to_owned()
    } else {
        format!("open: {}", open.join(", "))
    }
}

/// How everything went on.
struct Recovered {
    took: Duration,
    /// What went on when, for people.
    story: String,
}

/// Until every kind of request was answered in full that began after the fault was over, and a new
/// document is found.
async fn goes_on(
    deployment: &Deployment,
    clients: &Clients,
    word: &str,
) -> anyhow::Result<Recovered> {
    let ended = clients.look();
    let well = async {
        let found = recovery::found(&deployment.user, word, ended).await?;
        loop {
            let waits = KINDS.iter().find(|kind| clients.well_after(kind).is_none());
            let Some(kind) = waits else {
                return anyhow::Ok(found);
            };
            anyhow::ensure!(ended.elapsed() < PATIENCE, "`{kind}` does not go on");
            tokio::time::sleep(PAUSE).await;
        }
    };
    let look = async {
        tokio::time::sleep(LATE).await;
        open_breakers(deployment).await
    };
    let (mut well, mut look) = (std::pin::pin!(well), std::pin::pin!(look));
    let mut seen = String::new();
    let found = loop {
        tokio::select! {
            found = &mut well => break found,
            open = &mut look, if seen.is_empty() => seen = format!("; after {LATE:?} {open}"),
        }
    };
    let took = ended.elapsed();
    let found = found.with_context(|| format!("it does not go on{seen}"))?;
    let story = story(found, clients) + &seen;
    Ok(Recovered { took, story })
}

fn story(moments: Moments, clients: &Clients) -> String {
    let Moments {
        accepted,
        searched,
        found,
    } = moments;
    let mut story = format!(
        "a document accepted {:.1}, searched {:.1}, found {:.1}",
        accepted.as_secs_f64(),
        searched.as_secs_f64(),
        found.as_secs_f64()
    );
    for kind in KINDS {
        if let Some(after) = clients.well_after(kind) {
            // Writing to a string cannot fail.
            let _ = write!(story, ", {kind} {:.1}", after.as_secs_f64());
        }
    }
    story
}

/// Documents that were accepted and are not indexed, or not what was sent.
async fn lost(user: &Session, accepted: &[(String, String)]) -> anyhow::Result<Vec<String>> {
    user.settled().await?;
    let mut lost = Vec::new();
    for (id, text) in accepted {
        let told = user
            .send(Method::GET, &format!("/documents/{id}"), None)
            .await;
        let content = user.request(Method::GET, &format!("/documents/{id}/content"));
        let content = content.send().await?.text().await?;
        let status = told
            .ok()
            .and_then(|told| told["status"].as_str().map(str::to_owned));
        if status.as_deref() != Some("indexed") || content != *text {
            lost.push(format!("{id} ({})", status.unwrap_or_default()));
        }
    }
    Ok(lost)
}

/// Strikes `only` those that it names, or everything if it names none.
pub async fn run(
    mut deployment: Deployment,
    servers: &Servers,
    only: &[String],
    table: &mut Table,
) -> anyhow::Result<()> {
    let mut targets = Target::services();
    targets.extend(Target::servers(servers));
    for name in only {
        let is_known = targets.iter().any(|target| target.name() == *name);
        anyhow::ensure!(is_known, "there is no `{name}` that could be struck");
    }
    targets.retain(|target| only.is_empty() || only.contains(&target.name()));
    let clients = Clients::start(&deployment.user);
    goes_on(&deployment, &clients, "calm").await?;
    let (mut recoveries, mut opened, mut closed) = (Vec::new(), 0, 0);
    let mut unanswered = 0;
    for (number, target) in targets.iter().enumerate() {
        for how in [How::Stopped, How::Frozen, How::Slow] {
            let name = format!("{} {}", target.name(), how.name());
            let before = breakers(&deployment).await?;
            let calm = clients.seen();
            target.strike(how, AWAY, &mut deployment).await?;
            let word = format!("failure{number}{}", how.name());
            let recovered = goes_on(&deployment, &clients, &word).await;
            let recovered = recovered.with_context(|| format!("after {name}"))?;
            let took = recovered.took.as_secs_f64();
            let after = breakers(&deployment).await?;
            // A gateway that began anew counts from nothing.
            if after.0 > before.0 {
                opened += 1;
                closed += u32::from(after.1 > before.1);
            }
            let now = clients.seen();
            let told = now.typed.values().sum::<u64>() - calm.typed.values().sum::<u64>();
            let text = format!(
                "{} good ({} degraded), {told} typed errors, {} without an answer; goes on after {took:.1} s: {}",
                now.good - calm.good,
                now.degraded - calm.degraded,
                now.nothing - calm.nothing,
                recovered.story,
            );
            table.told(&name, &text);
            if !matches!(target, Target::Service(Service::Gateway)) {
                unanswered += now.nothing - calm.nothing;
            }
            recoveries.push((took, name));
        }
    }
    let total = clients.end().await;
    tell(&total, recoveries, (opened, closed), table);
    let what = "requests without an answer while the gateway was well";
    table.measured(what, Goal::AtMost(0.0), unanswered as f64, "", 0);
    let lost = lost(&deployment.user, &total.accepted).await?;
    let what = format!("of {} accepted documents are lost", total.accepted.len());
    table.measured(&what, Goal::AtMost(0.0), lost.len() as f64, "", 0);
    for one in lost.iter().take(5) {
        table.told("lost", one);
    }
    Ok(())
}

fn tell(
    total: &Seen,
    recoveries: Vec<(f64, String)>,
    (opened, closed): (u32, u32),
    table: &mut Table,
) {
    let what = "failures: every kind of request goes on after, longest";
    recovery::tell(what, 1.0, recoveries, table);
    let untyped: u64 = total.untyped.values().sum();
    table.measured(
        "errors without a code",
        Goal::AtMost(0.0),
        untyped as f64,
        "",
        0,
    );
    if untyped > 0 {
        table.told("errors without a code", &format!("{:?}", total.untyped));
    }
    let slowest = total.slowest_error.as_secs_f64();
    table.measured(
        "longest wait for an error",
        Goal::AtMost(60.0),
        slowest,
        " s",
        1,
    );
    let what = "answers, those of them degraded, typed errors, no answer";
    let text = format!(
        "{}, {}, {}, {}",
        total.good,
        total.degraded,
        total.typed.values().sum::<u64>(),
        total.nothing
    );
    table.told(what, &text);
    table.told("typed errors", &format!("{:?}", total.typed));
    let text = format!("in {opened} failures; closed again by their end in {closed}");
    table.told("breakers of the gateway opened", &text);
}
