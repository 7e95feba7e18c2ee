//! Row 7: streams of events, and clients that leave.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use tokio::task::JoinSet;

use super::{Policies, Rig};
use crate::gateway;
use crate::load::events::{Heard, Until, listen};
use crate::load::joined;
use crate::peers::Peer;
use crate::report::Goal;
use crate::stats::{Summary, percentile};

/// Events a second of each stream.
const RATE: u64 = 20;
/// Streams start over so long, as callers do, not at once.
const ARRIVALS: Duration = Duration::from_secs(2);

/// A set of streams through one contestant.
struct Streams {
    address: SocketAddr,
    bearer: String,
    count: u64,
    /// Events of each.
    events: u64,
}

pub async fn run(rig: &mut Rig) -> anyhow::Result<()> {
    let upstream = rig.mock.service;
    let gateway = rig
        .gateway("gateway-streams", Policies::Full, upstream, &[])
        .await?;
    let nginx = rig.peer(Peer::Nginx, upstream).await?;
    let bearer = gateway::bearer(&rig.ids)?;
    let seconds = rig
        .lasting(Duration::from_secs(5), Duration::from_secs(2))
        .as_secs();
    let count = if rig.args.quick { 200 } else { 1000 };
    let streams = |address| Streams {
        address,
        bearer: bearer.clone(),
        count,
        events: RATE * seconds,
    };
    let rounds = if rig.args.quick { 1 } else { 3 };
    let (mut ours, mut theirs) = (FirstEvents::default(), FirstEvents::default());
    let idle = gateway.resident_bytes()?;
    for _ in 0..rounds {
        ours.add(
            streams(gateway.address())
                .listen(Until::End(RATE * seconds))
                .await?,
        );
        if let Some(nginx) = &nginx {
            theirs.add(
                streams(nginx.address())
                    .listen(Until::End(RATE * seconds))
                    .await?,
            );
        }
    }
    let what = format!("frames lost in {count} streams of {RATE} events a second");
    let lost = count * RATE * seconds * rounds - ours.events;
    rig.report
        .number(7, &what, Goal::AtMost(0.0), lost as f64, "");
    let grown = gateway.resident_bytes()?.saturating_sub(idle) as f64 / 1024.0;
    let what = "memory that a stream leaves behind in the gateway";
    rig.report
        .number(7, what, Goal::None, grown / count as f64, " KiB");
    ours.tell(rig, "gateway");
    if nginx.is_some() {
        theirs.tell(rig, "nginx, buffering off");
        let what = "time to the first event, gateway to nginx";
        let (median, tail) = (ours.median(), ours.tail());
        rig.report
            .ratio(7, what, Goal::AtMost(1.2), median.over(&theirs.median()));
        let what = "99th percentile of the same";
        rig.report
            .ratio(7, what, Goal::None, tail.over(&theirs.tail()));
    }
    let mut leaving = streams(gateway.address());
    leaving.count = 200;
    leaving.events = 1_000_000;
    let after = Duration::from_millis(700);
    left(rig, &leaving, Until::Leave(after), 0, "in the middle").await?;
    left(
        rig,
        &leaving,
        Until::Leave(after),
        60_000,
        "before the first event",
    )
    .await
}

/// How long after the clients left the upstream's streams were let go.
async fn left(
    rig: &mut Rig,
    streams: &Streams,
    until: Until,
    hold_ms: u64,
    when: &str,
) -> anyhow::Result<()> {
    let first_id = rig.first_id();
    let heard = streams.listen_from(until, first_id, hold_ms).await?;
    let mut millis = Vec::new();
    for (id, heard) in heard {
        let mut waited = Duration::ZERO;
        let closed = loop {
            if let Some(closed) = rig.mock.seen.closed(id) {
                break closed;
            }
            anyhow::ensure!(waited < Duration::from_secs(5), "a stream was never let go");
            tokio::time::sleep(Duration::from_millis(5)).await;
            waited += Duration::from_millis(5);
        };
        millis.push(closed.saturating_duration_since(heard.left).as_secs_f64() * 1e3);
    }
    let what = format!("upstream closed after its client left {when}, 99th percentile");
    rig.report.number(
        7,
        &what,
        Goal::AtMost(10.0),
        percentile(&mut millis, 0.99),
        " ms",
    );
    Ok(())
}

impl Streams {
    async fn listen(&self, until: Until) -> anyhow::Result<Vec<Heard>> {
        let heard = self.listen_from(until, 0, 0).await?;
        Ok(heard.into_iter().map(|(_, heard)| heard).collect())
    }

    async fn listen_from(
        &self,
        until: Until,
        first_id: u64,
        hold_ms: u64,
    ) -> anyhow::Result<Vec<(u64, Heard)>> {
        let mut tasks = JoinSet::new();
        for number in 0..self.count {
            let id = first_id + number;
            let request = self.request(id, hold_ms);
            let (address, start) = (self.address, ARRIVALS * number as u32 / self.count as u32);
            tasks.spawn(async move {
                tokio::time::sleep(start).await;
                let heard = listen(address, &request, until).await;
                heard
                    .map(|heard| (id, heard))
                    .with_context(|| format!("stream {id}"))
            });
        }
        joined(tasks).await
    }

    fn request(&self, id: u64, hold_ms: u64) -> Vec<u8> {
        let Self { bearer, events, .. } = self;
        let query = format!("do=events&rate={RATE}&count={events}&id={id}&hold_ms={hold_ms}");
        let body = "{\"stream\":true}";
        format!(
            "POST /v1/chat/completions?{query} HTTP/1.1\r\nhost: bench\r\nauthorization: {bearer}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }
}

/// Times to the first event, by round.
#[derive(Default)]
struct FirstEvents {
    events: u64,
    medians: Vec<f64>,
    tails: Vec<f64>,
}

impl FirstEvents {
    fn add(&mut self, heard: Vec<Heard>) {
        self.events += heard.iter().map(|heard| heard.events).sum::<u64>();
        let mut micros: Vec<f64> = heard
            .iter()
            .map(|heard| heard.first.as_secs_f64() * 1e6)
            .collect();
        self.medians.push(percentile(&mut micros, 0.5));
        self.tails.push(percentile(&mut micros, 0.99));
    }

    fn median(&self) -> Summary {
        Summary::of(&self.medians)
    }

    fn tail(&self) -> Summary {
        Summary::of(&self.tails)
    }

    fn tell(&self, rig: &mut Rig, name: &str) {
        let what = format!("{name}: median time to the first event");
        rig.report
            .summary(7, &what, Goal::None, &self.median(), " us");
        let what = format!("{name}: 99th percentile of it");
        rig.report
            .summary(7, &what, Goal::None, &self.tail(), " us");
    }
}
