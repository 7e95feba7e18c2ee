use http_body_util::BodyExt;
use serde_json::{Value, json};
use touchstone_api::openai::{ChatResponse, ModelsResponse};

use crate::world::{Found, World};

fn body(model: &str, stream: bool) -> Value {
    json!({
        "model": model,
        "messages": [
            { "role": "system", "content": "Be brief." },
            { "role": "user", "content": [{ "type": "text", "text": "How long is the Nile?" }] },
        ],
        "stream": stream,
        "stream_options": { "include_usage": true },
        "an_option_of_tomorrow": true,
    })
}

async fn chunks(world: &World, body: &Value) -> Vec<String> {
    let response = world.open("/v1/chat/completions", body).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    text.split("\n\n")
        .filter_map(|event| Some(event.strip_prefix("data: ")?.to_owned()))
        .collect()
}

#[tokio::test]
async fn answers_in_the_dialect_through_retrieval_and_without() {
    let world = World::new().await;
    let answer = world
        .client
        .post("/v1/chat/completions", &body("touchstone", false))
        .await;
    let answer: ChatResponse = answer.json();
    assert_eq!(
        (answer.object.as_str(), answer.choices.len()),
        ("chat.completion", 1)
    );
    let message = answer.choices[0].message.clone().unwrap();
    assert!(message.content.unwrap().starts_with("It is 6,650 km long"));
    assert_eq!(answer.citations.unwrap()[0].marker, 1);
    assert!(answer.usage.unwrap().total_tokens > 0);
    let plain = world
        .client
        .post("/v1/chat/completions", &body("simulated", false))
        .await;
    let plain: ChatResponse = plain.json();
    assert_eq!(
        (plain.citations, plain.choices[0].finish_reason.as_deref()),
        (None, Some("stop"))
    );
}

#[tokio::test]
async fn streams_chunks_in_the_dialect() {
    let world = World::new().await;
    for model in ["touchstone", "simulated", "extractive"] {
        let chunks = chunks(&world, &body(model, true)).await;
        let (done, chunks) = chunks.split_last().unwrap();
        assert_eq!(done, "[DONE]");
        let chunks: Vec<ChatResponse> = chunks
            .iter()
            .map(|chunk| serde_json::from_str(chunk).unwrap())
            .collect();
        let (usage, chunks) = chunks.split_last().unwrap();
        assert!(usage.choices.is_empty() && usage.usage.unwrap().completion_tokens > 0);
        let (last, chunks) = chunks.split_last().unwrap();
        assert_eq!(last.choices[0].finish_reason.as_deref(), Some("stop"));
        assert_eq!(last.citations.is_some(), model == "touchstone");
        let delta = |chunk: &ChatResponse| chunk.choices[0].delta.clone().unwrap();
        assert_eq!(delta(&chunks[0]).role.as_deref(), Some("assistant"));
        let text: String = chunks
            .iter()
            .filter_map(|chunk| delta(chunk).content)
            .collect();
        assert!(!text.is_empty());
        assert!(chunks.iter().all(|chunk| chunk.id == chunks[0].id));
    }
}

#[tokio::test]
async fn a_stream_never_shows_an_unsound_claim() {
    let world = World::with(Found::Rivers, |config| {
        config.active = "simulated".into();
        config.simulated.faults.fabricated_id = 1.0;
    })
    .await;
    let chunks = chunks(&world, &body("touchstone", true)).await.concat();
    assert!(
        !chunks.contains("6,650") && chunks.contains("do not answer"),
        "{chunks}"
    );
}

#[tokio::test]
async fn a_broken_stream_tells_and_does_not_pretend_to_be_done() {
    let world = World::with(Found::Rivers, |config| config.simulated.errors.cut = 1.0).await;
    let chunks = chunks(&world, &body("simulated", true)).await;
    assert!(
        chunks
            .last()
            .unwrap()
            .contains("generation.provider_broke_off"),
        "{chunks:?}"
    );
    assert!(!chunks.contains(&"[DONE]".to_owned()));
}

#[tokio::test]
async fn lists_models() {
    let world = World::new().await;
    let models: ModelsResponse = world.client.get("/v1/models").await.json();
    let names: Vec<_> = models.data.iter().map(|model| model.id.as_str()).collect();
    assert_eq!(names, ["touchstone", "extractive", "simulated"]);
}
