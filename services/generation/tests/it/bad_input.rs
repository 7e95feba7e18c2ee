use http::Method;
use serde_json::{Value, json};
use touchstone_generation::Config;
use touchstone_testing::TestClient;

use crate::world::{Found, World};

const ID: &str = "01890000-0000-7000-8000-000000000000";
const ASK: &str = "/ask";
const CHAT: &str = "/v1/chat/completions";
const GENERATE: &str = "/generate";
const INVALID: &str = "422 request.invalid";

fn cases() -> Vec<(&'static str, Value, &'static str)> {
    let user = json!([{ "role": "user", "content": "x" }]);
    let long = |chars| "x".repeat(chars);
    vec![
        (ASK, json!({}), INVALID),
        (ASK, json!({ "question": "" }), INVALID),
        (ASK, json!({ "question": long(2_001) }), INVALID),
        (ASK, json!({ "question": 7 }), INVALID),
        (ASK, json!({ "question": "x", "limit": 0 }), INVALID),
        (ASK, json!({ "question": "x", "limit": 21 }), INVALID),
        (ASK, json!({ "question": "x", "tenant_id": ID }), INVALID),
        (
            ASK,
            json!({ "question": "x", "provider": "?" }),
            "404 generation.unknown_provider",
        ),
        (
            ASK,
            json!({ "question": "x", "conversation_id": "x" }),
            INVALID,
        ),
        (
            ASK,
            json!({ "question": "x", "conversation_id": ID }),
            "404 generation.unknown_conversation",
        ),
        (
            ASK,
            json!({ "question": long(70_000) }),
            "413 request.too_large",
        ),
        (GENERATE, json!({ "prompt": "" }), INVALID),
        (GENERATE, json!({ "prompt": "x", "max_tokens": 0 }), INVALID),
        (GENERATE, json!({ "prompt": long(32_001) }), INVALID),
        (CHAT, json!({ "model": "touchstone" }), INVALID),
        (
            CHAT,
            json!({ "model": "touchstone", "messages": [] }),
            INVALID,
        ),
        (
            CHAT,
            json!({ "model": "?", "messages": user }),
            "404 generation.unknown_model",
        ),
        (
            CHAT,
            json!({ "model": "touchstone", "messages": user, "temperature": 3 }),
            INVALID,
        ),
    ]
}

#[tokio::test]
async fn every_bad_request_is_a_problem_with_its_code() {
    let small = |config: &mut Config| config.max_body = bytesize::ByteSize::kib(64);
    let world = World::with(Found::Rivers, small).await;
    for (path, body, expected) in cases() {
        let answer = world.client.post(path, &body).await;
        assert_eq!(answer.problem(), expected, "{path}");
    }
    let raw = |content_type: &'static str, body: Vec<u8>| {
        let client = world.client.clone();
        async move {
            client
                .raw(Method::POST, "/ask", content_type, body)
                .await
                .problem()
        }
    };
    let json_type = "application/json";
    assert_eq!(
        raw(json_type, b"{\"question\":".to_vec()).await,
        "400 request.malformed"
    );
    assert_eq!(
        raw(json_type, vec![0xff, 0xfe, 0x00]).await,
        "400 request.malformed"
    );
    assert_eq!(raw(json_type, Vec::new()).await, "400 request.malformed");
    assert_eq!(
        raw("text/plain", b"{}".to_vec()).await,
        "415 request.unsupported_media_type"
    );
    let deep = raw(json_type, "[".repeat(10_000).into_bytes()).await;
    assert!(
        deep == "400 request.malformed" || deep == "422 request.invalid",
        "{deep}"
    );
    for path in [
        "/conversations?limit=0",
        "/conversations?limit=x",
        "/conversations?cursor=x",
    ] {
        assert_eq!(
            world.client.get(path).await.problem(),
            "422 request.invalid",
            "{path}"
        );
    }
    let path = "/conversations/not-an-id";
    assert_eq!(
        world.client.get(path).await.problem(),
        "404 request.unknown_id"
    );
    for path in ["/conversations", "/providers", "/v1/models"] {
        let anonymous = TestClient::anonymous(world.router.clone());
        assert_eq!(anonymous.get(path).await.status, 401, "{path}");
    }
}

#[tokio::test]
async fn nul_bytes_are_no_harm() {
    let world = World::new().await;
    let body = json!({ "question": "How long\u{0} is the Nile?" });
    assert_eq!(world.client.post("/ask", &body).await.status, 200);
}
