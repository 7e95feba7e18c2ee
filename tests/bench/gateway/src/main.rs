#![doc = include_str!("../README.md")]

mod child;
mod gateway;
mod load;
mod machine;
mod mock;
// One form for all benchmarks.
#[path = "../../src/only.rs"]
mod only;
mod peers;
mod report;
mod rows;
mod stats;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use only::Only;

/// Rows of the README.
const ROWS: [&str; 8] = ["1", "2", "3", "4", "5", "6", "7", "8"];

/// The allocator of the `touchstone` binary.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the gateway beside its peers.
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
    /// The gateway as the benchmark starts it
    Gateway(gateway::Options),
}

/// What is measured, and how long.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// By the numbers of the README.
    #[command(flatten)]
    only: Only,
    /// Short rounds: to see that it runs, not to compare
    #[arg(long)]
    quick: bool,
    /// Only these peers: nginx, pingora, gin, fastapi
    #[arg(long, value_name = "PEER")]
    peer: Vec<String>,
    /// Where every number goes
    #[arg(long, value_name = "FILE", default_value = "gateway-bench.json")]
    json: PathBuf,
    /// One more key of the measured gateways' configuration, e.g. gateway.docs=false
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Command that the gateways start under, e.g. "perf record -g -o /tmp/perf.data"
    #[arg(long, value_name = "COMMAND")]
    under: Option<String>,
}

fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    match cli.role {
        Some(Role::Gateway(role)) => {
            let runtime = role.runtime()?;
            runtime.block_on(gateway::run(&role))?;
        }
        None => {
            cli.args.only.check(&ROWS)?;
            machine::stay_on_load_core()?;
            rlimit::increase_nofile_limit(rows::DESCRIPTORS)?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(rows::run(&cli.args))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
