//! How the parent takes a child's misbehaviour.

use std::os::unix::fs::symlink;
use std::time::Duration;

use bytes::Bytes;
use touchstone_document::formats::{ExtractError, Format, Limits};
use touchstone_document::sandbox::{Extractor, Settings};
use touchstone_error::Classify;

use crate::{extract, settings};

/// Runs the test worker under a name that makes it misbehave.
async fn misbehaving(name: &str, settings: Settings) -> ExtractError {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join(name);
    symlink(env!("CARGO_BIN_EXE_document-parse-worker"), &program).unwrap();
    let extractor = Extractor::new(Settings {
        program: Some(program),
        ..settings
    });
    extractor
        .extract(Format::Pdf, Bytes::from_static(b"abc"))
        .await
        .unwrap_err()
}

#[tokio::test]
async fn a_child_that_dies_costs_one_document() {
    for (name, code, words) in [
        ("aborts", "document.parser_crashed", "signal 6"),
        ("overflows", "document.parser_crashed", "stack overflow"),
        ("leaves", "document.parser_crashed", "no answer"),
        ("hogs", "document.too_large", "memory"),
        ("spins", "document.parser_timeout", "computing time"),
    ] {
        let error = misbehaving(name, settings()).await;
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(error.to_string().contains(words), "{name}: {error}");
        assert!(!error.is_transient(), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_child_that_hangs_is_killed() {
    let quick = Settings {
        timeout: Duration::from_millis(300),
        ..settings()
    };
    assert_eq!(
        misbehaving("hangs", quick).await.code(),
        "document.parser_timeout"
    );
}

#[tokio::test]
async fn a_child_that_never_stops_talking_is_cut_off() {
    let small = Settings {
        limits: Limits {
            max_output_bytes: 1000,
        },
        ..settings()
    };
    assert_eq!(
        misbehaving("babbles", small).await.code(),
        "document.too_large"
    );
}

#[tokio::test]
async fn a_child_has_no_environment_and_gets_the_whole_file() {
    let error = misbehaving("tells", settings()).await;
    assert!(error.to_string().contains("exit code 7"), "{error}");
}

#[tokio::test]
async fn a_program_that_is_no_worker_is_told_apart_from_a_bad_file() {
    for program in ["/nonexistent/worker", "/bin/true/x"] {
        let extractor = Extractor::new(Settings {
            program: Some(program.into()),
            ..settings()
        });
        let error = extractor
            .extract(Format::Pdf, Bytes::from_static(b"abc"))
            .await
            .unwrap_err();
        assert_eq!(error.code(), "document.parser_unavailable");
        assert!(error.is_transient());
    }
}

#[tokio::test]
async fn text_beyond_the_limit_is_too_large() {
    let page = format!("<p>{}", "word ".repeat(1000)).into_bytes();
    let small = Settings {
        limits: Limits {
            max_output_bytes: 1000,
        },
        ..settings()
    };
    let error = Extractor::new(small)
        .extract(Format::Html, Bytes::from(page))
        .await
        .unwrap_err();
    assert_eq!(error.code(), "document.too_large");
}

#[tokio::test]
async fn many_files_share_the_permits() {
    let extractor = Extractor::new(Settings {
        concurrency: 2,
        ..settings()
    });
    let reads = (0..12).map(|at| {
        let extractor = extractor.clone();
        async move {
            let page = format!("<p>page {at}");
            extractor
                .extract(Format::Html, Bytes::from(page))
                .await
                .unwrap()
                .text
        }
    });
    let texts = futures_util::future::join_all(reads).await;
    assert_eq!(texts[11], "page 11");
    assert!(extract(Format::Html, b"<p></p>".to_vec()).await.is_err());
}
