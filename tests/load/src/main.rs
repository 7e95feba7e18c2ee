//! The load suite alone, for machines that only make load.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use touchstone_load::cli::{
    ConformanceArgs, LlmSimArgs, LoadArgs, Surroundings, conformance, llm_sim, load,
};

#[derive(Debug, Parser)]
#[command(name = "touchstone-load", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Print JSON, for programs
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    Load(Box<LoadArgs>),
    Conformance(ConformanceArgs),
    LlmSim(LlmSimArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let Ok(runtime) = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    else {
        return ExitCode::FAILURE;
    };
    let surroundings = Surroundings {
        json: cli.json,
        ..Surroundings::default()
    };
    let code = runtime.block_on(async {
        match &cli.command {
            Command::Load(args) => load(args, &surroundings).await,
            Command::Conformance(args) => conformance(args, &surroundings).await,
            Command::LlmSim(args) => llm_sim(args, &surroundings).await,
        }
    });
    ExitCode::from(code)
}
