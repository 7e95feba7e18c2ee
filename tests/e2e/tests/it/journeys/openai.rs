use reqwest::Method;
use serde_json::{Value, json};

use crate::support::Client;

pub async fn chat_completions_answer_whole_and_streamed(gateway: &str) {
    let user = Client::register(gateway, "openai").await;
    let id = user
        .upload("mill.txt", "The windmill of Ostra grinds rye on Tuesdays.")
        .await;
    user.indexed(&id).await;
    let request = |stream: bool| {
        json!({"model": "touchstone", "stream": stream,
            "messages": [{"role": "user", "content": "When does the windmill of Ostra grind rye?"}]})
    };
    let answer = user
        .post("/v1/chat/completions", &request(false))
        .await
        .ok();
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(text.contains("Tuesdays"), "{answer}");
    let stream = user
        .request(Method::POST, "/v1/chat/completions")
        .json(&request(true));
    let body = stream.send().await.unwrap().text().await.unwrap();
    let mut text = String::new();
    let data: Vec<&str> = body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    assert_eq!(data.last(), Some(&"[DONE]"), "{body}");
    for chunk in &data[..data.len() - 1] {
        let chunk: Value = serde_json::from_str(chunk).unwrap();
        assert_eq!(chunk["object"], "chat.completion.chunk");
        text.push_str(
            chunk["choices"][0]["delta"]["content"]
                .as_str()
                .unwrap_or_default(),
        );
    }
    assert!(text.contains("Tuesdays"), "{body}");
    let models = user.get("/v1/models").await.ok();
    assert!(models.to_string().contains("touchstone"), "{models}");
}
