use serde_json::json;
use touchstone_api::generation::AskEvent;

use crate::support::Client;

const HARBOUR: &str = "# The harbour of Brask\n\nThe harbour of Brask was dredged in 1974 to a depth of \
    11 metres. The harbour master is Edda Lund. Ships wait for the tide behind the northern mole, \
    which was built from 6,000 concrete blocks.\n";
const SAD: &str = "# Яблоневый сад\n\nЯблоневый сад посадил агроном Семён Кораблёв в 1961 году. В саду \
    растёт 420 яблонь двенадцати сортов. Урожай собирают в последнюю неделю сентября.\n";

async fn reader(gateway: &str, name: &str) -> Client {
    let user = Client::register(gateway, name).await;
    for (filename, text) in [("harbour.md", HARBOUR), ("sad.md", SAD)] {
        let id = user.upload(filename, text).await;
        user.indexed(&id).await;
    }
    user
}

pub async fn questions_in_two_languages_are_answered_with_exact_quotes(gateway: &str) {
    let user = reader(gateway, "questions").await;
    for (question, expected) in [
        ("Who is the harbour master of Brask?", "Edda Lund"),
        ("When was the harbour of Brask dredged?", "1974"),
        ("Кто посадил яблоневый сад?", "Семён Кораблёв"),
        ("Когда собирают урожай яблок в саду?", "сентября"),
    ] {
        let answer = user.ask(question).await;
        assert!(
            answer["answer"].as_str().unwrap().contains(expected),
            "{question}: {answer}"
        );
        assert_eq!(answer["degraded"], json!([]), "{answer}");
        let citations = answer["citations"].as_array().unwrap();
        assert!(!citations.is_empty(), "{answer}");
        for citation in citations {
            let text = user
                .content(citation["document_id"].as_str().unwrap())
                .await;
            let start = citation["start"].as_u64().unwrap() as usize;
            let end = citation["end"].as_u64().unwrap() as usize;
            assert_eq!(&text[start..end], citation["quote"].as_str().unwrap());
            assert_eq!(citation["verdict"], "exact");
        }
    }
}

pub async fn a_stream_has_its_events_in_order(gateway: &str) {
    let user = reader(gateway, "stream").await;
    let events = user.ask_stream("Who is the harbour master of Brask?").await;
    let order: Vec<u32> = events
        .iter()
        .map(|event| match event {
            AskEvent::Retrieval(_) => 0,
            AskEvent::Token(_) | AskEvent::Citation(_) => 1,
            AskEvent::Verification(_) => 2,
            AskEvent::Usage(_) => 3,
            AskEvent::Done(_) => 4,
            AskEvent::Error(_) => 9,
        })
        .collect();
    assert!(order.is_sorted(), "{events:?}");
    for once in [0, 2, 3, 4] {
        assert_eq!(
            order.iter().filter(|place| **place == once).count(),
            1,
            "{events:?}"
        );
    }
    let Some(AskEvent::Done(done)) = events.last() else {
        panic!("{events:?}")
    };
    let citations = events
        .iter()
        .filter(|event| matches!(event, AskEvent::Citation(_)))
        .count();
    assert!(
        done.answer.contains("Edda Lund") && citations >= 1,
        "{events:?}"
    );
}

pub async fn conversations_remember(gateway: &str) {
    let user = reader(gateway, "conversation").await;
    let first = user.ask("Who is the harbour master of Brask?").await;
    let id = first["conversation_id"].as_str().unwrap();
    let next = json!({"question": "How deep is the harbour of Brask?", "conversation_id": id});
    user.post("/ask", &next).await.ok();
    let messages = user
        .get(&format!("/conversations/{id}/messages"))
        .await
        .ok();
    let sequence: Vec<_> = messages["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["sequence"].as_u64().unwrap())
        .collect();
    assert_eq!(sequence, [1, 2, 3, 4]);
    let stranger = Client::register(gateway, "stranger").await;
    assert_eq!(
        stranger
            .get(&format!("/conversations/{id}"))
            .await
            .status
            .as_u16(),
        404
    );
    user.delete(&format!("/conversations/{id}")).await.ok();
    assert_eq!(
        user.get(&format!("/conversations/{id}"))
            .await
            .status
            .as_u16(),
        404
    );
}

pub async fn search_explains_itself_and_is_prefix_stable(gateway: &str) {
    let user = reader(gateway, "explain").await;
    let search = |limit: usize| json!({"query": "harbour depth tide blocks", "limit": limit, "explain": true});
    let one = user.post("/search", &search(1)).await.ok();
    let many = user.post("/search", &search(20)).await.ok();
    assert_eq!(one["hits"][0]["chunk_id"], many["hits"][0]["chunk_id"]);
    let stages: Vec<_> = many["explain"]["stages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|stage| stage["name"].as_str().unwrap())
        .collect();
    assert!(
        stages.contains(&"bm25") && stages.contains(&"fuse"),
        "{stages:?}"
    );
    assert_eq!(many["dense_model"], serde_json::Value::Null);
    let dense = user
        .post("/search", &json!({"query": "x", "mode": "dense"}))
        .await;
    assert_eq!(dense.problem(), "409 retrieval.dense_off");
}

pub async fn every_service_tells_its_state(gateway: &str) {
    let http = reqwest::Client::builder().build().unwrap();
    let get = async |path: &str| http.get(format!("{gateway}{path}")).send().await.unwrap();
    let health: serde_json::Value = get("/health").await.json().await.unwrap();
    assert_eq!(health["status"], "healthy", "{health}");
    let specification: serde_json::Value = get("/openapi.json").await.json().await.unwrap();
    for path in [
        "/api/v1/ask",
        "/api/v1/documents",
        "/api/v1/search",
        "/api/v1/auth/login",
    ] {
        assert!(specification["paths"][path].is_object(), "{path}");
    }
    // They are on the port for operators.
    assert_eq!(get("/metrics").await.status(), 404);
    assert!(
        get("/docs/")
            .await
            .text()
            .await
            .unwrap()
            .contains("swagger")
    );
}

pub async fn ask_works(gateway: &str) {
    let user = reader(gateway, "before").await;
    assert!(user.ask("Who is the harbour master of Brask?").await["degraded"] == json!([]));
}

pub async fn ask_is_degraded(gateway: &str) {
    let user = reader(gateway, "after").await;
    let answer = user.ask("Who is the harbour master of Brask?").await;
    assert_eq!(answer["degraded"], json!(["generation"]), "{answer}");
    assert!(answer.to_string().contains("Edda Lund"), "{answer}");
    let events = user.ask_stream("Who is the harbour master of Brask?").await;
    assert!(format!("{events:?}").contains("Edda Lund"), "{events:?}");
    assert!(matches!(events.last(), Some(AskEvent::Done(done)) if done.degraded == ["generation"]));
}
