//! Starts the servers of the distributed suites, runs a command with their URLs, stops them.

use std::process::{Command, ExitCode};

use clap::Parser;
use touchstone_test_services::{Exclusive, Kind};

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
    let mut servers = Vec::new();
    let mut missing = Vec::new();
    let mut environment = Vec::new();
    for kind in Kind::ALL {
        if !only.is_empty() && !only.iter().any(|name| name == kind.name()) {
            continue;
        }
        if let Some(url) = touchstone_config::variable(kind.variable()) {
            eprintln!("{kind}: {} names it already", kind.variable());
            drop(url);
            continue;
        }
        match Exclusive::start(kind).await {
            Some(server) => {
                let value = server.url().trim_start_matches("kafka://").to_owned();
                eprintln!("{kind}: {} answers", server.address());
                environment.push((kind.variable(), value));
                servers.push(server);
            }
            None => missing.push(kind),
        }
    }
    let ended = run(&command, &environment);
    drop(servers);
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
