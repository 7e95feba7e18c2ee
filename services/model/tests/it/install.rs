//! Bringing models into the directory.

use std::fs;
use std::path::Path;

use touchstone_model::install::{Error, install};
use touchstone_model::runtime::LoadError;
use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::tiny;

fn source() -> tempfile::TempDir {
    let source = tempfile::tempdir().unwrap();
    tiny::bert(&source.path().join("tiny-bert"), "mean");
    fs::write(source.path().join("tiny-bert/README.md"), "not taken").unwrap();
    source
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(listing) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<_> = listing
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_copied_checked_and_listed() {
    let (source, models) = (source(), tempfile::tempdir().unwrap());
    let folder = source.path().join("tiny-bert");
    for from in [
        folder.display().to_string(),
        format!("file://{}", folder.display()),
    ] {
        let id = from.starts_with("file").then_some("second");
        let installed = install(&from, models.path(), id).await.unwrap();
        assert_eq!(installed.id, id.unwrap_or("tiny-bert"));
        assert_eq!(
            (installed.dimension, installed.max_tokens),
            (Some(32), Some(40))
        );
        assert_eq!(installed.files.len(), 4);
        assert_eq!(
            names(&installed.path),
            [
                "1_Pooling",
                "SHA256SUMS",
                "config.json",
                "model.safetensors",
                "vocab.txt"
            ]
        );
    }
    assert_eq!(names(models.path()), ["second", "tiny-bert"]);
    let again = install(folder.to_str().unwrap(), models.path(), None)
        .await
        .unwrap_err();
    assert!(matches!(again, Error::Exists { .. }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_used_leaves_nothing_behind() {
    let (source, models) = (source(), tempfile::tempdir().unwrap());
    let folder = source.path().join("tiny-bert");
    let try_install = async |source: &str, id: Option<&str>| {
        install(source, models.path(), id).await.unwrap_err()
    };
    let text = folder.to_str().unwrap();
    assert!(matches!(
        try_install(text, Some("../x")).await,
        Error::Id(_)
    ));
    assert!(matches!(
        try_install("/does/not/exist", None).await,
        Error::Source(_)
    ));
    assert!(matches!(
        try_install("ftp://x/y", None).await,
        Error::Source(_)
    ));

    let sums = format!(
        "{}  config.json\n{}  README.md\n",
        "0".repeat(64),
        "1".repeat(64)
    );
    fs::write(folder.join("SHA256SUMS"), sums).unwrap();
    let error = try_install(text, None).await;
    assert!(
        matches!(&error, Error::Model(LoadError::Damaged { file, .. }) if file == "config.json")
    );
    fs::remove_file(folder.join("SHA256SUMS")).unwrap();

    fs::write(folder.join("model.safetensors"), b"12345678 not weights").unwrap();
    assert!(matches!(try_install(text, None).await, Error::Model(_)));
    assert_eq!(names(models.path()), Vec::<String>::new());
}

async fn serve(folder: &Path, except: &str) -> MockServer {
    let server = MockServer::start().await;
    for name in [
        "config.json",
        "vocab.txt",
        "model.safetensors",
        "1_Pooling/config.json",
    ] {
        if name != except {
            let body = fs::read(folder.join(name)).unwrap();
            Mock::given(method("GET"))
                .and(path(format!("/tiny-bert/{name}")))
                .respond_with(ResponseTemplate::new(200).set_body_bytes(body))
                .mount(&server)
                .await;
        }
    }
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_fetched_from_and_its_checksums_are_obeyed() {
    let (source, models) = (source(), tempfile::tempdir().unwrap());
    let folder = source.path().join("tiny-bert");
    let server = serve(&folder, "").await;
    let url = format!("{}/tiny-bert/", server.uri());
    let installed = install(&url, models.path(), None).await.unwrap();
    assert_eq!(installed.id, "tiny-bert");
    assert_eq!(installed.files.len(), 4);

    let wrong = format!("{}  vocab.txt\n", "0".repeat(64));
    Mock::given(method("GET"))
        .and(path("/tiny-bert/SHA256SUMS"))
        .respond_with(ResponseTemplate::new(200).set_body_string(wrong))
        .mount(&server)
        .await;
    let error = install(&url, models.path(), Some("other"))
        .await
        .unwrap_err();
    assert!(matches!(&error, Error::Model(LoadError::Damaged { file, .. }) if file == "vocab.txt"));
    assert_eq!(names(models.path()), ["tiny-bert"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_the_weights_is_told() {
    let (source, models) = (source(), tempfile::tempdir().unwrap());
    let server = serve(&source.path().join("tiny-bert"), "model.safetensors").await;
    let url = format!("{}/tiny-bert", server.uri());
    let error = install(&url, models.path(), None).await.unwrap_err();
    assert!(
        matches!(&error, Error::Model(LoadError::Missing(file)) if file == "model.safetensors")
    );
    assert_eq!(names(models.path()), Vec::<String>::new());
}
