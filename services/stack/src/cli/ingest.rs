use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use sha2::{Digest, Sha256};
use touchstone_api::document::{AcceptedDocument, Document};
use touchstone_types::{DocumentId, DocumentStatus};

use super::api::Api;
use super::args::{Cli, IngestArgs};
use super::out::Out;

/// Pause between two looks at documents that are still on their way.
const POLL: Duration = Duration::from_millis(200);

/// What became of a file.
#[derive(Clone, Debug, Serialize)]
struct Outcome {
    file: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<DocumentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<DocumentStatus>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chunks: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

pub(crate) async fn run(args: &IngestArgs, cli: &Cli, out: Out) -> anyhow::Result<ExitCode> {
    let files = collect(&args.paths)?;
    anyhow::ensure!(!files.is_empty(), "no files found in what was named");
    let api = Api::connect(&args.target, cli).await?;
    let bar = progress(files.len() as u64, out);
    let uploads = futures_util::stream::iter(files).map(|file| {
        let (api, bar) = (api.clone(), bar.clone());
        async move {
            let outcome = ingest(&api, file, !args.no_wait).await;
            bar.inc(1);
            outcome
        }
    });
    let outcomes: Vec<Outcome> = uploads.buffered(usize::from(args.parallel)).collect().await;
    bar.finish_and_clear();
    report(&outcomes, out)
}

/// Every file in what was named, folders deeply, hidden ones left out, in a stable order.
fn collect(paths: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        let kind =
            std::fs::metadata(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        if kind.is_dir() {
            walk(path, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let entries =
        std::fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))?;
    let mut entries: Vec<_> = entries.collect::<Result<_, _>>()?;
    entries.sort_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        let kind = entry.file_type()?;
        // Links are not followed: they may lead in circles.
        if kind.is_dir() && !hidden {
            walk(&entry.path(), files)?;
        } else if kind.is_file() && !hidden {
            files.push(entry.path());
        }
    }
    Ok(())
}

async fn ingest(api: &Api, file: PathBuf, wait: bool) -> Outcome {
    match try_ingest(api, &file, wait).await {
        Ok((accepted, document)) => {
            let failure = document
                .as_ref()
                .and_then(|document| document.failure.as_ref());
            Outcome {
                file,
                id: Some(accepted.id),
                status: Some(
                    document
                        .as_ref()
                        .map_or(accepted.status, |document| document.status),
                ),
                chunks: document.as_ref().map(|document| document.chunk_count),
                error: failure.map(|failure| format!("{} ({})", failure.message, failure.code)),
            }
        }
        Err(error) => {
            let error = Some(format!("{error:#}"));
            Outcome {
                file,
                id: None,
                status: None,
                chunks: None,
                error,
            }
        }
    }
}

async fn try_ingest(
    api: &Api,
    file: &Path,
    wait: bool,
) -> anyhow::Result<(AcceptedDocument, Option<Document>)> {
    let content: bytes::Bytes = tokio::fs::read(file)
        .await
        .context("cannot read the file")?
        .into();
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let key = idempotency_key(file, &content);
    let accepted: AcceptedDocument = api.upload(&name, content, &key).await?;
    if !wait {
        return Ok((accepted, None));
    }
    let document = wait_until_settled(api, accepted.id).await?;
    Ok((accepted, Some(document)))
}

/// Path and content name an upload, so that a repeat of an interrupted run uploads nothing twice.
fn idempotency_key(file: &Path, content: &[u8]) -> String {
    let mut hash = Sha256::new();
    let path = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    hash.update(path.as_os_str().as_encoded_bytes());
    hash.update([0]);
    hash.update(content);
    format!("ingest-{}", hex::encode(hash.finalize()))
}

/// Looks at a document until no worker will touch it any more.
pub(crate) async fn wait_until_settled(api: &Api, id: DocumentId) -> anyhow::Result<Document> {
    loop {
        let document: Document = api.get(&format!("/documents/{id}")).await?;
        if document.status.is_settled() {
            return Ok(document);
        }
        tokio::time::sleep(POLL).await;
    }
}

fn progress(length: u64, out: Out) -> ProgressBar {
    if out.is_json() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} files, {eta} left");
    ProgressBar::new(length).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn report(outcomes: &[Outcome], out: Out) -> anyhow::Result<ExitCode> {
    let failed: Vec<&Outcome> = outcomes
        .iter()
        .filter(|outcome| outcome.error.is_some())
        .collect();
    if out.is_json() {
        out.value(&outcomes)?;
    } else {
        let mut reasons: BTreeMap<&str, Vec<&Outcome>> = BTreeMap::new();
        for outcome in &failed {
            reasons
                .entry(outcome.error.as_deref().unwrap_or_default())
                .or_default()
                .push(outcome);
        }
        let chunks: u32 = outcomes.iter().filter_map(|outcome| outcome.chunks).sum();
        let good = outcomes.len() - failed.len();
        out.line(format!(
            "{good} of {} files are in, {chunks} chunks",
            outcomes.len()
        ));
        for (reason, outcomes) in reasons {
            out.line(format!("failed: {reason}"));
            for outcome in outcomes {
                out.line(format!("  {}", outcome.file.display()));
            }
        }
    }
    Ok(if failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_walked_in_a_stable_order_without_hidden_files() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.md", ".hidden", "a/z.txt", "a/b/c.txt"] {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, name).unwrap();
        }
        let files = collect(&[folder.path().to_owned()]).unwrap();
        let names: Vec<_> = files
            .iter()
            .map(|file| file.strip_prefix(folder.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(names, ["a/b/c.txt", "a/z.txt", "b.md"]);
    }

    #[test]
    fn the_key_of_an_upload_depends_on_path_and_content() {
        let key = |path: &str, content: &str| idempotency_key(Path::new(path), content.as_bytes());
        assert_eq!(key("/a", "x"), key("/a", "x"));
        assert_ne!(key("/a", "x"), key("/a", "y"));
        assert_ne!(key("/a", "x"), key("/b", "x"));
    }
}
