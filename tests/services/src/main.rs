//! Starts the servers of the distributed suites, runs a command with their URLs, stops them.

use std::process::{Command, ExitCode};

use clap::Parser;
use touchstone_test_services::{Kind, shared};

/// Real servers for tests.
#[derive(Debug, Parser)]
enum Arguments {
    /// Starts what this machine can give, runs a command with the URLs in its environment, stops.
    Run {
        /// Servers to start; every kind unless named.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// The command; `cargo test --workspace` unless given.
        #[arg(trailing_var_arg = true)]
        command: Vec<String>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let Arguments::Run { only, command } = Arguments::parse();
    let mut missing = Vec::new();
    let mut environment = Vec::new();
    for kind in Kind::ALL {
        if !only.is_empty() && !only.iter().any(|name| name == kind.name()) {
            continue;
        }
        if touchstone_config::variable(kind.variable()).is_some() {
            eprintln!("{kind}: {} names it already", kind.variable());
            continue;
        }
        match shared(kind).await {
            Some(server) => {
                let value = server.url().trim_start_matches("kafka://").to_owned();
                let address = server.address().rsplit('@').next().unwrap_or_default();
                eprintln!("{kind}: {address} answers");
                environment.push((kind.variable(), value));
            }
            None => missing.push(kind),
        }
    }
    let ended = run(&command, &environment);
    for kind in &missing {
        eprintln!("SKIPPED: there was no {kind} server; what needs it was not tested on it");
    }
    ended
}

/// The command with the servers' URLs; its exit code.
fn run(command: &[String], environment: &[(&str, String)]) -> ExitCode {
    let default = ["cargo", "test", "--workspace"].map(str::to_owned);
    let words = if command.is_empty() {
        &default
    } else {
        command
    };
    let Some((program, arguments)) = words.split_first() else {
        return ExitCode::FAILURE;
    };
    let status = Command::new(program)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .status();
    match status {
        Ok(status) => status
            .code()
            .and_then(|code| u8::try_from(code).ok())
            .map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            eprintln!("{program}: {error}");
            ExitCode::FAILURE
        }
    }
}
