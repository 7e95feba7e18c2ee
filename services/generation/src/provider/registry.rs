use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt};
use tokio::time::Instant;
use touchstone_error::Classify;
use touchstone_simulated_model::Slots;

use super::guard::accepted;
use super::{Delta, Deltas, Error, Extractive, Guard, OpenAi, Provider, Simulated, guard};
use crate::config::{Config, LimitsConfig};
use crate::domain::prompt::Prompt;
use crate::metrics::{FailureLabels, Metrics, ProviderLabel};

/// The providers by name.
#[derive(Clone, Debug)]
pub struct Registry {
    entries: BTreeMap<String, Entry>,
    active: String,
}

/// A provider with its name, its limits and its metrics.
#[derive(Clone, Debug)]
pub struct Entry {
    name: Arc<str>,
    provider: Arc<dyn Provider>,
    limits: LimitsConfig,
    metrics: Metrics,
}

impl Registry {
    /// The providers of the configuration.
    pub fn new(config: &Config, metrics: &Metrics) -> Result<Self, reqwest::Error> {
        let limits = config.extractive.into();
        let mut providers: Vec<Arc<dyn Provider>> = vec![Arc::new(Extractive::new(limits))];
        if config.simulated.enabled {
            let simulated = &config.simulated;
            let slots = Slots::new(simulated.slots, simulated.queue, Arc::new(metrics.clone()));
            providers.push(Arc::new(Simulated::new(simulated.clone(), limits, slots)));
        }
        if let Some(openai) = OpenAi::new(config.openai.clone())? {
            providers.push(Arc::new(openai));
        }
        let entries = providers.into_iter().map(|provider| {
            let name = provider.kind().to_owned();
            let entry = Entry {
                name: name.as_str().into(),
                provider,
                limits: config.limits,
                metrics: metrics.clone(),
            };
            (name, entry)
        });
        Ok(Self {
            entries: entries.collect(),
            active: config.active.clone(),
        })
    }

    /// The provider of this name, or the active one.
    pub fn get(&self, name: Option<&str>) -> Option<&Entry> {
        self.entries.get(name.unwrap_or(&self.active))
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// The name of the active one.
    pub fn active(&self) -> &str {
        &self.active
    }
}

/// Counts an open stream until it is dropped.
struct Open(Metrics);

impl Open {
    fn new(metrics: &Metrics) -> Self {
        metrics.streams.inc();
        Self(metrics.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.streams.dec();
    }
}

impl Entry {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its kind.
    pub fn kind(&self) -> &'static str {
        self.provider.kind()
    }

    /// Its model.
    pub fn model(&self) -> &str {
        self.provider.model()
    }

    /// Begins an answer within the limits, and measures it.
    pub async fn generate(&self, prompt: Prompt) -> Result<Deltas, Error> {
        let bounds = Guard::start(self.limits);
        let started = Instant::now();
        let begun = accepted(self.provider.generate(prompt), bounds.first_token_by()).await;
        let deltas = begun.inspect_err(|error| self.count(error))?;
        let (entry, open) = (self.clone(), Open::new(&self.metrics));
        let label = ProviderLabel {
            provider: self.name.to_string(),
        };
        let mut is_first = true;
        let measured = guard(deltas, bounds).map(move |delta| {
            let _open = &open;
            match &delta {
                Ok(Delta::Text(_)) => {
                    if std::mem::take(&mut is_first) {
                        let seconds = started.elapsed().as_secs_f64();
                        entry
                            .metrics
                            .first_token
                            .get_or_create(&label)
                            .observe(seconds);
                    }
                }
                Ok(Delta::End { usage, .. }) => {
                    let written = u64::from(usage.completion_tokens);
                    entry.metrics.tokens.get_or_create(&label).inc_by(written);
                }
                Err(error) => entry.count(error),
            }
            delta
        });
        Ok(Box::pin(ended(measured)))
    }

    fn count(&self, error: &Error) {
        let labels = FailureLabels {
            provider: self.name.to_string(),
            code: error.code().to_owned(),
        };
        self.metrics.failures.get_or_create(&labels).inc();
        tracing::warn!(
            provider = %self.name,
            error.code = error.code(),
            error.reason = error.reason(),
            "provider `{}` failed: {error}", self.name
        );
    }
}

/// The stream up to its end or its first error, so that whatever it holds is dropped then.
fn ended<S>(deltas: S) -> impl stream::Stream<Item = Result<Delta, Error>>
where
    S: stream::Stream<Item = Result<Delta, Error>> + Send + 'static,
{
    stream::unfold(Some(Box::pin(deltas)), |open| async move {
        let mut deltas = open?;
        let delta = deltas.next().await?;
        let goes_on = matches!(delta, Ok(Delta::Text(_)));
        Some((delta, goes_on.then_some(deltas)))
    })
}
