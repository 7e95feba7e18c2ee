//! The routes.

use std::path::Path;

use axum::Router;
use serde_json::{Value, json};
use touchstone_lifecycle::Lifecycle;
use touchstone_model::{BuildError, Config, Deps, build};
use touchstone_testing::{TestClient, TestIdentity};
use touchstone_types::Role;

use crate::tiny;

pub struct App {
    pub identity: TestIdentity,
    pub life: Lifecycle,
    pub router: Router,
    pub admin: TestClient,
}

/// Keys are without the section's name.
pub fn config(directory: &Path, settings: &[(&str, &str)]) -> Config {
    let mut loader = touchstone_config::Loader::new()
        .set("model.directory", directory.to_str().unwrap().to_owned());
    for (key, value) in settings {
        loader = loader.set(format!("model.{key}"), *value);
    }
    loader.section().unwrap()
}

pub async fn try_app(config: Config) -> Result<App, BuildError> {
    let identity = TestIdentity::new();
    let life = Lifecycle::new();
    let deps = Deps::resolve(&identity.common(), &config);
    let router = build(config, deps, &life).await?;
    life.ready().await;
    let admin = TestClient::new(router.clone(), identity.bearer(&identity.caller()));
    Ok(App {
        identity,
        life,
        router,
        admin,
    })
}

