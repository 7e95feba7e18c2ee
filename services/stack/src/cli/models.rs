use std::process::ExitCode;

use touchstone_api::model::{Model, ModelList};

use super::api::Api;
use super::args::{Cli, ModelsArgs, ModelsCommand};
use super::out::Out;
use crate::Settings;

pub(crate) async fn run(args: &ModelsArgs, cli: &Cli, out: Out) -> anyhow::Result<ExitCode> {
    match &args.command {
        ModelsCommand::List(target) => {
            let models: ModelList = Api::connect(target, cli).await?.get("/models").await?;
            if out.is_json() {
                out.value(&models)?;
            } else if models.items.is_empty() {
                out.note(
                    "no models; dense search is off. Install one with `touchstone models pull DIR`",
                );
            }
            if !out.is_json() {
                models.items.iter().for_each(|model| print(model, out));
            }
        }
        ModelsCommand::Load { id, target } => {
            let api = Api::connect(target, cli).await?;
            let path = format!("/models/{id}/load");
            let model: Model = api.post(&path, &serde_json::json!({})).await?;
            if out.is_json() {
                out.value(&model)?;
            } else {
                print(&model, out);
            }
        }
        ModelsCommand::Pull { source, id } => pull(source, id.as_deref(), cli, out).await?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn pull(source: &str, id: Option<&str>, cli: &Cli, out: Out) -> anyhow::Result<()> {
    let settings = Settings::load(&cli.loader(&cli.up)?)?;
    let installed = touchstone_model::install::install(source, &settings.models_dir(), id).await?;
    if out.is_json() {
        out.value(&installed)?;
    } else {
        let bytes: u64 = installed.files.iter().map(|file| file.bytes).sum();
        out.line(format!(
            "installed `{}` in {}: {} files, {} MiB",
            installed.id,
            installed.path.display(),
            installed.files.len(),
            bytes >> 20
        ));
        out.note("start the stack with EMBEDDING_MODEL set to it, then `touchstone reindex`");
    }
    Ok(())
}

fn print(model: &Model, out: Out) {
    let word = |value: serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let status = word(serde_json::to_value(model.status).unwrap_or_default());
    let task = word(serde_json::to_value(model.task).unwrap_or_default());
    let dimension = model
        .dimension
        .map(|n| format!(", {n} dimensions"))
        .unwrap_or_default();
    let active = if model.active { ", active" } else { "" };
    let mib = model.memory_bytes >> 20;
    out.line(format!(
        "{}: {task}, {status}{dimension}, {mib} MiB{active}",
        out.bold(&model.id)
    ));
    if let Some(error) = &model.error {
        out.line(format!("    {error}"));
    }
}
