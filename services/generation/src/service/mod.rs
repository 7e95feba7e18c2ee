//! What the service does, apart from HTTP.

mod answer;
mod conversations;
mod plain;
mod prepare;
mod record;

pub use plain::{Plain, collect};
pub use prepare::{Prepared, Wish, check_question};

use std::fmt;
use std::sync::Arc;

use touchstone_api::generation::{Provider, ProviderList, Usage};
use touchstone_client::RetrievalClient;
use touchstone_lifecycle::Lifecycle;
use touchstone_types::{Clock, IdSource};

use crate::config::Config;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::provider::{self, Entry, Registry};
use crate::store::Store;

/// Generation: cheap to clone.
#[derive(Clone)]
pub struct Generation {
    inner: Arc<Inner>,
}

/// What all requests share.
pub struct Inner {
    /// Configuration.
    pub config: Config,
    /// Who writes.
    pub registry: Registry,
    /// Where conversations are kept.
    pub store: Arc<dyn Store>,
    /// Who finds.
    pub retrieval: RetrievalClient,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// New ids.
    pub ids: IdSource,
    /// What is counted.
    pub metrics: Metrics,
    /// Runs what must outlive a request.
    pub life: Lifecycle,
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Generation")
            .field("registry", &self.inner.registry)
            .finish_non_exhaustive()
    }
}

impl Generation {
    /// The service over its parts.
    pub fn new(inner: Inner) -> Self {
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Its parts.
    pub fn parts(&self) -> &Inner {
        &self.inner
    }

    /// The providers.
    pub fn providers(&self) -> ProviderList {
        let registry = &self.inner.registry;
        let items = registry.iter().map(|entry| Provider {
            name: entry.name().to_owned(),
            kind: entry.kind().to_owned(),
            active: entry.name() == registry.active(),
            model: entry.model().to_owned(),
        });
        ProviderList {
            items: items.collect(),
        }
    }

    fn provider(&self, name: Option<&str>) -> Result<Entry, Error> {
        let entry = self.inner.registry.get(name);
        entry
            .cloned()
            .ok_or_else(|| Error::UnknownProvider(name.unwrap_or_default().to_owned()))
    }
}

/// Tokens in wire form.
pub fn wire_usage(usage: provider::Usage) -> Usage {
    let provider::Usage {
        prompt_tokens,
        completion_tokens,
    } = usage;
    let total_tokens = prompt_tokens.saturating_add(completion_tokens);
    Usage {
        prompt_tokens,
        completion_tokens,
        total_tokens,
    }
}
