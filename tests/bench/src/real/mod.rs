//! A process per service on real servers: ingest, search, and how soon things go on after a fault.

mod deployment;
mod failures;
mod ingest;
mod recovery;
pub mod relay;
mod strike;
mod users;

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
    let servers = servers.with_qdrant_if_there().await;
    let deployment = Deployment::start(binary, &servers).await?;
    recovery::run(deployment, &servers, table).await
}

/// Every service and every server stopped, frozen and slowed down, or those that `only` names.
pub async fn failures(binary: &Path, only: &[String], table: &mut Table) -> anyhow::Result<()> {
    let Some(servers) = Servers::start().await else {
        table.skipped("services and servers that fail", "a server is missing");
        return Ok(());
    };
    let servers = servers.with_qdrant_if_there().await;
    let deployment = Deployment::start(binary, &servers).await?;
    Box::pin(failures::run(deployment, &servers, only, table)).await
}

/// A thousand users, and a report of them in the folder `reports`.
pub async fn users(binary: &Path, reports: &Path, table: &mut Table) -> anyhow::Result<()> {
    let Some(servers) = Servers::start().await else {
        table.skipped("1000 users on real servers", "a server is missing");
        return Ok(());
    };
    let servers = servers.with_qdrant_if_there().await;
    users::run(binary, &servers, reports, table).await
}
