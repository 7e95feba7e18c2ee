#![doc = include_str!("../README.md")]

mod child;
// One form for all benchmarks.
#[path = "../../src/only.rs"]
mod only;
mod rows;
mod served;
#[path = "../../src/table.rs"]
mod table;
mod venv;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use only::Only;

/// What can be measured.
const PARTS: [&str; 6] = ["schedules", "export", "index", "crash", "flood", "recovery"];

/// The allocator of the `touchstone` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the Telegram service against the simulated data centre.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    args: Args,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// The service as the benchmark starts it
    Service(served::Options),
}

/// What is measured, and how much of it.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    only: Only,
    /// Schedules of faults
    #[arg(long, default_value_t = 1_000)]
    schedules: u64,
    /// First seed of them
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Schedules at once
    #[arg(long, default_value_t = 16)]
    at_once: usize,
    /// Posts to export
    #[arg(long, default_value_t = 1_000_000)]
    posts: u32,
    /// Questions about posts that were deleted
    #[arg(long, default_value_t = 1_000)]
    questions: usize,
    /// Points at which the service is killed
    #[arg(long, default_value_t = 200)]
    kills: usize,
    /// Seconds under hidden limits
    #[arg(long, default_value_t = 300)]
    flood_seconds: u64,
    /// The stack's binary, for `index` [default: `touchstone` beside this one]
    #[arg(long, value_name = "FILE")]
    binary: Option<PathBuf>,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    cli.args.only.check(&PARTS)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    match cli.role {
        Some(Role::Service(options)) => runtime.block_on(served::run(&options))?,
        None => runtime.block_on(rows::run(&cli.args))?,
    }
    Ok(ExitCode::SUCCESS)
}
