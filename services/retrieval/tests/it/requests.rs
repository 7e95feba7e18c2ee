use http::Method;
use touchstone_api::retrieval::SearchRequest;
use touchstone_testing::TestClient;

use crate::support::{Dense, Neighbours, ask, corpus};

#[tokio::test]
async fn bad_requests_are_told_apart() {
    let bed = Neighbours::new(Dense::Off, &corpus()).start().await;
    for (body, problem) in [
        ("{", "400 request.malformed"),
        ("{}", "422 request.invalid"),
        (r#"{"query":""}"#, "422 request.invalid"),
        (r#"{"query":"a","limit":0}"#, "422 request.invalid"),
        (r#"{"query":"a","limit":101}"#, "422 request.invalid"),
        (r#"{"query":"a","limit":"ten"}"#, "422 request.invalid"),
        (r#"{"query":"a","diversity":1.5}"#, "422 request.invalid"),
        (r#"{"query":"a","context_chars":10}"#, "422 request.invalid"),
        (r#"{"query":"a","mode":"magic"}"#, "422 request.invalid"),
        (r#"{"query":"a","top_k":3}"#, "422 request.invalid"),
    ] {
        let answer = bed
            .client
            .raw(Method::POST, "/search", "application/json", body)
            .await;
        assert_eq!(answer.problem(), problem, "{body}");
    }
    let long = SearchRequest {
        query: "é".repeat(2001),
        ..SearchRequest::default()
    };
    assert_eq!(bed.post(&long).await.problem(), "422 request.invalid");
    let text = bed
        .client
        .raw(Method::POST, "/search", "text/plain", "{}")
        .await;
    assert_eq!(text.problem(), "415 request.unsupported_media_type");
}

#[tokio::test]
async fn strangers_are_refused() {
    let bed = Neighbours::new(Dense::Off, &corpus()).start().await;
    let config = touchstone_config::defaults();
    let deps = touchstone_retrieval::Deps::resolve(bed.identity.common(), &config);
    let life = touchstone_lifecycle::Lifecycle::new();
    let Ok(router) = touchstone_retrieval::build(config, deps, &life).await;
    let answer = TestClient::anonymous(router)
        .post("/search", &ask("Nile"))
        .await;
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn odd_characters_do_no_harm() {
    let bed = Neighbours::new(Dense::Off, &corpus()).start().await;
    for query in [
        "\0",
        "Nile\0river",
        "\u{202e}elin",
        "🦀🦀 Nile",
        "ﬁsh İstanbul ǅ",
    ] {
        assert_eq!(bed.post(&ask(query)).await.status, 200, "{query:?}");
    }
}
