use http_body_util::BodyExt;
use serde_json::json;
use touchstone_api::Page;
use touchstone_api::generation::{AskEvent, AskResponse, Citation, Message, Verdict};

use crate::world::{AMAZON, Found, NILE, OFFSET, World};

const QUESTION: &str = "How long is the Nile?";

fn names(events: &[AskEvent]) -> Vec<&'static str> {
    let name = |event: &AskEvent| match event {
        AskEvent::Retrieval(_) => "retrieval",
        AskEvent::Token(_) => "token",
        AskEvent::Citation(_) => "citation",
        AskEvent::Verification(_) => "verification",
        AskEvent::Usage(_) => "usage",
        AskEvent::Done(_) => "done",
        AskEvent::Error(_) => "error",
    };
    let mut names: Vec<_> = events.iter().map(name).collect();
    names.dedup();
    names
}

fn assert_exact(citations: &[Citation]) {
    for citation in citations {
        let text = if citation.marker == 1 { NILE } else { AMAZON };
        assert_eq!(
            text[citation.start - OFFSET..citation.end - OFFSET],
            citation.quote
        );
    }
}

async fn messages(world: &World, conversation: impl std::fmt::Display) -> Vec<Message> {
    let path = format!("/conversations/{conversation}/messages");
    world.client.get(&path).await.json::<Page<Message>>().items
}

#[tokio::test]
async fn answers_with_byte_exact_citations() {
    let world = World::new().await;
    let answer = world
        .client
        .post("/ask", &json!({ "question": QUESTION, "limit": 3 }))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let answer: AskResponse = answer.json();
    assert!(
        answer.answer.starts_with("It is 6,650 km long"),
        "{}",
        answer.answer
    );
    assert_eq!(answer.citations[0].verdict, Verdict::Exact);
    assert_eq!(
        answer.citations[0].url.as_deref(),
        Some("https://example.org")
    );
    assert_exact(&answer.citations);
    assert_eq!(
        (answer.verification.struck, answer.verification.abstained),
        (0, false)
    );
    assert_eq!(answer.provider, "extractive");
    assert!(answer.degraded.is_empty() && answer.usage.total_tokens > 0);
    assert_eq!(answer.retrieval.passages[0].text, NILE);
    let search = world.searches.lock().unwrap()[0].clone();
    assert_eq!((search.limit, search.context_chars), (Some(3), Some(8_000)));
    assert_eq!(
        messages(&world, answer.conversation_id).await[1].citations,
        answer.citations
    );
}

#[tokio::test]
async fn streams_events_in_their_order() {
    for provider in ["extractive", "simulated"] {
        let world = World::new().await;
        let body = json!({ "question": QUESTION, "stream": true, "provider": provider });
        let (headers, events) = world.stream(&body).await;
        assert!(!headers.contains_key("degraded"));
        let names = names(&events);
        assert_eq!(names[..2], ["retrieval", "token"], "{provider}");
        assert_eq!(names[names.len() - 3..], ["verification", "usage", "done"]);
        assert!(names.contains(&"citation") && !names.contains(&"error"));
        let AskEvent::Done(done) = events.last().unwrap() else {
            panic!("{events:?}")
        };
        let streamed: String = events
            .iter()
            .filter_map(|event| match event {
                AskEvent::Token(token) => Some(token.text.as_str()),
                _ => None,
            })
            .collect();
        assert_eq!(streamed, done.answer);
        assert_eq!(
            messages(&world, done.conversation_id).await[1].content,
            done.answer
        );
    }
}

#[tokio::test]
async fn abstains_in_the_language_of_the_question() {
    let world = World::with(Found::Nothing, |_| {}).await;
    for (question, expected) in [
        (
            "How long is the Nile?",
            "The documents do not answer this question.",
        ),
        (
            "Какова длина Нила?",
            "В документах нет ответа на этот вопрос.",
        ),
        ("?!", "The documents do not answer this question."),
    ] {
        let answer: AskResponse = world
            .client
            .post("/ask", &json!({ "question": question }))
            .await
            .json();
        assert_eq!(answer.answer, expected);
        assert!(answer.verification.abstained && answer.citations.is_empty());
        let (_, events) = world
            .stream(&json!({ "question": question, "stream": true }))
            .await;
        let expected = ["retrieval", "token", "verification", "usage", "done"];
        assert_eq!(names(&events), expected);
    }
}

#[tokio::test]
async fn strikes_every_unsound_claim() {
    for release in [
        touchstone_generation::Release::Token,
        touchstone_generation::Release::Claim,
    ] {
        let world = World::with(Found::Rivers, |config| {
            config.active = "simulated".into();
            config.release = release;
            config.simulated.faults.number_flip = 1.0;
        })
        .await;
        let (_, events) = world
            .stream(&json!({ "question": QUESTION, "stream": true }))
            .await;
        let AskEvent::Done(done) = events.last().unwrap() else {
            panic!("{events:?}")
        };
        assert!(!done.answer.contains("km long"), "{}", done.answer);
        let verification = events.iter().find_map(|event| match event {
            AskEvent::Verification(verification) => Some(verification.clone()),
            _ => None,
        });
        assert!(verification.unwrap().struck > 0);
        let leaked = events
            .iter()
            .any(|event| matches!(event, AskEvent::Token(token) if token.text.contains("6,")));
        assert!(release == touchstone_generation::Release::Token || !leaked);
    }
}

