//! What a service may do to its caller: fail, be slow, stream, be cacheable.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::events::Events;
use super::{Seen, plain};

/// Requests that the slow service works on at the same time; the others wait in line.
pub const SLOTS: usize = 16;
/// How long it works on one: its capacity is `SLOTS / SLOT_TIME`.
pub const SLOT_TIME: Duration = Duration::from_millis(40);

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

#[derive(Clone)]
struct Service {
    seen: Arc<Seen>,
    slots: Arc<Semaphore>,
}

pub async fn serve(listener: TcpListener, seen: Arc<Seen>) -> anyhow::Result<()> {
    let service = Service {
        seen,
        slots: Arc::new(Semaphore::new(SLOTS)),
    };
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        connections.spawn(connection(stream, service.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, service: Service) {
    let _ = stream.set_nodelay(true);
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(service.answer(request).await) }
    });
    // A client that leaves is no failure of ours.
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), answer)
        .await;
}

impl Service {
    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let query = request.uri().query().unwrap_or_default().to_owned();
        // A connection is kept only when the request was read.
        let _ = request.into_body().collect().await;
        let text = |name: &str| {
            query
                .split('&')
                .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
        };
        let number = |name: &str| text(name).and_then(|text| text.parse::<u64>().ok());
        match text("do") {
            Some("fail") => {
                self.seen.failed.fetch_add(1, Ordering::Relaxed);
                full(StatusCode::INTERNAL_SERVER_ERROR, b"{}".to_vec())
            }
            Some("slow") => {
                let Ok(_slot) = self.slots.acquire().await else {
                    return full(StatusCode::INTERNAL_SERVER_ERROR, Vec::new());
                };
                tokio::time::sleep(SLOT_TIME).await;
                self.seen.slow.fetch_add(1, Ordering::Relaxed);
                full(StatusCode::OK, plain::body())
            }
            Some("cacheable") => {
                self.seen.cacheable.fetch_add(1, Ordering::Relaxed);
                let wait = number("wait_ms").unwrap_or_default();
                tokio::time::sleep(Duration::from_millis(wait)).await;
                let mut answer = full(StatusCode::OK, plain::body());
                let kept = HeaderValue::from_static("private, max-age=60");
                answer.headers_mut().insert(CACHE_CONTROL, kept);
                answer
            }
            Some("events") => {
                let gap = Duration::from_secs(1) / number("rate").unwrap_or(20).max(1) as u32;
                let hold = Duration::from_millis(number("hold_ms").unwrap_or_default());
                let (id, count) = (number("id").unwrap_or(0), number("count").unwrap_or(1));
                let body = Events::new(id, count, hold, gap, Arc::clone(&self.seen));
                let mut answer = Response::new(body.boxed_unsync());
                let events = HeaderValue::from_static("text/event-stream");
                answer.headers_mut().insert(CONTENT_TYPE, events);
                answer
            }
            _ => full(StatusCode::OK, plain::body()),
        }
    }
}

fn full(status: StatusCode, body: Vec<u8>) -> Answer {
    let mut answer = Response::new(Full::from(body).boxed_unsync());
    *answer.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, json);
    answer
}
