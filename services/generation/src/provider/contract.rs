//! What every provider must do, run on all of them; and what only a server over HTTP can do wrong.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use touchstone_simulated_model::Slots;
use wiremock::matchers::{body_partial_json, header, method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::config::{Config, OpenAiConfig};
use crate::domain::gate::sample::rivers;
use crate::domain::prompt::{Budget, Prompt, Speaker, Turn};

const QUESTION: &str = "How long is the Nile?";

fn prompt(max_tokens: u32) -> Prompt {
    let budget = Budget {
        context_chars: 9_000,
        history_turns: 0,
        history_chars: 0,
        max_tokens,
    };
    Prompt::grounded(QUESTION, rivers(), &[], None, budget)
}

fn config() -> Config {
    let mut config: Config = touchstone_config::defaults();
    config.simulated.profile = "instant".into();
    config
}

fn slots(total: usize) -> Slots {
    Slots::new(total, 8, Arc::new(()))
}

fn simulated(slots: Slots) -> Simulated {
    let config = config();
    Simulated::new(config.simulated, config.extractive.into(), slots)
}

async fn read(deltas: Deltas) -> (String, Vec<Result<Delta, Error>>) {
    let all: Vec<_> = deltas.collect().await;
    let texts = all.iter().filter_map(|delta| match delta {
        Ok(Delta::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    (texts.collect(), all)
}

// The contract.

async fn streams_text_and_one_end(provider: &dyn Provider) {
    let (text, all) = read(provider.generate(prompt(500)).await.unwrap()).await;
    assert!(text.contains("6,650 km") && text.contains("[1]"), "{text}");
    let (last, before) = all.split_last().unwrap();
    assert!(
        before.len() > 1 && before.iter().all(|d| matches!(d, Ok(Delta::Text(_)))),
        "{all:?}"
    );
    let Ok(Delta::End {
        finish: Finish::Stop,
        usage,
    }) = last
    else {
        panic!("{last:?}")
    };
    assert!(usage.prompt_tokens > 0 && usage.completion_tokens > 0);
    assert!(!provider.kind().is_empty() && !provider.model().is_empty());
}

async fn answers_several_at_once(provider: &dyn Provider) {
    let (one, two) = tokio::join!(
        provider.generate(prompt(500)),
        provider.generate(prompt(500))
    );
    let (one, two) = tokio::join!(read(one.unwrap()), read(two.unwrap()));
    assert_eq!(one.0, two.0);
}

async fn survives_readers_who_leave(provider: &dyn Provider) {
    for _ in 0..10 {
        let mut deltas = provider.generate(prompt(500)).await.unwrap();
        assert!(matches!(deltas.next().await, Some(Ok(Delta::Text(_)))));
    }
    streams_text_and_one_end(provider).await;
}

async fn answers_without_passages(provider: &dyn Provider) {
    let turns = vec![Turn::new(
        Speaker::User,
        "The Nile is 6,650 km long [1] and wide.\nHow long is the Nile?",
    )];
    let (text, _) = read(
        provider
            .generate(Prompt::plain(turns, 100, None))
            .await
            .unwrap(),
    )
    .await;
    assert!(!text.is_empty());
}

/// A server that answers well.
async fn good_server() -> MockServer {
    let server = MockServer::start().await;
    let chunks = [
        r#"{"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"role":"assistant"},"finish_reason":null}],"x_unknown":{"a":[1]}}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"“It is 6,650"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":" km long” [1].","reasoning_content":null}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":11,"completion_tokens":7,"total_tokens":18,"details":{}}}"#,
    ];
    let body: String = chunks
        .iter()
        .flat_map(|chunk| ["data: ", chunk, "\n\n"])
        .collect();
    Mock::given(method("POST"))
        .and(path("/v1/chat/completions"))
        .and(header("authorization", "Bearer sk-test"))
        .and(body_partial_json(
            serde_json::json!({ "stream": true, "model": "m-1" }),
        ))
        .respond_with(ResponseTemplate::new(200).set_body_raw(
            format!(": hi\n\n{body}data: [DONE]\n\n"),
            "text/event-stream",
        ))
        .mount(&server)
        .await;
    server
}

fn openai(base: &str) -> OpenAi {
    let config = OpenAiConfig {
        base_url: format!("{base}/v1/"),
        api_key: "sk-test".into(),
        model: "m-1".into(),
        backoff: Duration::from_millis(1),
        ..config().openai
    };
    OpenAi::new(config).unwrap().unwrap()
}

macro_rules! contract {
    ($($rule:ident),+ $(,)?) => {
        mod extractive { $(
            #[tokio::test]
            async fn $rule() {
                let limits = super::config().extractive.into();
                super::$rule(&super::Extractive::new(limits)).await;
            }
        )+ }
        mod simulated { $(
            #[tokio::test]
            async fn $rule() {
                super::$rule(&super::simulated(super::slots(2))).await;
            }
        )+ }
        mod openai { $(
            #[tokio::test]
            async fn $rule() {
                let server = super::good_server().await;
                super::$rule(&super::openai(&server.uri())).await;
            }
        )+ }
    };
}

contract!(
    streams_text_and_one_end,
    answers_several_at_once,
    survives_readers_who_leave,
    answers_without_passages,
);

// The simulated model's own behaviour.

#[tokio::test(start_paused = true)]
async fn simulated_delays_pass_in_virtual_time_and_repeat() {
    let mut config = config();
    config.simulated.profile = "gpt-4o".into();
    let provider = Simulated::new(config.simulated, config.extractive.into(), slots(4));
    let mut times = Vec::new();
    for _ in 0..2 {
        let started = tokio::time::Instant::now();
        let mut deltas = provider.generate(prompt(500)).await.unwrap();
        deltas.next().await;
        let first = started.elapsed();
        while deltas.next().await.is_some() {}
        times.push((first, started.elapsed()));
    }
    assert_eq!(times[0], times[1]);
    assert!(times[0].0 > Duration::from_millis(80) && times[0].0 < Duration::from_secs(4));
    assert!(times[0].1 > times[0].0 + Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn simulated_answers_wait_their_turn_and_refuse_when_the_queue_is_full() {
    let mut config = config();
    config.simulated.profile = "gpt-4o".into();
    let slots = Slots::new(1, 1, Arc::new(()));
    let provider = Simulated::new(config.simulated, config.extractive.into(), slots.clone());
    let first = provider.generate(prompt(500)).await.unwrap();
    let mut second = provider.generate(prompt(500)).await.unwrap();
    let third = provider.generate(prompt(500)).await;
    assert!(matches!(third.err(), Some(Error::Overloaded { .. })));
    let waited = tokio::time::timeout(Duration::from_mins(10), second.next()).await;
    assert!(
        waited.is_err(),
        "the second answer began before the first ended"
    );
    drop(first);
    assert!(matches!(second.next().await, Some(Ok(Delta::Text(_)))));
    drop(second);
    assert_eq!((slots.free(), slots.waiting()), (1, 0));
}

#[tokio::test]
async fn simulated_failures_end_answers_and_free_their_slots() {
    let slots = slots(2);
    let failing = |limited, error, cut| {
        let mut config = config();
        config.simulated.errors = crate::config::ErrorsConfig {
            rate_limited: limited,
            server_error: error,
            cut,
        };
        Simulated::new(config.simulated, config.extractive.into(), slots.clone())
    };
    let refused = failing(1.0, 0.0, 0.0).generate(prompt(500)).await.err();
    assert!(matches!(
        refused,
        Some(Error::Overloaded {
            retry_after: Some(_)
        })
    ));
    let broken = failing(0.0, 1.0, 0.0).generate(prompt(500)).await.err();
    assert!(matches!(broken, Some(Error::Unavailable(_))));
    let (text, all) = read(failing(0.0, 0.0, 1.0).generate(prompt(500)).await.unwrap()).await;
    assert!(!text.is_empty() && matches!(all.last(), Some(Err(Error::BrokenOff(_)))));
    assert_eq!(slots.free(), 2);
}

#[tokio::test]
async fn limits_of_tokens_are_kept() {
    let provider = simulated(slots(1));
    let (_, all) = read(provider.generate(prompt(3)).await.unwrap()).await;
    assert_eq!(all.len(), 4);
    let Some(Ok(Delta::End { finish, usage })) = all.last() else {
        panic!("{all:?}")
    };
    assert_eq!((*finish, usage.completion_tokens), (Finish::Length, 3));
}

// What a server can do wrong.

/// A server that writes these parts and then closes, or keeps silent after the last one.
async fn raw_server(parts: Vec<&'static str>, silent: bool) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serve = async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = vec![0; 64 * 1024];
            let _ = socket.read(&mut request).await;
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let _ = socket.write_all(head.as_bytes()).await;
            for part in &parts {
                let chunk = format!("{:x}\r\n{part}\r\n", part.len());
                let _ = socket.write_all(chunk.as_bytes()).await;
                let _ = socket.flush().await;
            }
            if silent {
                // Until the client leaves.
                let _ = socket.read(&mut request).await;
            }
        }
    };
    let life = touchstone_lifecycle::Lifecycle::new();
    life.spawn("raw server", serve);
    format!("http://{address}")
}

async fn answer_of(server: &str) -> (String, Vec<Result<Delta, Error>>) {
    read(openai(server).generate(prompt(100)).await.unwrap()).await
}

#[tokio::test]
async fn a_cut_stream_is_an_error_after_its_text() {
    let parts = vec![
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hel",
        "lo\"}}]}\n\n",
    ];
    let (text, all) = answer_of(&raw_server(parts, false).await).await;
    assert_eq!(text, "Hello");
    assert!(
        matches!(all.last(), Some(Err(Error::BrokenOff(_)))),
        "{all:?}"
    );
}

#[tokio::test]
async fn unreadable_events_are_skipped_but_not_forever() {
    let good =
        "data: {\"choices\":[{\"delta\":{\"content\":\"a\"},\"finish_reason\":\"length\"}]}\n\n";
    let bad = "data: {\"choices\":[{\n\ndata: nonsense\n\nretry: 3\n\n";
    let (text, all) = answer_of(&raw_server(vec![bad, good, "data: [DONE]\n\n"], true).await).await;
    assert_eq!(text, "a");
    assert!(
        matches!(
            all.last(),
            Some(Ok(Delta::End {
                finish: Finish::Length,
                ..
            }))
        ),
        "{all:?}"
    );
    let (_, all) = answer_of(&raw_server(vec![bad, bad, bad, bad, bad, good], true).await).await;
    assert!(
        matches!(all.last(), Some(Err(Error::Unreadable(_)))),
        "{all:?}"
    );
}

#[tokio::test]
async fn an_error_event_ends_the_stream() {
    let parts = vec!["data: {\"error\":{\"message\":\"out of memory\"}}\n\n"];
    let (_, all) = answer_of(&raw_server(parts, true).await).await;
    assert_eq!(all, [Err(Error::BrokenOff("out of memory".into()))]);
}

#[tokio::test]
async fn a_silent_server_is_too_slow() {
    let server = raw_server(
        vec!["data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n"],
        true,
    )
    .await;
    let mut limits = config().limits;
    limits.between_tokens = Duration::from_millis(30);
    let deltas = openai(&server).generate(prompt(100)).await.unwrap();
    let (text, all) = read(guard(deltas, Guard::start(limits))).await;
    assert_eq!(text, "a");
    assert_eq!(all.last(), Some(&Err(Error::Slow("further token"))));
}

#[tokio::test]
async fn tries_again_before_the_first_byte_only() {
    for (status, requests) in [(500, 3), (429, 3), (400, 1), (401, 1)] {
        let server = MockServer::start().await;
        Mock::given(method("POST"))
            .respond_with(
                ResponseTemplate::new(status).set_body_string("{\"error\":{\"message\":\"no\"}}"),
            )
            .expect(requests)
            .mount(&server)
            .await;
        let error = openai(&server.uri())
            .generate(prompt(100))
            .await
            .err()
            .unwrap();
        match status {
            500 => assert!(matches!(error, Error::Unavailable(_))),
            429 => assert_eq!(error, Error::Overloaded { retry_after: None }),
            code => assert_eq!(
                error,
                Error::Refused {
                    status: code,
                    reason: "no".into()
                }
            ),
        }
        server.verify().await;
    }
}

#[tokio::test]
async fn a_long_retry_after_is_passed_on() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(429).insert_header("retry-after", "60"))
        .expect(1)
        .mount(&server)
        .await;
    let error = openai(&server.uri()).generate(prompt(100)).await.err();
    assert_eq!(
        error,
        Some(Error::Overloaded {
            retry_after: Some(Duration::from_mins(1))
        })
    );
    server.verify().await;
}

#[tokio::test]
async fn a_server_that_does_not_stream_is_understood() {
    let server = MockServer::start().await;
    let body = serde_json::json!({
        "choices": [{ "message": { "role": "assistant", "content": "whole" }, "finish_reason": "stop" }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 1 },
    });
    Mock::given(method("POST"))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .mount(&server)
        .await;
    let (text, all) = answer_of(&server.uri()).await;
    assert_eq!((text.as_str(), all.len()), ("whole", 2));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = openai(&base).generate(prompt(100)).await.err();
    assert!(matches!(error, Some(Error::Unavailable(_))), "{error:?}");
}