#[tokio::test]
async fn falls_back_to_the_passages_when_the_model_is_down() {
    let world = World::with(Found::Rivers, |config| {
        config.active = "simulated".into();
        config.simulated.errors.server_error = 1.0;
    })
    .await;
    let answer = world
        .client
        .post("/ask", &json!({ "question": QUESTION }))
        .await;
    assert_eq!(
        (
            answer.status.as_u16(),
            answer.headers["degraded"].as_bytes()
        ),
        (200, &b"generation"[..])
    );
    let answer: AskResponse = answer.json();
    assert_eq!(answer.degraded, ["generation"]);
    assert_eq!(answer.citations.len(), 2);
    assert_exact(&answer.citations);
    let (headers, events) = world
        .stream(&json!({ "question": QUESTION, "stream": true }))
        .await;
    assert_eq!(headers["degraded"], "generation");
    let AskEvent::Done(done) = events.last().unwrap() else {
        panic!("{events:?}")
    };
    assert_eq!(
        (done.degraded.len(), done.provider.as_str()),
        (1, "passages")
    );
    assert!(
        done.answer.contains("The Nile is a river in Africa. [1]"),
        "{}",
        done.answer
    );
}

#[tokio::test]
async fn a_stream_that_breaks_ends_with_an_error_and_is_kept_as_incomplete() {
    let world = World::with(Found::Rivers, |config| {
        config.active = "simulated".into();
        config.simulated.errors.cut = 1.0;
    })
    .await;
    let (_, events) = world
        .stream(&json!({ "question": QUESTION, "stream": true }))
        .await;
    assert_eq!(names(&events).last(), Some(&"error"), "{events:?}");
    let AskEvent::Error(error) = events.last().unwrap() else {
        panic!("{events:?}")
    };
    assert_eq!(error.code, "generation.provider_broke_off");
    let list: Page<touchstone_api::generation::Conversation> =
        world.client.get("/conversations").await.json();
    let kept = messages(&world, list.items[0].id).await;
    assert_eq!(
        (kept.len(), kept[0].complete, kept[1].complete),
        (2, true, false)
    );
    // As a whole there is nothing to take back: the passages answer.
    let answer: AskResponse = world
        .client
        .post("/ask", &json!({ "question": QUESTION }))
        .await
        .json();
    assert_eq!(answer.degraded, ["generation"]);
}

#[tokio::test]
async fn a_client_who_leaves_cancels_the_model_and_frees_its_slot() {
    let world = World::with(Found::Rivers, |config| {
        config.active = "simulated".into();
        config.simulated.profile = "o-series".into();
        config.simulated.slots = 1;
        config.simulated.queue = 0;
    })
    .await;
    for _ in 0..3 {
        let body = json!({ "question": QUESTION, "stream": true });
        let mut response = world.open("/ask", &body).await;
        assert!(
            !response.headers().contains_key("degraded"),
            "the slot leaked"
        );
        response.body_mut().frame().await.unwrap().unwrap();
        assert!(
            (world
                .metric("touchstone_generation_simulated_slots_busy")
                .await
                - 1.0)
                .abs()
                < 0.1
        );
        drop(response);
        assert!(
            world
                .metric("touchstone_generation_simulated_slots_busy")
                .await
                < 0.1
        );
        assert!(world.metric("touchstone_generation_streams").await < 0.1);
    }
    // What was begun is kept as incomplete, by tasks that a shutdown waits for.
    assert!(
        world
            .life
            .shutdown(std::time::Duration::from_secs(30))
            .await
            .is_clean()
    );
    let list: Page<touchstone_api::generation::Conversation> =
        world.client.get("/conversations").await.json();
    assert_eq!(list.items.len(), 3);
    let kept = messages(&world, list.items[0].id).await;
    assert_eq!((kept.len(), kept[1].complete), (2, false));
}

#[tokio::test]
async fn tells_that_the_search_is_down() {
    let world = World::with(Found::Broken, |_| {}).await;
    let answer = world
        .client
        .post("/ask", &json!({ "question": QUESTION }))
        .await;
    assert_eq!(answer.problem(), "503 generation.retrieval_failed");
    assert_eq!(answer.headers["x-failed-below"], "retrieval");
}

#[tokio::test]
async fn generates_and_lists_providers() {
    let world = World::new().await;
    let body = json!({ "prompt": "The Nile is 6,650 km long.\nHow long is the Nile?" });
    let answer = world.client.post("/generate", &body).await;
    assert!(answer.text().contains("6,650 km"), "{}", answer.text());
    let list = world.client.get("/providers").await.text();
    assert!(
        list.contains("\"extractive\"") && list.contains("\"simulated\""),
        "{list}"
    );
    let health = world.client.get("/health").await.text();
    assert!(health.contains("\"provider\":\"extractive\""), "{health}");
}
