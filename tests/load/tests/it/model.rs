//! The simulated model over its API.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use touchstone_load::client::{Answer, Client, Connector, Read, Settings, Target};
use touchstone_load::llm::{Faults, Model, PROFILES, Profile, Simulator};
use touchstone_load::users::{Api, ApiError};

fn model(slots: usize, queue: usize, faults: Faults) -> Model {
    let profile = Profile {
        first_token_ms: 30.0,
        gap_ms: 2.0,
        stall_rate: 0.0,
        ..PROFILES[0]
    };
    Model {
        profile,
        slots,
        queue,
        load_factor: 0.0,
        tokens: 10.0,
        tokens_sigma: 0.2,
        faults,
        seed: 5,
    }
}

/// A client of a model that is served while `with` runs.
async fn asked<T>(model: Model, with: impl AsyncFnOnce(&Client) -> T) -> T {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))
        .await
        .unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let over = CancellationToken::new();
    let served = axum::serve(listener, Simulator::new(model).router())
        .with_graceful_shutdown(over.clone().cancelled_owned());
    let target = Target::resolve(&url).await.unwrap();
    let connector = Connector::new(&target, false, None).unwrap();
    let client = Client::new(target, connector, Settings::default());
    let asked = async {
        let result = with(&client).await;
        over.cancel();
        result
    };
    let both = async { tokio::join!(asked, std::future::IntoFuture::into_future(served)) };
    let (result, served) = Box::pin(both).await;
    drop(client);
    served.unwrap();
    result
}

fn body(number: usize, stream: bool) -> Value {
    let question = format!("Question {number}: how high is the tide?");
    serde_json::json!({"stream": stream, "messages": [{"role": "user", "content": question}]})
}

async fn chat(client: &Client, number: usize) -> Result<Answer, touchstone_load::client::Failure> {
    let call = http::Request::post("/v1/chat/completions")
        .header("host", "model")
        .body(http_body_util::Full::new(
            body(number, true).to_string().into(),
        ))
        .unwrap();
    client
        .exchange(&mut client.lane(), call, Read::Events)
        .await
        .result
}

async fn gauge(client: &Client, name: &str) -> u64 {
    let request = http::Request::get("/metrics")
        .header("host", "model")
        .body(http_body_util::Full::default())
        .unwrap();
    let answer = client
        .exchange(&mut client.lane(), request, Read::Keep)
        .await
        .result
        .unwrap();
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("vllm:{name}{{")))
        .unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn past_slots_and_queue_it_refuses_and_no_slot_leaks() {
    asked(model(2, 3, Faults::default()), async |client| {
        let answers = join_all((0..20).map(|number| chat(client, number))).await;
        let count = |status| {
            answers
                .iter()
                .filter(|answer| answer.as_ref().unwrap().status == status)
                .count()
        };
        assert!(count(StatusCode::OK) >= 5, "two are written, three wait");
        assert_eq!(
            count(StatusCode::OK) + count(StatusCode::TOO_MANY_REQUESTS),
            20
        );
        for answer in answers
            .iter()
            .flatten()
            .filter(|answer| answer.status == StatusCode::OK)
        {
            assert_eq!(answer.events.last().unwrap().data, "[DONE]");
        }
        // A client that leaves in the middle gives its slot back, too.
        let _ = tokio::time::timeout(Duration::from_millis(10), chat(client, 99)).await;
        for _ in 0..1000 {
            if gauge(client, "num_requests_running").await == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(gauge(client, "num_requests_running").await, 0);
        assert_eq!(gauge(client, "num_requests_waiting").await, 0);
    })
    .await;
}

#[tokio::test]
async fn what_is_configured_to_go_wrong_does() {
    let all = |faults| async move {
        asked(model(50, 100, faults), async |client| {
            join_all((0..8).map(|number| chat(client, number))).await
        })
        .await
    };
    let cut = all(Faults {
        cut: 1.0,
        ..Faults::default()
    })
    .await;
    assert!(cut.iter().all(Result::is_err));
    let malformed = all(Faults {
        malformed: 1.0,
        ..Faults::default()
    })
    .await;
    for answer in malformed.into_iter().map(Result::unwrap) {
        let broken = answer.events.iter().filter(|event| {
            event.data != "[DONE]" && serde_json::from_str::<Value>(&event.data).is_err()
        });
        assert_eq!(broken.count(), 1);
    }
    let fabricated = all(Faults {
        fabricated: 1.0,
        ..Faults::default()
    })
    .await;
    let cites = |answer: &Answer| {
        answer
            .events
            .iter()
            .any(|event| event.data.contains("[97]"))
    };
    assert!(fabricated.iter().flatten().all(cites));
    let failed = all(Faults {
        server_error: 1.0,
        ..Faults::default()
    })
    .await;
    assert!(
        failed
            .iter()
            .flatten()
            .all(|answer| answer.status == StatusCode::INTERNAL_SERVER_ERROR)
    );
}

#[tokio::test]
async fn the_same_question_has_the_same_answer_and_mistakes_are_told() {
    asked(model(4, 10, Faults::default()), async |client| {
        let api = Api(client);
        let ask = async |body: Value| -> Result<Value, ApiError> {
            api.call(
                http::Method::POST,
                "/v1/chat/completions",
                None,
                Some(&body),
            )
            .await
        };
        let first = ask(body(1, false)).await.unwrap();
        assert_eq!(
            first["choices"],
            ask(body(1, false)).await.unwrap()["choices"]
        );
        assert_ne!(
            first["choices"],
            ask(body(2, false)).await.unwrap()["choices"]
        );
        assert!(first["usage"]["completion_tokens"].as_u64().unwrap() > 1);
        let refused = ask(serde_json::json!({"messages": []})).await.unwrap_err();
        assert_eq!(refused.status(), Some(StatusCode::BAD_REQUEST));
    })
    .await;
}
