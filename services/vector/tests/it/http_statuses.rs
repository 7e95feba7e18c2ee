//! Every status that the routes answer.

use http::Method;
use serde_json::{Value, json};
use touchstone_testing::TestClient;
use touchstone_types::Role;

use crate::fixtures::*;

fn wire(number: u128) -> Value {
    serde_json::to_value(point(number, &[(1, 1.0)])).unwrap()
}

#[tokio::test]
async fn the_golden_path() {
    let app = App::start().await.with_chunks().await;
    let user = app.user(1, Role::Member);
    let body = json!({"points": [wire(1), wire(2)]});
    let written: Value = user.post("/collections/chunks/points", &body).await.json();
    assert_eq!(written, json!({"upserted": 2}));
    let query = json!({
        "queries": [{"sparse": {"name": "bm25", "vector": {"indices": [1], "values": [1.0]}}}],
        "limit": 1, "with_payload": true
    });
    let found: Value = user.post("/collections/chunks/query", &query).await.json();
    assert_eq!(found["results"][0][0]["id"], json!(chunk(1)));
    assert_eq!(found["payloads"][chunk(1).to_string()]["title"], "title 1");
    let page: Value = user
        .post("/collections/chunks/scroll", &json!({"limit": 1}))
        .await
        .json();
    assert_eq!(
        (page["points"].as_array().unwrap().len(), &page["next"]),
        (1, &json!(chunk(1)))
    );
    let seen: Value = user.get("/collections").await.json();
    assert_eq!(seen["items"][0]["points"], 2);
    let filter = json!({"filter": {"document_ids": [document(0)]}});
    let gone: Value = user
        .post("/collections/chunks/points/delete", &filter)
        .await
        .json();
    assert_eq!(gone, json!({"count": 2}));
    let left: Value = user
        .post("/collections/chunks/count", &json!({}))
        .await
        .json();
    assert_eq!(left, json!({"count": 0}));
    let removed = app.service().delete("/collections/chunks").await;
    assert_eq!((removed.status.as_u16(), removed.body.len()), (204, 0));
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table")]
async fn bad_requests_are_problems_with_stable_codes() {
    let app = App::start().await.with_chunks().await;
    let user = app.user(1, Role::Member);
    let sparse = |name: &str, indices: Value, values: Value| {
        json!({"queries": [{"sparse": {"name": name, "vector": {"indices": indices, "values": values}}}],
            "limit": 5})
    };
    let dense = |vector: Value| json!({"queries": [{"dense": vector}], "limit": 5});
    let with = |key: &str, value: Value| {
        let mut bad = wire(1);
        bad[key] = value;
        json!({"points": [wire(2), bad]})
    };
    let many: Vec<Value> = (0..1001).map(wire).collect();
    let documents: Vec<_> = (0..1001).map(document).collect();
    let cases: Vec<(&str, Value, &str)> = vec![
        ("points", json!({"points": []}), "422 request.invalid"),
        ("points", json!({"points": many}), "422 request.invalid"),
        (
            "points",
            json!({"points": [], "tenant": tenant(2)}),
            "422 request.invalid",
        ),
        (
            "points",
            with("tenant_id", json!(tenant(2))),
            "422 request.invalid",
        ),
        (
            "points",
            with("id", json!("no-uuid")),
            "422 request.invalid",
        ),
        (
            "points",
            with("dense", json!([1.0])),
            "422 vector.dimension_mismatch",
        ),
        (
            "points",
            with("dense", json!([0.0, 0.0, 0.0])),
            "422 vector.bad_vector",
        ),
        (
            "points",
            with("dense", json!([1e39, 0.0, 0.0])),
            "422 vector.bad_vector",
        ),
        (
            "points",
            with("dense", json!([null, 0.0, 0.0])),
            "422 request.invalid",
        ),
        (
            "points",
            json!({"points": [wire(1), wire(1)]}),
            "422 vector.duplicate_point",
        ),
        (
            "points",
            with("sparse", json!({"x": {"indices": [], "values": []}})),
            "422 vector.unknown_sparse",
        ),
        (
            "points",
            with("sparse", json!({"bm25": {"indices": [1], "values": []}})),
            "422 vector.bad_vector",
        ),
        (
            "points",
            with(
                "sparse",
                json!({"bm25": {"indices": [-1], "values": [1.0]}}),
            ),
            "422 request.invalid",
        ),
        (
            "query",
            json!({"queries": [], "limit": 5}),
            "422 request.invalid",
        ),
        (
            "query",
            json!({"queries": [{"dense": [1, 0, 0]}], "limit": 0}),
            "422 request.invalid",
        ),
        (
            "query",
            json!({"queries": [{"dense": [1, 0, 0]}], "limit": 1001}),
            "422 request.invalid",
        ),
        (
            "query",
            json!({"queries": vec![json!({"dense": [1, 0, 0]}); 9], "limit": 1}),
            "422 request.invalid",
        ),
        (
            "query",
            sparse("nope", json!([1]), json!([1.0])),
            "422 vector.unknown_sparse",
        ),
        (
            "query",
            sparse("bm25", json!([2, 1]), json!([1.0, 1.0])),
            "422 vector.bad_vector",
        ),
        (
            "query",
            sparse("bm25", json!([1]), json!([1e7])),
            "422 vector.bad_vector",
        ),
        ("query", dense(json!([0, 0, 0])), "422 vector.bad_vector"),
        ("query", dense(json!([])), "422 vector.dimension_mismatch"),
        ("scroll", json!({"limit": 0}), "422 request.invalid"),
        ("scroll", json!({"limit": 1001}), "422 request.invalid"),
        (
            "count",
            json!({"filter": {"document_ids": documents}}),
            "422 request.invalid",
        ),
        (
            "count",
            json!({"filter": {"tenant": "x"}}),
            "422 request.invalid",
        ),
        ("points/delete", json!({}), "422 vector.unbounded_deletion"),
        (
            "points/delete",
            json!({"filter": {"version": 1}}),
            "422 vector.unbounded_deletion",
        ),
        (
            "points/delete",
            json!({"filter": {"document_ids": []}}),
            "422 vector.unbounded_deletion",
        ),
    ];
    for (path, body, expected) in cases {
        let answer = user
            .post(&format!("/collections/chunks/{path}"), &body)
            .await;
        let shown: String = body.to_string().chars().take(200).collect();
        assert_eq!(answer.problem(), expected, "{path} {shown}");
    }
    let left: Value = user
        .post("/collections/chunks/count", &json!({}))
        .await
        .json();
    assert_eq!(
        left,
        json!({"count": 0}),
        "nothing half-done is left behind"
    );
}

#[tokio::test]
async fn the_form_of_a_request_is_checked_on_every_route() {
    let app = App::start_with(|config| config.max_body = bytesize::ByteSize::kib(4)).await;
    let app = app.with_chunks().await;
    let user = app.user(1, Role::Admin);
    let posts = ["points", "points/delete", "query", "scroll", "count"];
    let paths = posts.map(|path| (Method::POST, format!("/collections/chunks/{path}")));
    for (method, path) in paths
        .into_iter()
        .chain([(Method::PUT, "/collections/chunks".into())])
    {
        let raw = async |kind: &str, body: &[u8]| {
            user.raw(method.clone(), &path, kind, body.to_vec())
                .await
                .problem()
        };
        assert_eq!(raw("application/json", b"{").await, "400 request.malformed");
        assert_eq!(
            raw("application/json", b"\xff\xfe").await,
            "400 request.malformed"
        );
        assert_eq!(
            raw("text/plain", b"{}").await,
            "415 request.unsupported_media_type"
        );
        assert_eq!(raw("application/json", b"[1]").await, "422 request.invalid");
        assert_eq!(
            raw("application/json", &[b' '; 5000]).await,
            "413 request.too_large"
        );
        let anonymous = TestClient::anonymous(app.router.clone());
        let refused = anonymous
            .raw(method.clone(), &path, "application/json", "{}")
            .await;
        assert_eq!(refused.status, 401);
    }
}

#[tokio::test]
async fn unknown_collections_are_not_found_and_bad_names_refused() {
    let app = App::start().await.with_chunks().await;
    let user = app.user(1, Role::Admin);
    for name in ["absent", "ABSENT", "a%20b", "%F0%9F%A6%80", "..%2fchunks"] {
        let path = format!("/collections/{name}");
        assert_eq!(
            user.get(&path).await.problem(),
            "404 vector.unknown_collection",
            "{name}"
        );
        let count = user.post(&format!("{path}/count"), &json!({})).await;
        assert_eq!(count.problem(), "404 vector.unknown_collection", "{name}");
        let removed = app.service().delete(&path).await;
        assert_eq!(removed.problem(), "404 vector.unknown_collection", "{name}");
    }
    let body = json!({"sparse": ["bm25"]});
    let refused = user.json(Method::PUT, "/collections/A%20B", &body).await;
    assert_eq!(refused.problem(), "422 request.invalid");
    assert_eq!(
        user.get("/collections/%FF").await.problem(),
        "404 request.unknown_id"
    );
}

#[tokio::test]
async fn definitions_are_checked_and_remembered() {
    let app = App::start().await.with_chunks().await;
    let admin = app.user(1, Role::Admin);
    let put = async |name: &str, body: Value| {
        admin
            .json(Method::PUT, &format!("/collections/{name}"), &body)
            .await
    };
    let other = json!({"dense": {"model": "minilm", "dimension": 3}, "sparse": ["bm25", "chars"]});
    let refused = put("chunks", other).await;
    assert_eq!(refused.problem(), "409 vector.model_mismatch");
    assert!(refused.text().contains("touchstone reindex"));
    let fewer = put("chunks", json!({"sparse": ["bm25"]})).await;
    assert_eq!(fewer.problem(), "409 vector.sparse_mismatch");
    let silent: Value = put("chunks", json!({"sparse": ["chars", "bm25"]}))
        .await
        .json();
    assert_eq!(
        silent["dense"],
        json!({"model": MODEL, "dimension": DIMENSION})
    );
    for bad in [
        json!({}),
        json!({"sparse": ["a", "a"]}),
        json!({"sparse": ["A"]}),
        json!({"dense": {"model": "", "dimension": 3}}),
        json!({"dense": {"model": "m", "dimension": 0}}),
        json!({"dense": {"model": "m", "dimension": 9000}}),
        json!({"dense": {"model": "m", "dimension": -1}}),
    ] {
        assert_eq!(
            put("new", bad.clone()).await.problem(),
            "422 request.invalid",
            "{bad}"
        );
    }
    assert_eq!(admin.get("/collections/new").await.status, 404);
}

#[tokio::test]
async fn operations_are_told_before_and_after_the_load() {
    let app = App::start().await;
    let anonymous = TestClient::anonymous(app.router.clone());
    let health: Value = anonymous.get("/health").await.json();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["details"]["index_loaded"], true);
    assert_eq!(anonymous.get("/ready").await.status, 200);
    assert!(
        anonymous
            .get("/metrics")
            .await
            .text()
            .contains("touchstone_vector_points 0")
    );
    let specification: Value = anonymous.get("/openapi.json").await.json();
    assert_eq!(
        specification["paths"].as_object().unwrap().len(),
        11,
        "{specification}"
    );
    assert!(app.life.waiting_for().is_empty());
}
