use std::process::ExitCode;

use anyhow::Context;
use touchstone_eval::Granularity;

use super::args::{Cli, EvalArgs};
use super::out::Out;
use crate::evaluation::{Answers, Evaluation, Report};
use crate::{Plan, Settings, Stack};

/// Measures in a stack of its own: the configuration in force, an empty temporary data directory.
pub(crate) async fn run(args: &EvalArgs, cli: &Cli, out: Out) -> anyhow::Result<ExitCode> {
    let mut settings = Settings::load(&cli.loader(&cli.up)?)?;
    let folder = tempfile::tempdir()?;
    settings.model.directory = settings.models_dir();
    settings.stack.data_dir = folder.path().to_owned();
    let stack = Stack::start(settings, Plan::in_process()).await?;
    let result = measure(&stack, args, out).await;
    stack.stop().await;
    result.map(|()| ExitCode::SUCCESS)
}

async fn measure(stack: &Stack, args: &EvalArgs, out: Out) -> anyhow::Result<()> {
    for path in &args.dataset {
        let collections = touchstone_eval::load(path).context("cannot read the dataset")?;
        for collection in collections {
            let marked = collection
                .documents
                .iter()
                .any(|document| !document.sentences.is_empty());
            let granularities: &[_] = if marked {
                &[Granularity::Paragraphs, Granularity::Sentences]
            } else {
                &[Granularity::Paragraphs]
            };
            for &granularity in granularities {
                let collection = collection.at(granularity);
                let answers = args.answers && granularity == Granularity::Paragraphs;
                let unit = match granularity {
                    Granularity::Paragraphs => "paragraphs",
                    Granularity::Sentences => "sentences",
                };
                out.note(format!(
                    "{} {unit}: indexing {} documents, then asking; this takes a while",
                    collection.name,
                    collection.documents.len()
                ));
                let evaluation = Evaluation::prepare(stack, &collection).await?;
                let report = evaluation.run(args.questions, answers).await?;
                if out.is_json() {
                    out.value(&serde_json::json!({ "unit": unit, "report": report }))?;
                } else {
                    print(unit, &report, out);
                }
            }
        }
    }
    Ok(())
}

fn print(unit: &str, report: &Report, out: Out) {
    let Report {
        collection,
        documents,
        questions,
        chunks,
        ingest_seconds,
        ..
    } = report;
    out.line(format!(
        "\n{} {unit}: {documents} documents, {chunks} chunks in {ingest_seconds:.1} s, \
         {questions} questions, dense: {}",
        out.bold(collection),
        report.dense_model.as_deref().unwrap_or("off"),
    ));
    out.line(format!(
        "{:<10} {:>8} {:>8} {:>8} {:>8}",
        "stage", "nDCG@10", "MRR@10", "P@1", "R@100"
    ));
    for row in &report.stages {
        out.line(format!(
            "{:<10} {:>8.4} {:>8.4} {:>8.4} {:>8.4}",
            row.stage, row.ndcg_at_10, row.mrr_at_10, row.precision_at_1, row.recall_at_100
        ));
    }
    out.line(out.dim(&format!(
        "search with explain, {questions} questions: p50 {:.1} ms, p95 {:.1} ms",
        report.search_p50_ms, report.search_p95_ms
    )));
    if let Some(answers) = &report.answers {
        let Answers {
            gold_sentence_first,
            answer_in_first,
            answer_in_any,
            ..
        } = answers;
        out.line(format!(
            "answers: gold sentence first {gold_sentence_first:.4}, answer in the first quote \
             {answer_in_first:.4}, in any {answer_in_any:.4}; {} quotes, {:.2} % byte-exact; {} abstained",
            answers.quotes,
            answers.quotes_exact * 100.0,
            answers.abstained
        ));
    }
}
