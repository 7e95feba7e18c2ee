//! Looks at services from the begin of a run to its end.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Endpoint, Level, Scrape, ServiceUse, Stage};
use crate::client::{Client, Connector, Read, Settings, Target, TargetError};
use crate::steps::Call;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(2);

/// Watches services.
#[derive(Debug, Default)]
pub struct Watch(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    name: String,
    client: Client,
    path: &'static str,
    first: Scrape,
    last: Scrape,
    /// Of each gauge: how often it was looked at, its sum and its most.
    levels: BTreeMap<String, (u32, f64, f64)>,
}

impl Watch {
    /// Looks for the first time. Where nothing is that is not wanted, nothing is watched.
    pub async fn start(endpoints: &[Endpoint]) -> Result<Self, TargetError> {
        let mut watched = Vec::new();
        for endpoint in endpoints {
            match Watched::start(endpoint).await {
                Ok(own) => watched.push(own),
                Err(error) if endpoint.is_wanted => return Err(error),
                Err(_) => {}
            }
        }
        Ok(Self(watched))
    }

    /// Looks again and again, until the run is over.
    pub async fn watch(&mut self, over: CancellationToken) {
        while over
            .run_until_cancelled(tokio::time::sleep(EVERY))
            .await
            .is_some()
        {
            for watched in &mut self.0 {
                watched.look().await;
            }
        }
        for watched in &mut self.0 {
            watched.look().await;
        }
    }

    /// What was seen.
    pub fn end(self) -> Vec<ServiceUse> {
        self.0.into_iter().map(Watched::end).collect()
    }
}

impl Watched {
    async fn start(endpoint: &Endpoint) -> Result<Self, TargetError> {
        let target = Target::resolve(&endpoint.url).await?;
        let unreachable = |reason: String| TargetError::Unreachable {
            url: endpoint.url.clone(),
            reason,
        };
        let connector =
            Connector::new(&target, false, None).map_err(|error| unreachable(error.to_string()))?;
        let path = if target.prefix().is_empty() {
            "/metrics"
        } else {
            ""
        };
        let settings = Settings {
            timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(1),
            ..Settings::default()
        };
        let mut watched = Self {
            name: endpoint.name.clone(),
            client: Client::new(target, connector, settings),
            path,
            first: Scrape::default(),
            last: Scrape::default(),
            levels: BTreeMap::new(),
        };
        watched.first = watched.scrape().await.map_err(unreachable)?;
        watched.last = watched.first.clone();
        Ok(watched)
    }

    async fn scrape(&self) -> Result<Scrape, String> {
        let request = Call::get(self.path).request(&self.client, None);
        let request = request.map_err(|error| error.to_string())?;
        let mut lane = self.client.lane();
        let exchange = self.client.exchange(&mut lane, request, Read::Keep).await;
        let answer = exchange.result.map_err(|failure| failure.what)?;
        if !answer.status.is_success() {
            return Err(format!("answered with {}", answer.status));
        }
        Ok(Scrape::parse(&String::from_utf8_lossy(&answer.body)))
    }

    /// A service that does not answer for once is none the worse for it: it is under load.
    async fn look(&mut self) {
        let Ok(scrape) = self.scrape().await else {
            return;
        };
        for (name, value) in &scrape.levels {
            let level = self.levels.entry(name.clone()).or_insert((0, 0.0, *value));
            level.0 += 1;
            level.1 += value;
            level.2 = level.2.max(*value);
        }
        self.last = scrape;
    }

    fn end(self) -> ServiceUse {
        let stages = self
            .last
            .stages
            .into_iter()
            .filter_map(|(name, (count, sum))| {
                let (before, sum_before) =
                    self.first.stages.get(&name).copied().unwrap_or_default();
                // A counter that went back belongs to another process.
                let (count, seconds) = if count < before {
                    (count, sum)
                } else {
                    (count - before, sum - sum_before)
                };
                (count > 0.0).then_some(Stage {
                    name,
                    count: count as u64,
                    seconds,
                })
            });
        let mut stages: Vec<Stage> = stages.collect();
        stages.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        let levels = self.levels.into_iter().filter(|(_, level)| level.2 > 0.0);
        let levels = levels.map(|(name, (looks, sum, most))| Level {
            name,
            mean: sum / f64::from(looks.max(1)),
            most,
        });
        ServiceUse {
            name: self.name,
            levels: levels.collect(),
            stages,
        }
    }
}
