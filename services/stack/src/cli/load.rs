use std::process::ExitCode;

use touchstone_load::cli::{ConformanceArgs, LlmSimArgs, LoadArgs, Surroundings, load};
use touchstone_load::services::Endpoint;

use super::api::KEY_FILE;
use super::args::Cli;
use super::out::Out;
use crate::StackConfig;

/// Puts a deployment under load. For a stack of this machine the key in its data directory gives the
/// users their plan.
pub(crate) async fn run(args: &LoadArgs, cli: &Cli, out: Out) -> anyhow::Result<ExitCode> {
    let stack: StackConfig = cli.loader(&cli.up)?.section()?;
    let surroundings = Surroundings {
        json: out.is_json(),
        local_operator_key: Some(stack.data_dir.join(KEY_FILE)),
        local_port: stack.ports.get("gateway").copied(),
        local_metrics: metrics(&stack),
    };
    Ok(ExitCode::from(load(args, &surroundings).await))
}

/// Where the services of a stack of this machine tell their metrics; the gateway does on its port for
/// operators.
fn metrics(stack: &StackConfig) -> Vec<Endpoint> {
    let ports = stack.ports.iter().map(|(name, port)| match name.as_str() {
        "gateway" => (name, stack.admin_port),
        _ => (name, *port),
    });
    ports
        .filter(|(_, port)| *port != 0)
        .map(|(name, port)| Endpoint {
            name: name.clone(),
            url: format!("http://127.0.0.1:{port}"),
            is_wanted: false,
        })
        .collect()
}

/// Grades a load tester.
pub(crate) async fn conformance(args: &ConformanceArgs, out: Out) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings {
        json: out.is_json(),
        ..Surroundings::default()
    };
    let code = touchstone_load::cli::conformance(args, &surroundings).await;
    Ok(ExitCode::from(code))
}

/// Simulates a language model.
pub(crate) async fn llm_sim(args: &LlmSimArgs, out: Out) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings {
        json: out.is_json(),
        ..Surroundings::default()
    };
    let code = touchstone_load::cli::llm_sim(args, &surroundings).await;
    Ok(ExitCode::from(code))
}
