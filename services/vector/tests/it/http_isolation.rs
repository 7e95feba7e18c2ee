//! What one tenant can do to another: nothing.

use http::Method;
use serde_json::{Value, json};
use touchstone_identity::Caller;
use touchstone_testing::TestClient;
use touchstone_types::Role;

use crate::fixtures::*;

#[tokio::test]
async fn no_request_of_one_tenant_sees_or_changes_another() {
    let app = App::start().await.with_chunks().await;
    let (alice, mallory) = (app.user(1, Role::Member), app.user(2, Role::Admin));
    let mut secret = point(1, &[(1, 1.0)]);
    secret.payload.text.replace_range(.., "canary-of-alice");
    secret.dense = Some(vec![1.0, 0.0, 0.0]);
    let body = json!({"points": [secret]});
    assert_eq!(
        alice.post("/collections/chunks/points", &body).await.status,
        200
    );

    // Mallory knows every id, overwrites, deletes and asks with every filter there is.
    let theirs = json!({"points": [point(1, &[(9, 1.0)])]});
    assert_eq!(
        mallory
            .post("/collections/chunks/points", &theirs)
            .await
            .status,
        200
    );
    let filter = json!({"document_ids": [document(0)]});
    let body = json!({"filter": filter});
    let removed: Value = mallory
        .post("/collections/chunks/points/delete", &body)
        .await
        .json();
    assert_eq!(removed, json!({"count": 1}));
    let filters = [
        json!({}),
        filter,
        json!({"version": 1}),
        json!({"version_below": 4_294_967_295_u32}),
        json!({"languages": ["en", "ru", "%", "*", "' OR 1=1 --"]}),
        json!({"sources": ["upload", "demo", "telegram"]}),
        json!({"created_after": "0001-01-01T00:00:00Z"}),
        json!({"created_before": "9999-01-01T00:00:00Z"}),
        json!({"metadata": {"parity": "1"}}),
    ];
    for filter in filters {
        let query = json!({
            "queries": [
                {"sparse": {"name": "bm25", "vector": {"indices": [1], "values": [1.0]}}},
                {"dense": [1.0, 0.0, 0.0]}
            ],
            "limit": 1000, "with_payload": true, "complete_scores": true, "filter": filter
        });
        for (path, body) in [
            ("query", query),
            ("scroll", json!({"filter": filter, "with_vectors": true})),
            ("count", json!({"filter": filter})),
        ] {
            let answer = mallory
                .post(&format!("/collections/chunks/{path}"), &body)
                .await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let text = answer.text();
            let foreign = ["canary", "title", &chunk(1).to_string()];
            assert!(
                foreign.iter().all(|word| !text.contains(word)),
                "{path} {filter}: {text}"
            );
            assert!(path != "count" || text == "{\"count\":0}", "{text}");
        }
    }
    let seen: Value = mallory.get("/collections/chunks").await.json();
    assert_eq!(seen["points"], 0);
    let seen: Value = alice.get("/collections").await.json();
    assert_eq!(seen["items"][0]["points"], 1);
    let page: Value = alice
        .post("/collections/chunks/scroll", &json!({"with_vectors": true}))
        .await
        .json();
    assert_eq!(page["points"][0]["payload"]["text"], "canary-of-alice");
    assert_eq!(page["points"][0]["sparse"]["bm25"]["indices"], json!([1]));
}

#[tokio::test]
async fn scores_tell_nothing_of_other_tenants() {
    let app = App::start().await.with_chunks().await;
    let (alice, bob) = (app.user(1, Role::Member), app.user(2, Role::Member));
    let body = json!({"points": [point(1, &[(1, 1.0)]), point(2, &[(2, 1.0)])]});
    alice.post("/collections/chunks/points", &body).await;
    let query = json!({
        "queries": [{"sparse": {"name": "bm25", "vector": {"indices": [1, 2], "values": [1.0, 2.0]}}}],
        "limit": 10
    });
    let before = alice.post("/collections/chunks/query", &query).await.text();
    let crowd: Vec<_> = (10..60).map(|number| point(number, &[(1, 3.0)])).collect();
    bob.post("/collections/chunks/points", &json!({"points": crowd}))
        .await;
    assert_eq!(
        alice.post("/collections/chunks/query", &query).await.text(),
        before
    );
}

#[tokio::test]
async fn collections_are_made_by_administrators_and_removed_by_services_only() {
    let app = App::start().await.with_chunks().await;
    let (member, admin) = (app.user(1, Role::Member), app.user(1, Role::Admin));
    let body = json!({"sparse": ["bm25"]});
    let made = member.json(Method::PUT, "/collections/mine", &body).await;
    assert_eq!(made.problem(), "403 vector.forbidden");
    assert_eq!(
        admin
            .json(Method::PUT, "/collections/mine", &body)
            .await
            .status,
        200
    );
    for user in [&member, &admin] {
        let removed = user.delete("/collections/chunks").await;
        assert_eq!(removed.problem(), "403 vector.forbidden");
    }
    // A service that passes on what a user asked for has the user's rights, not its own.
    let user = app.identity.caller_of(tenant(1), Role::Admin);
    let on_behalf = Caller {
        kind: Caller::service("gateway", tenant(1)).kind,
        ..user
    };
    let client = TestClient::new(app.router.clone(), app.identity.bearer(&on_behalf));
    assert_eq!(
        client.delete("/collections/chunks").await.problem(),
        "403 vector.forbidden"
    );
    assert_eq!(
        app.service().delete("/collections/chunks").await.status,
        204
    );
}
