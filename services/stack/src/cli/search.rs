use std::process::ExitCode;

use anyhow::Context;
use touchstone_api::retrieval::{Explain, SearchRequest, SearchResponse};

use super::api::Api;
use super::args::{Cli, SearchArgs};
use super::ask::one_line;
use super::out::Out;

/// Candidates shown per stage.
const SHOWN: usize = 5;
/// Characters of a hit that are shown.
const SNIPPET: usize = 240;

pub(crate) async fn run(args: &SearchArgs, cli: &Cli, out: Out) -> anyhow::Result<ExitCode> {
    let api = Api::connect(&args.target, cli).await?;
    let mode = serde_json::from_value(args.mode.clone().into()).context("unknown mode")?;
    let request = SearchRequest {
        query: args.query.clone(),
        limit: Some(usize::from(args.limit)),
        explain: args.explain,
        mode,
        ..SearchRequest::default()
    };
    let response: SearchResponse = api.post("/search", &request).await?;
    if out.is_json() {
        out.value(&response)?;
        return Ok(ExitCode::SUCCESS);
    }
    let dense = response.dense_model.as_deref().unwrap_or("off");
    out.note(format!(
        "signals: {}; dense: {dense}",
        response.signals.join(", ")
    ));
    if response.hits.is_empty() {
        out.note("nothing found");
    }
    for (rank, hit) in response.hits.iter().enumerate() {
        let place = out.dim(&format!(
            "bytes {}..{}, score {:.3}",
            hit.start, hit.end, hit.score
        ));
        out.line(format!("{:>2}. {} {place}", rank + 1, out.bold(&hit.title)));
        let text: String = one_line(&hit.text).chars().take(SNIPPET).collect();
        out.line(format!("    {text}"));
    }
    if let Some(explain) = &response.explain {
        print_explain(explain, out);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_explain(explain: &Explain, out: Out) {
    out.line("");
    for stage in &explain.stages {
        out.line(format!(
            "{} {}",
            out.bold(&format!("{:<10}", stage.name)),
            out.dim(&format!(
                "{:>7.2} ms  {} candidates, {} dropped{}",
                stage.duration_ms,
                stage.candidates.len(),
                stage.dropped.len(),
                stage
                    .note
                    .as_deref()
                    .map(|note| format!("  ({note})"))
                    .unwrap_or_default()
            ))
        ));
        for candidate in stage.candidates.iter().take(SHOWN) {
            out.line(format!(
                "    {}  {:.4}",
                candidate.chunk_id, candidate.score
            ));
        }
        for dropped in stage.dropped.iter().take(SHOWN) {
            out.line(out.dim(&format!(
                "    {}  dropped: {}",
                dropped.chunk_id, dropped.reason
            )));
        }
    }
}
