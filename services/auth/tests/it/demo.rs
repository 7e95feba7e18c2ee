use std::sync::{Arc, Mutex};

use axum::extract::State;
use http::StatusCode;
use http::header::AUTHORIZATION;
use serde_json::{Value, json};
use touchstone_api::document::CreateDocumentRequest;
use touchstone_auth::{Config, Profile};
use touchstone_web::AppJson;

use crate::harness::{App, config};

fn corpus() -> Arc<[CreateDocumentRequest]> {
    ["one.md", "two.md", "три.md"]
        .map(|filename| CreateDocumentRequest {
            filename: filename.into(),
            content: format!("# {filename}"),
            mime: None,
            language: None,
            metadata: std::collections::BTreeMap::new(),
        })
        .into()
}

type Uploads = Arc<Mutex<Vec<Value>>>;

/// A document service that remembers what it was sent, and lists it.
fn documents(uploads: Uploads) -> axum::Router {
    async fn create(
        State(uploads): State<Uploads>,
        headers: http::HeaderMap,
        AppJson(body): AppJson<Value>,
    ) -> (StatusCode, AppJson<Value>) {
        assert!(headers.contains_key(AUTHORIZATION));
        uploads.lock().unwrap().push(body);
        let id = "0192f0c1-2b3a-7cde-8f01-23456789abcd";
        (
            StatusCode::ACCEPTED,
            AppJson(json!({"id": id, "version": 1, "status": "queued"})),
        )
    }
    async fn list(State(uploads): State<Uploads>) -> AppJson<Value> {
        let item = |body: &Value| {
            json!({
                "id": "0192f0c1-2b3a-7cde-8f01-23456789abcd", "filename": body["filename"],
                "title": "t", "mime": "text/markdown", "language": "en", "source": "upload",
                "status": "queued", "version": 1, "size_bytes": 1, "sha256": "", "chunk_count": 0,
                "metadata": {}, "created_at": "2026-01-01T00:00:00Z",
                "updated_at": "2026-01-01T00:00:00Z"
            })
        };
        AppJson(json!({"items": uploads.lock().unwrap().iter().map(item).collect::<Vec<_>>()}))
    }
    axum::Router::new()
        .route("/documents", axum::routing::post(create).get(list))
        .with_state(uploads)
}

#[tokio::test]
async fn demo_documents_are_uploaded_once() {
    let app = App::with_demo(config(), corpus()).await;
    let uploads = Uploads::default();
    app.mesh.mount("document", documents(uploads.clone()));
    let client = app.client(&app.register("ada@example.org").await.access_token);
    for expected in [3, 0] {
        let answer = client.post("/auth/seed-demo", &json!({})).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json::<Value>()["documents"], expected);
    }
    uploads.lock().unwrap().remove(1);
    let answer = client.post("/auth/seed-demo", &json!({})).await;
    assert_eq!(answer.json::<Value>()["documents"], 1);
    app.stop().await;
}

#[tokio::test]
async fn production_takes_no_demo_data_and_neither_do_strangers_give_it() {
    let config = Config {
        profile: Profile::Production,
        ..config()
    };
    let app = App::with_demo(config, corpus()).await;
    let client = app.client(&app.register("ada@example.org").await.access_token);
    let answer = client.post("/auth/seed-demo", &json!({})).await;
    assert_eq!(answer.problem(), "403 auth.demo_refused");
    let answer = app.anonymous().post("/auth/seed-demo", &json!({})).await;
    assert_eq!(answer.problem(), "401 auth.missing_credential");
}

#[tokio::test]
async fn a_document_service_that_is_away_is_told_as_such() {
    let app = App::with_demo(config(), corpus()).await;
    let client = app.client(&app.register("ada@example.org").await.access_token);
    let answer = client.post("/auth/seed-demo", &json!({})).await;
    assert_eq!(answer.problem(), "503 auth.demo_failed");
}
