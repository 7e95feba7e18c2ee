//! Benchmarks of the whole stack, printed as one table: what was asked, what was measured.
//!
//! Build first (`cargo build --release`), then `cargo run --release -p touchstone-bench`.

mod answers;
mod quality;
mod real;
mod system;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use table::Table;

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
    /// Only these areas: quality, gate, dense, start, load, relay, distributed, recovery, failures, users
    #[arg(long, value_name = "AREA")]
    only: Vec<String>,
    /// Where the report of the thousand users is written
    #[arg(long, default_value = "load-reports", value_name = "DIR")]
    reports: PathBuf,
    /// The stack's binary [default: `touchstone` beside this one]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

impl Args {
    fn wants(&self, area: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == area)
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut table = Table::default();
    if args.wants("quality") {
        quality::lexical(&args.dataset, &mut table).await?;
    }
    if args.wants("gate") {
        answers::gate(&args.dataset, &mut table)?;
    }
    if args.wants("dense") {
        quality::dense(&args.dataset, args.models.as_deref(), &mut table).await?;
    }
    if args.wants("relay") {
        real::relay::run(&mut table).await?;
    }
    if [
        "start",
        "load",
        "distributed",
        "recovery",
        "failures",
        "users",
    ]
    .iter()
    .any(|area| args.wants(area))
    {
        let binary = system::binary(args.binary.clone())?;
        processes(&args, &binary, &mut table).await?;
    }
    table.print();
    Ok(ExitCode::SUCCESS)
}

/// What is measured on the stack's binary.
async fn processes(args: &Args, binary: &Path, table: &mut Table) -> anyhow::Result<()> {
    if args.wants("start") {
        system::start::run(binary, table).await?;
    }
    if args.wants("load") {
        system::load::run(binary, args.chunks, table).await?;
    }
    if args.wants("distributed") {
        real::load(binary, args.real_chunks, table).await?;
    }
    if args.wants("recovery") {
        real::recovery(binary, table).await?;
    }
    if args.wants("failures") {
        real::failures(binary, table).await?;
    }
    if args.wants("users") {
        real::users(binary, &args.reports, table).await?;
    }
    Ok(())
}
