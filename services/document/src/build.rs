//! Puts the service together.

use std::path::PathBuf;

use axum::Router;
use tokio::sync::{Semaphore, mpsc};
use touchstone_api::events::DOCUMENT_WORK;
use touchstone_events::{Relay, RelayOptions};
use touchstone_lifecycle::Lifecycle;
use touchstone_web::Surface;

use crate::domain::chunker::ChunkParams;
use crate::ingest::{DocumentParser, Ingestor, Wake};
use crate::metrics::Metrics;
use crate::store::{self, Opened};
use crate::{Config, Deps, Documents, commit, formats, ingest, routes, sandbox, service};

/// Uploads that wait for the task that commits them.
const COMMIT_QUEUE: usize = 256;
/// Group of the bus under which all workers take work.
const GROUP: &str = "document.ingest";

/// The service cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The documents cannot be opened.
    #[error("cannot open the documents")]
    Store(#[source] store::Error),
    /// The bus gives no subscription.
    #[error("cannot subscribe to the work of document")]
    Events(#[source] touchstone_events::Error),
}

/// Opens the store, drives unfinished work on, starts relay, listener and workers, and gives the
/// router.
///
/// # Errors
/// [`BuildError`] says what could not be opened.
pub async fn build(config: Config, deps: Deps, life: &Lifecycle) -> Result<Router, BuildError> {
    let opened = store::open(&config.store, &config.postgres)
        .await
        .map_err(BuildError::Store)?;
    build_on(opened, config, deps, life).await
}

/// As [`build`], on a store that is open.
///
/// # Errors
/// [`BuildError`] says what could not be started.
pub async fn build_on(
    opened: impl Into<Opened>,
    config: Config,
    deps: Deps,
    life: &Lifecycle,
) -> Result<Router, BuildError> {
    let life = life.service("document");
    let Opened { store, outbox } = opened.into();
    let relay = Relay::new(
        outbox,
        deps.events.clone(),
        deps.clock.clone(),
        RelayOptions::default(),
    );
    let metrics = Metrics::new(&deps.metrics.scope("document"));
    let recovered = store
        .recover(deps.clock.now())
        .await
        .map_err(BuildError::Store)?;
    metrics.recovered.inc_by(recovered);

    let wake = Wake::default();
    let ingestor = Ingestor::new(ingest::Inner {
        store: store.clone(),
        embedding: deps.embedding,
        vector: deps.vector.clone(),
        parser: parser(&config, deps.parser),
        config: config.ingest.clone(),
        clock: deps.clock.clone(),
        ids: deps.ids.clone(),
        metrics: metrics.clone(),
        wake: wake.clone(),
        relay: relay.waker(),
        backlog: relay.backlog(),
        events: deps.events.clone(),
        life: life.clone(),
    });
    // Subscribed before the relay starts: a bus hands events only to groups that exist.
    let subscription = deps
        .events
        .subscribe(DOCUMENT_WORK, GROUP)
        .await
        .map_err(BuildError::Events)?;
    life.spawn("document.listen", ingestor.clone().listen(subscription));
    life.spawn(
        "document.sweep",
        ingestor.clone().sweep(config.idempotency_ttl),
    );
    ingestor.start();
    let (relay_waker, backlog) = (relay.waker(), relay.backlog());
    relay.start("document.relay", &life);

    let (commits, pending) = mpsc::channel(COMMIT_QUEUE);
    let stop = life.soft_stop().cancelled_owned();
    life.spawn(
        "document.commit",
        commit::commit_loop(store.clone(), pending, stop),
    );
    let body_limit = config
        .limits
        .document
        .as_u64()
        .saturating_mul(3)
        .saturating_add(1 << 20);
    let service = Documents::new(service::Inner {
        store,
        clock: deps.clock,
        ids: deps.ids.clone(),
        metrics,
        checks: Semaphore::new(config.limits.uploads),
        config,
        vector: deps.vector,
        relay: relay_waker,
        backlog,
        events: deps.events,
        wake,
        commits,
    });
    let health = service.clone();
    let surface = Surface::new("document", &life, &deps.metrics, deps.verifier, deps.ids)
        .health(move || {
            let service = health.clone();
            async move { service.health().await }
        })
        // JSON may escape every character of a document.
        .body_limit(usize::try_from(body_limit).unwrap_or(usize::MAX));
    Ok(surface.finish(routes::router(service)))
}

fn parser(config: &Config, program: Option<PathBuf>) -> DocumentParser {
    let bytes = |size: bytesize::ByteSize| usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
    let limits = formats::Limits {
        max_output_bytes: bytes(config.formats.max_text),
    };
    let settings = sandbox::Settings {
        program,
        concurrency: config.sandbox.processes,
        timeout: config.sandbox.timeout,
        cpu_seconds: config.sandbox.cpu.as_secs().max(1),
        memory_bytes: config.sandbox.memory.as_u64(),
        limits,
    };
    DocumentParser {
        extractor: sandbox::Extractor::new(settings),
        limits,
        chunks: ChunkParams {
            target_chars: config.chunker.target_chars,
            overlap_sentences: config.chunker.overlap_sentences,
            max_chars: config.chunker.max_chars,
        },
        deadline: config.ingest.parse_deadline,
    }
}
