//! The command line.

mod api;
mod args;
mod ask;
mod config;
mod demo;
mod eval;
mod explain;
mod health;
mod ingest;
mod load;
mod migrate;
mod models;
mod out;
mod patience;
mod reindex;
mod search;
mod secrets;
mod tg_sim;
mod up;

use std::num::NonZero;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tokio::runtime::{Builder, Runtime};

pub(crate) use api::KEY_FILE;
use args::{Cli, Command};
use out::Out;
use touchstone_document::sandbox;

use crate::StartError;

/// Exit code of a mistake in the configuration or on the command line.
const USAGE: u8 = 2;

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // Before anything else: a worker limits itself, and hostile files are its business.
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() == Some(sandbox::SUBCOMMAND) {
        return sandbox::worker_main(std::io::stdin(), std::io::stdout(), arguments);
    }
    let cli = Cli::parse();
    let out = Out::new(cli.json);
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            out.error(&format!("cannot start the runtime: {error}"), None);
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli, out)) {
        Ok(code) => code,
        Err(error) => {
            let problem = error.downcast_ref::<api::Refusal>();
            out.error(&format!("{error:#}"), problem.map(|refusal| &refusal.0));
            let start = error.downcast_ref::<StartError>();
            let usage = error.is::<touchstone_config::Error>()
                || error.is::<args::Usage>()
                || matches!(
                    start,
                    Some(StartError::Configuration(_) | StartError::Tls { .. })
                );
            if usage {
                ExitCode::from(USAGE)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}

/// The runtime: a worker for each core, and on a single one no worker to hand work over to.
fn runtime() -> std::io::Result<Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let mut builder = if cores == 1 {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    builder.enable_all().build()
}

async fn run(cli: Cli, out: Out) -> anyhow::Result<ExitCode> {
    let command = cli.command.clone().unwrap_or(Command::Up(cli.up.clone()));
    match command {
        Command::Up(up) => Box::pin(up::up(&cli, &up, out)).await,
        Command::Serve(serve) => Box::pin(up::serve(&cli, &serve, out)).await,
        Command::Demo(target) => Box::pin(demo::run(&target, &cli, out)).await,
        Command::Ingest(ingest) => ingest::run(&ingest, &cli, out).await,
        Command::Ask(ask) => ask::run(&ask, &cli, out).await,
        Command::Search(search) => search::run(&search, &cli, out).await,
        Command::Eval(eval) => Box::pin(eval::run(&eval, &cli, out)).await,
        Command::Load(load) => Box::pin(load::run(&load, &cli, out)).await,
        Command::Conformance(args) => Box::pin(load::conformance(&args, out)).await,
        Command::LlmSim(args) => Box::pin(load::llm_sim(&args, out)).await,
        Command::Reindex(target) => reindex::run(&target, &cli, out).await,
        Command::Migrate(migrate) => migrate::run(&migrate, &cli, out).await,
        Command::Explain(explain) => explain::run(&explain, &cli, out).await,
        Command::Models(models) => models::run(&models, &cli, out).await,
        Command::Health(health) => health::run(&health, &cli, out).await,
        Command::Secrets(secrets) => secrets::run(&secrets, out),
        Command::TgSim(args) => tg_sim::run(&args, &cli, out).await,
        Command::Config(config) => config::run(&config, &cli, out),
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "touchstone",
                &mut std::io::stdout(),
            );
            Ok(ExitCode::SUCCESS)
        }
    }
}
