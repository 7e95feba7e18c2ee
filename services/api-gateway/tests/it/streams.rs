use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tower::ServiceExt;

use crate::support::{Mode, PATIENCE, Stack, over_both_transports};

over_both_transports!(
    frames_pass_one_by_one_and_unchanged,
    a_client_that_leaves_frees_the_service_before_the_first_byte,
    a_client_that_leaves_frees_the_service_in_the_middle,
    a_service_that_breaks_off_ends_the_stream_with_an_error,
    a_request_body_is_streamed,
);

type Frames = mpsc::Sender<Result<&'static str, std::io::Error>>;

/// A service whose stream is what the test sends.
fn streaming() -> (Router, Frames) {
    let (frames, source) = mpsc::channel(1);
    let source = Arc::new(Mutex::new(Some(source)));
    let router = Router::new().fallback(move || async move {
        let source = source.lock().await.take().expect("asked twice");
        (
            [("content-type", "text/event-stream")],
            Body::from_stream(ReceiverStream::new(source)),
        )
            .into_response()
    });
    (router, frames)
}

async fn in_time<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what)
        .await
        .expect("it did not happen")
}

fn chat(stack: &Stack) -> Request {
    Request::post("/v1/chat/completions")
        .header("authorization", format!("Bearer {}", stack.token))
        .body(Body::empty())
        .unwrap()
}

async fn frames_pass_one_by_one_and_unchanged(mode: Mode) {
    let (router, frames) = streaming();
    let stack = Stack::start(mode, [("generation", router)]).await;
    let response = stack.router.clone().oneshot(chat(&stack));
    let response = in_time(response).await.unwrap();
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    assert_eq!(
        response.headers()["cache-control"],
        "no-cache, no-transform"
    );
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body().into_data_stream();
    // Each frame is read before the next one is written.
    for frame in [
        "event: token\ndata: {\"text\":\"при",
        "вет\"}\n\n",
        ": comment\r\n\r\n",
        "data: [DONE]\n\n",
    ] {
        frames.send(Ok(frame)).await.unwrap();
        let got: Bytes = in_time(body.next()).await.unwrap().unwrap();
        assert_eq!(got, frame);
    }
    let metrics = stack.operator().get("/metrics").await.text();
    assert!(
        metrics.contains("touchstone_gateway_open_streams 1"),
        "{metrics}"
    );
    drop(frames);
    assert!(in_time(body.next()).await.is_none());
    drop(body);
    stack.stop().await;
}

/// Connects to the gateway and asks, without reading.
async fn ask_over_tcp(stack: &Stack) -> TcpStream {
    let mut client = TcpStream::connect(stack.listen().await).await.unwrap();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Length: 0\r\n\r\n",
        stack.token
    );
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

async fn a_client_that_leaves_frees_the_service_before_the_first_byte(mode: Mode) {
    let (guards, mut entered) = mpsc::channel::<()>(1);
    let (dropped, mut gone) = mpsc::unbounded_channel::<()>();
    let hanging = Router::new().fallback(move || {
        let (guards, dropped) = (guards.clone(), dropped.clone());
        async move {
            let _guard = Guard(dropped);
            guards.send(()).await.unwrap();
            std::future::pending::<()>().await;
        }
    });
    let stack = Stack::start(mode, [("generation", hanging)]).await;
    let client = ask_over_tcp(&stack).await;
    in_time(entered.recv()).await.unwrap();
    assert!(gone.try_recv().is_err());
    drop(client);
    in_time(gone.recv()).await.unwrap();
    stack.stop().await;
}

struct Guard(mpsc::UnboundedSender<()>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

async fn a_client_that_leaves_frees_the_service_in_the_middle(mode: Mode) {
    let (router, frames) = streaming();
    let stack = Stack::start(mode, [("generation", router)]).await;
    let mut client = ask_over_tcp(&stack).await;
    frames.send(Ok("data: 1\n\n")).await.unwrap();
    let mut read = Vec::new();
    while !String::from_utf8_lossy(&read).contains("data: 1") {
        let mut part = [0; 1024];
        let size = in_time(client.read(&mut part)).await.unwrap();
        assert!(size > 0, "the stream ended early");
        read.extend_from_slice(&part[..size]);
    }
    drop(client);
    in_time(frames.closed()).await;
    stack.stop().await;
}

async fn a_service_that_breaks_off_ends_the_stream_with_an_error(mode: Mode) {
    let (router, frames) = streaming();
    let stack = Stack::start(mode, [("generation", router)]).await;
    let response = in_time(stack.router.clone().oneshot(chat(&stack)))
        .await
        .unwrap();
    let mut body = response.into_body().into_data_stream();
    frames.send(Ok("data: 1\n\n")).await.unwrap();
    assert_eq!(in_time(body.next()).await.unwrap().unwrap(), "data: 1\n\n");
    frames
        .send(Err(std::io::Error::other("cut")))
        .await
        .unwrap();
    let last = in_time(body.next()).await.unwrap().unwrap();
    let last = String::from_utf8_lossy(&last).into_owned();
    // What the `openai` clients understand on their paths.
    assert!(
        last.starts_with("data: {\"error\":") && last.contains("service_broke_off"),
        "{last}"
    );
    assert!(in_time(body.next()).await.is_none());
    stack.stop().await;
}

async fn a_request_body_is_streamed(mode: Mode) {
    let (seen, mut see) = mpsc::unbounded_channel::<Bytes>();
    let reading = Router::new().fallback(move |request: Request| async move {
        let mut body = request.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            seen.send(frame.into_data().unwrap()).unwrap();
        }
    });
    let stack = Stack::start(mode, [("document", reading)]).await;
    let (parts, source) = mpsc::channel::<Result<&'static str, std::io::Error>>(1);
    let request = Request::post("/documents")
        .header("authorization", format!("Bearer {}", stack.token))
        .body(Body::from_stream(ReceiverStream::new(source)))
        .unwrap();
    let answer = stack.router.clone().oneshot(request);
    let (answer, ()) = tokio::join!(answer, async {
        for part in ["first", "second"] {
            parts.send(Ok(part)).await.unwrap();
            assert_eq!(in_time(see.recv()).await.unwrap(), part);
        }
        drop(parts);
    });
    assert!(answer.unwrap().status().is_success());
    stack.stop().await;
}
