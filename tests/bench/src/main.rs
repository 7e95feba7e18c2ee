//! Benchmarks of the whole stack, printed as one table: what was asked, what was measured.
//!
//! Build first (`cargo build --release`), then `cargo run --release -p touchstone-bench`.

mod answers;
mod only;
mod quality;
mod real;
mod system;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use only::Only;
use table::Table;

/// What can be measured, in its order.
const PARTS: [&str; 10] = [
    "quality",
    "gate",
    "dense",
    "relay",
    "start",
    "load",
    "distributed",
    "recovery",
    "failures",
    "users",
];
/// Those that start the stack's binary.
const OF_PROCESSES: [&str; 6] = [
    "start",
    "load",
    "distributed",
    "recovery",
    "failures",
    "users",
];

/// Measures this machine's build of the stack against its goals.
#[derive(Debug, Parser)]
struct Args {
    /// Question collections (XQuAD-R `en.json` and `ru.json`); quality is skipped without
    #[arg(long, value_name = "PATH")]
    dataset: Vec<PathBuf>,
    /// Models directory that holds `all-MiniLM-L6-v2`; dense rows are skipped without
    #[arg(long, value_name = "DIR")]
    models: Option<PathBuf>,
    /// Chunks in the index for the search benchmark
    #[arg(long, default_value_t = 100_000)]
    chunks: usize,
    /// Chunks in the index for ingest and search on real servers
    #[arg(long, default_value_t = 20_000)]
    real_chunks: usize,
    #[command(flatten)]
    only: Only,
    /// Of the failures, only those of these services and servers, e.g. retrieval,qdrant
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    failures_of: Vec<String>,
    /// Where the report of the thousand users is written
    #[arg(long, default_value = "load-reports", value_name = "DIR")]
    reports: PathBuf,
    /// The stack's binary [default: `touchstone` beside this one]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    args.only.check(&PARTS)?;
    let mut table = Table::default();
    if args.only.wants("quality") {
        quality::lexical(&args.dataset, &mut table).await?;
    }
    if args.only.wants("gate") {
        answers::gate(&args.dataset, &mut table)?;
    }
    if args.only.wants("dense") {
        quality::dense(&args.dataset, args.models.as_deref(), &mut table).await?;
    }
    if args.only.wants("relay") {
        real::relay::run(&mut table).await?;
    }
    if OF_PROCESSES.iter().any(|part| args.only.wants(part)) {
        let binary = system::binary(args.binary.clone())?;
        processes(&args, &binary, &mut table).await?;
    }
    table.print();
    Ok(ExitCode::SUCCESS)
}

/// What is measured on the stack's binary.
async fn processes(args: &Args, binary: &Path, table: &mut Table) -> anyhow::Result<()> {
    if args.only.wants("start") {
        system::start::run(binary, table).await?;
    }
    if args.only.wants("load") {
        system::load::run(binary, args.chunks, table).await?;
    }
    if args.only.wants("distributed") {
        real::load(binary, args.real_chunks, table).await?;
    }
    if args.only.wants("recovery") {
        real::recovery(binary, table).await?;
    }
    if args.only.wants("failures") {
        real::failures(binary, &args.failures_of, table).await?;
    }
    if args.only.wants("users") {
        real::users(binary, &args.reports, table).await?;
    }
    Ok(())
}