pub async fn app(config: Config) -> App {
    try_app(config)
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

fn models(directory: &Path) {
    tiny::bert(&directory.join("mini"), "mean");
    std::fs::create_dir_all(directory.join("cross")).unwrap();
    tiny::bert_reranker(&directory.join("cross"));
    std::fs::create_dir_all(directory.join("not-a-model")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn models_in_the_directory_are_listed_loaded_used_and_unloaded() {
    let directory = tempfile::tempdir().unwrap();
    models(directory.path());
    let App { admin, .. } = app(config(directory.path(), &[])).await;

    let list: Value = admin.get("/models").await.json();
    let ids: Vec<_> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["id"])
        .collect();
    assert_eq!(ids, ["cross", "mini"]);
    assert_eq!(list["items"][0]["task"], "rerank");
    assert_eq!(list["items"][1]["status"], "unloaded");
    assert_eq!(list["items"][1]["active"], false);

    let input = json!({"input": ["the fox", "мир"], "kind": "query"});
    let early = admin.post("/models/mini/embed", &input).await;
    assert_eq!(early.problem(), "409 model.not_loaded");

    let loaded: Value = admin.post("/models/mini/load", &json!(null)).await.json();
    assert_eq!(
        (
            &loaded["status"],
            &loaded["dimension"],
            &loaded["max_tokens"]
        ),
        (&json!("loaded"), &json!(32), &json!(40))
    );
    assert!(loaded["memory_bytes"].as_u64().unwrap() > 10_000);
    let embedded: Value = admin.post("/models/mini/embed", &input).await.json();
    assert_eq!(embedded["dimension"], 32);
    assert_eq!(embedded["vectors"][1].as_array().unwrap().len(), 32);
    assert_eq!(embedded["tokens"], 7);

    let wrong = admin
        .post(
            "/models/mini/rerank",
            &json!({"query": "a", "documents": ["b"]}),
        )
        .await;
    assert_eq!(wrong.problem(), "409 model.wrong_task");
    admin.post("/models/cross/load", &json!(null)).await;
    let query = json!({"query": "the fox", "documents": ["berlin", "the quick dog is big"]});
    let scores: Value = admin.post("/models/cross/rerank", &query).await.json();
    assert!(scores["scores"][1].as_f64().unwrap() > scores["scores"][0].as_f64().unwrap());
    assert_eq!(
        admin.post("/models/cross/embed", &input).await.problem(),
        "409 model.wrong_task"
    );

    let unloaded: Value = admin.post("/models/mini/unload", &json!(null)).await.json();
    assert_eq!(
        (&unloaded["status"], &unloaded["memory_bytes"]),
        (&json!("unloaded"), &json!(0))
    );
    let late = admin.post("/models/mini/embed", &input).await;
    assert_eq!(late.problem(), "409 model.not_loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_active_model_is_loaded_when_the_service_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    models(directory.path());
    let App { admin, life, .. } = app(config(directory.path(), &[("active", "mini")])).await;
    let model: Value = admin.get("/models/mini").await.json();
    assert_eq!(
        (&model["status"], &model["active"]),
        (&json!("loaded"), &json!(true))
    );
    let health: Value = admin.get("/health").await.json();
    assert_eq!(health["details"]["active"], "mini");
    assert_eq!(health["status"], "healthy");
    assert!(
        life.shutdown(std::time::Duration::from_mins(1))
            .await
            .is_clean()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_active_model_degrades_and_says_why() {
    let directory = tempfile::tempdir().unwrap();
    models(directory.path());
    let weights = directory.path().join("mini/model.safetensors");
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[..whole.len() - 5]).unwrap();
    let App { admin, .. } = app(config(directory.path(), &[("active", "mini")])).await;

    let model: Value = admin.get("/models/mini").await.json();
    assert_eq!(model["status"], "failed");
    assert!(
        model["error"]
            .as_str()
            .unwrap()
            .contains("model.safetensors"),
        "{model}"
    );
    assert_eq!(
        admin.get("/health").await.json::<Value>()["status"],
        "degraded"
    );
    let embed = admin
        .post(
            "/models/mini/embed",
            &json!({"input": ["a"], "kind": "query"}),
        )
        .await;
    assert_eq!(embed.problem(), "409 model.failed");
    let again = admin.post("/models/mini/load", &json!(null)).await;
    assert_eq!(again.problem(), "422 model.load_failed");

    std::fs::write(&weights, whole).unwrap();
    let repaired: Value = admin.post("/models/mini/load", &json!(null)).await.json();
    assert_eq!(repaired["status"], "loaded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_appears_later_is_found_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let App { admin, .. } = app(config(&directory.path().join("absent"), &[])).await;
    assert_eq!(
        admin.get("/models/mini").await.problem(),
        "404 model.unknown_model"
    );
    tiny::bert(&directory.path().join("absent/mini"), "mean");
    assert_eq!(
        admin.post("/models/mini/load", &json!(null)).await.status,
        200
    );
}

#[tokio::test]
async fn an_unknown_active_model_stops_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let error = try_app(config(directory.path(), &[("active", "absent")]))
        .await
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("touchstone models pull"),
        "{error}"
    );
    models(directory.path());
    let error = try_app(config(directory.path(), &[("active", "cross")]))
        .await
        .err()
        .unwrap();
    assert!(matches!(error, BuildError::ActiveDoesNotEmbed(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_over_the_limit_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    models(directory.path());
    let App { admin, .. } = app(config(directory.path(), &[("memory_limit", "100 KB")])).await;
    assert_eq!(
        admin.post("/models/mini/load", &json!(null)).await.status,
        200
    );
    let second = admin.post("/models/cross/load", &json!(null)).await;
    assert_eq!(second.problem(), "409 model.memory_limit");
    admin.post("/models/mini/unload", &json!(null)).await;
    assert_eq!(
        admin.post("/models/cross/load", &json!(null)).await.status,
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hash_embedder_is_called_lexical() {
    let directory = tempfile::tempdir().unwrap();
    let list = r#"[{id = "words", runtime = "hash", dimension = 16, active = true}]"#;
    let App { admin, .. } = app(config(directory.path(), &[("models", list)])).await;
    let model: Value = admin.get("/models/words").await.json();
    assert_eq!(
        (&model["lexical"], &model["runtime"]),
        (&json!(true), &json!("hash"))
    );
    let input = json!({"input": ["a fox", "Fox a"], "kind": "passage"});
    let embedded: Value = admin.post("/models/words/embed", &input).await.json();
    assert_eq!(embedded["vectors"][0], embedded["vectors"][1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_requests_are_told_apart() {
    let directory = tempfile::tempdir().unwrap();
    models(directory.path());
    let settings = [
        (
            "models",
            r#"[{id = "w", runtime = "hash", auto_load = true}]"#,
        ),
        ("max_text_bytes", "100 B"),
    ];
    let App {
        admin,
        identity,
        router,
        ..
    } = app(config(directory.path(), &settings)).await;
    let embed = |body: Value| {
        let admin = admin.clone();
        async move { admin.post("/models/w/embed", &body).await.problem() }
    };
    assert_eq!(
        embed(json!({"input": [], "kind": "query"})).await,
        "422 request.invalid"
    );
    let many = vec!["x"; 257];
    assert_eq!(
        embed(json!({"input": many, "kind": "query"})).await,
        "422 request.invalid"
    );
    let long = "x".repeat(101);
    assert_eq!(
        embed(json!({"input": [long], "kind": "query"})).await,
        "422 request.invalid"
    );
    assert_eq!(
        embed(json!({"input": ["x"], "kind": "both"})).await,
        "422 request.invalid"
    );
    assert_eq!(embed(json!({"input": ["x"]})).await, "422 request.invalid");
    assert_eq!(
        embed(json!({"input": ["x"], "kind": "query", "extra": 1})).await,
        "422 request.invalid"
    );
    let rerank = admin
        .post(
            "/models/cross/rerank",
            &json!({"query": "", "documents": ["x"]}),
        )
        .await;
    assert_eq!(rerank.problem(), "422 request.invalid");
    assert_eq!(
        admin.get("/models/..%2f..%2fetc").await.problem(),
        "404 model.unknown_model"
    );

    let anonymous = TestClient::anonymous(router.clone());
    assert_eq!(anonymous.get("/models").await.status, 401);
    let member = identity.caller_of(identity.ids.next(), Role::Member);
    let member = TestClient::new(router, identity.bearer(&member));
    assert_eq!(member.get("/models").await.status, 200);
    for action in ["load", "unload"] {
        let answer = member
            .post(&format!("/models/mini/{action}"), &json!(null))
            .await;
        assert_eq!(answer.problem(), "403 model.forbidden");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passed_deadline_is_a_timeout() {
    let directory = tempfile::tempdir().unwrap();
    let list = r#"[{id = "w", runtime = "hash", auto_load = true}]"#;
    let App { admin, .. } = app(config(directory.path(), &[("models", list)])).await;
    let request = http::Request::post("/models/w/embed")
        .header("content-type", "application/json")
        .header("x-deadline-ms", "0")
        .body(r#"{"input":["x"],"kind":"query"}"#.into())
        .unwrap();
    assert_eq!(admin.send(request).await.status, 504);
}
