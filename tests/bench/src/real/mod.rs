//! A process per service on real servers: ingest, search, and how soon things go on after a fault.

mod deployment;
mod ingest;
mod recovery;
pub mod relay;

use std::path::Path;

use touchstone_test_services::{Exclusive, Kind};

use self::deployment::{Deployment, Servers};
use crate::table::Table;

/// Ingest and search on real servers: with our own index, and in Qdrant where there is one.
pub async fn load(binary: &Path, chunks: usize, table: &mut Table) -> anyhow::Result<()> {
    let what = "ingest and search on real servers";
    let Some(servers) = Servers::start().await else {
        table.skipped(what, "a server is missing");
        return Ok(());
    };
    ingest::run(binary, &servers, chunks, table).await?;
    let Some(qdrant) = Exclusive::start(Kind::Qdrant).await else {
        table.skipped(what, "Qdrant is missing");
        return Ok(());
    };
    // Servers of their own: nothing of the first run is left to be done.
    drop(servers);
    let Some(servers) = Servers::start().await else {
        table.skipped(what, "a server is missing");
        return Ok(());
    };
    ingest::run(binary, &servers.with(qdrant), chunks, table).await
}

/// How soon things go on after each fault.
pub async fn recovery(binary: &Path, table: &mut Table) -> anyhow::Result<()> {
    let Some(servers) = Servers::start().await else {
        table.skipped("recovery after faults", "a server is missing");
        return Ok(());
    };
    let servers = match Exclusive::start(Kind::Qdrant).await {
        Some(qdrant) => servers.with(qdrant),
        None => servers,
    };
    let deployment = Deployment::start(binary, &servers).await?;
    recovery::run(deployment, &servers, table).await
}
