use std::process::ExitCode;

use touchstone_load::cli::{ConformanceArgs, LlmSimArgs, LoadArgs, Surroundings, load};

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
    };
    Ok(ExitCode::from(load(args, &surroundings).await))
}

/// Grades a load tester.
pub(crate) async fn conformance(args: &ConformanceArgs, out: Out) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings {
        json: out.is_json(),
        local_operator_key: None,
    };
    let code = touchstone_load::cli::conformance(args, &surroundings).await;
    Ok(ExitCode::from(code))
}

/// Simulates a language model.
pub(crate) async fn llm_sim(args: &LlmSimArgs, out: Out) -> anyhow::Result<ExitCode> {
    let surroundings = Surroundings {
        json: out.is_json(),
        local_operator_key: None,
    };
    let code = touchstone_load::cli::llm_sim(args, &surroundings).await;
    Ok(ExitCode::from(code))
}
