//! What the commands do when the stack has no room for them now.

use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

const FOUND: &str =
    r#"{"hits": [], "signals": [], "dense_model": null, "confidence": 1.0, "degraded": []}"#;

/// A gateway that answers so, one after the other, and its search.
async fn search(answers: &'static [(u16, Option<&'static str>)]) -> (Output, usize) {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let gateway = Router::new().fallback(move || {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move { answer(answers[number.min(answers.len() - 1)]) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let command = tokio::task::spawn_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_touchstone"))
            .args(["search", "anything", "--api-key", "tsk_x", "--url", &url])
            .env_clear()
            .output()
            .unwrap()
    });
    let output = tokio::select! {
        output = command => output.unwrap(),
        served = axum::serve(listener, gateway) => unreachable!("{served:?}"),
    };
    (output, calls.load(Ordering::SeqCst))
}

fn answer((status, retry_after): (u16, Option<&str>)) -> Response {
    let status = StatusCode::from_u16(status).unwrap();
    let body = if status.is_success() {
        FOUND.to_owned()
    } else {
        let status = status.as_u16();
        format!(
            r#"{{"type": "about:blank", "title": "t", "status": {status}, "detail": "no room",
                "code": "gateway.overloaded", "request_id": "r"}}"#
        )
    };
    let headers = retry_after.map(|seconds| [("retry-after", seconds)]);
    (status, headers, body).into_response()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_command_comes_back_when_it_is_asked_to_and_says_so() {
    let (output, calls) = search(&[(429, Some("1")), (503, Some("1")), (200, None)]).await;
    let told = errors(&output);
    assert!(output.status.success(), "{told}");
    assert_eq!(calls, 3);
    assert!(
        told.contains("a quota is used up; going on in 1 s\n"),
        "{told}"
    );
    assert!(
        told.contains("a service is busy or away; going on in 1 s\n"),
        "{told}"
    );
}

#[tokio::test]
async fn a_wait_that_is_too_long_or_not_named_is_a_failure_at_once() {
    for refusal in [
        &[(503, Some("61"))],
        &[(503, None)],
        &[(429, Some("86400"))],
        &[(502, Some("1"))],
    ] as [&'static [_]; 4]
    {
        let (output, calls) = search(refusal).await;
        let told = errors(&output);
        assert_eq!((output.status.code(), calls), (Some(1), 1), "{told}");
        assert!(
            told.contains("no room") && !told.contains("going on"),
            "{told}"
        );
    }
}
