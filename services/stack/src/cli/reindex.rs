use std::process::ExitCode;

use serde_json::{Value, json};

use super::api::Api;
use super::args::{Cli, Target};
use super::out::Out;

pub(crate) async fn run(target: &Target, cli: &Cli, out: &Out) -> anyhow::Result<ExitCode> {
    let api = Api::connect(target, cli).await?;
    let answer: Value = api.post("/documents/reindex", &json!({})).await?;
    if out.is_json() {
        out.value(&answer)?;
    } else {
        out.line(format!(
            "{} documents are queued; `GET /documents` shows how far they are",
            answer["documents"]
        ));
    }
    Ok(ExitCode::SUCCESS)
}
