//! Retrieval and answers on question collections, through the whole stack in process.

use std::path::{Path, PathBuf};

use anyhow::Context;
use touchstone_config::Loader;
use touchstone_eval::Granularity;
use touchstone_stack::evaluation::{Evaluation, Report};
use touchstone_stack::{Plan, Settings, Stack};

use crate::table::{Goal, Table};

/// Goals of the lexical build by language: paragraphs, sentences, gold sentence first.
fn goals(language: &str) -> [Goal; 3] {
    match language {
        "en" => [
            Goal::AtLeast(0.968),
            Goal::AtLeast(0.86),
            Goal::AtLeast(0.76),
        ],
        "ru" => [
            Goal::AtLeast(0.955),
            Goal::AtLeast(0.83),
            Goal::AtLeast(0.75),
        ],
        _ => [Goal::None; 3],
    }
}

/// Without a model: every stage, and the answers.
pub async fn lexical(datasets: &[PathBuf], table: &mut Table) -> anyhow::Result<()> {
    if datasets.is_empty() {
        table.skipped("quality", "no --dataset");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let loader = Loader::new().set("stack.data_dir", folder.path().display().to_string());
    let stack = Stack::start(Settings::load(&loader)?, Plan::in_process()).await?;
    for path in datasets {
        for collection in touchstone_eval::load(path).context("cannot read the dataset")? {
            let language = collection.language.code();
            let [paragraphs, sentences, answers] = goals(language);
            let report = measure(&stack, &collection, true).await?;
            rows(
                &format!("{language} paragraphs"),
                paragraphs,
                &report,
                table,
            );
            if let Some(found) = report.answers {
                let what = |what: &str| format!("{language} answers: {what}");
                table.measured(
                    &what("gold sentence first"),
                    answers,
                    found.gold_sentence_first,
                    "",
                    4,
                );
                table.measured(
                    &what("answer in the first quote"),
                    Goal::None,
                    found.answer_in_first,
                    "",
                    4,
                );
                table.measured(
                    &what("answer in any quote"),
                    Goal::None,
                    found.answer_in_any,
                    "",
                    4,
                );
                let exact = found.quotes_exact * 100.0;
                table.measured(
                    &what("quotes byte-exact"),
                    Goal::AtLeast(100.0),
                    exact,
                    " %",
                    2,
                );
                table.measured(
                    &what("abstained"),
                    Goal::None,
                    found.abstained as f64,
                    "",
                    0,
                );
            }
            let collection = collection.at(Granularity::Sentences);
            let report = measure(&stack, &collection, false).await?;
            rows(&format!("{language} sentences"), sentences, &report, table);
        }
    }
    stack.stop().await;
    Ok(())
}

/// With all-MiniLM-L6-v2: English paragraphs, the dense signal alone.
pub async fn dense(
    datasets: &[PathBuf],
    models: Option<&Path>,
    table: &mut Table,
) -> anyhow::Result<()> {
    let (Some(models), false) = (models, datasets.is_empty()) else {
        table.skipped("dense", "no --models or no --dataset");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let loader = Loader::new()
        .set("stack.data_dir", folder.path().display().to_string())
        .set(
            "model.directory",
            std::path::absolute(models)?.display().to_string(),
        )
        .set("model.active", "all-MiniLM-L6-v2");
    let stack = Stack::start(Settings::load(&loader)?, Plan::in_process()).await?;
    for path in datasets {
        for collection in touchstone_eval::load(path).context("cannot read the dataset")? {
            if collection.language.code() != "en" {
                continue;
            }
            let report = measure(&stack, &collection, false).await?;
            for row in &report.stages {
                let goal = if row.stage == "dense" {
                    Goal::AtLeast(0.94)
                } else {
                    Goal::None
                };
                let what = format!("en paragraphs with MiniLM, nDCG@10: {}", row.stage);
                table.measured(&what, goal, row.ndcg_at_10, "", 4);
            }
        }
    }
    stack.stop().await;
    Ok(())
}

async fn measure(
    stack: &Stack,
    collection: &touchstone_eval::Collection,
    answers: bool,
) -> anyhow::Result<Report> {
    let evaluation = Evaluation::prepare(stack, collection).await?;
    Ok(evaluation.run(None, answers).await?)
}

/// A row per stage; the goal is the last one's.
fn rows(what: &str, goal: Goal, report: &Report, table: &mut Table) {
    for row in &report.stages {
        let goal = if row.stage == "final" {
            goal
        } else {
            Goal::None
        };
        table.measured(
            &format!("{what}, nDCG@10: {}", row.stage),
            goal,
            row.ndcg_at_10,
            "",
            4,
        );
    }
}
