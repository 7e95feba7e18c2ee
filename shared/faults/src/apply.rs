//! What a fault does to a request and its answer, on either side.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use http_body::Body as _;
use touchstone_api::Problem;
use touchstone_error::ErrorKind;

use crate::Kind;
use crate::body::Struck;
use crate::fault::Target;
use crate::header::STRUCK;
use crate::site::Hit;

const DELAY: Duration = Duration::from_secs(1);
const BURN: Duration = Duration::from_millis(50);
/// Others get their turn this often.
const SLICE: Duration = Duration::from_millis(1);
const DRIP_EVERY: Duration = Duration::from_millis(100);
const DRIP_BYTES: u64 = 64;
const HOLD_BYTES: u64 = 16 * 1024 * 1024;
/// Bytes of a stream that pass before it breaks off.
const CUT_AFTER: u64 = 256;
const PAGE: &str = "<!doctype html><title>Gateway</title><h1>Please sign in to the network</h1>\n";

/// What becomes of a request before anybody looks at it.
pub(crate) enum Before {
    /// It goes on; what still has to happen to its answer.
    Go(After),
    /// It is answered without being looked at.
    Answer(Response),
    /// Its connection is reset.
    Reset,
    /// There is no connection.
    Refuse,
}

/// What happens to an answer.
#[derive(Default)]
pub(crate) struct After {
    hits: Vec<Hit>,
    memory: Vec<Vec<u8>>,
}

/// An answer, or none.
pub(crate) enum Done {
    Answer(Response),
    Reset,
}

pub(crate) async fn before(hits: Vec<Hit>, target: &Target) -> Before {
    let mut after = After::default();
    for hit in &hits {
        match hit.kind() {
            Kind::Delay => {
                let more = hit.spec.jitter_ms.map_or(0, |most| hit.word % (most + 1));
                hit.wait(hit.spec.time(DELAY) + Duration::from_millis(more))
                    .await;
            }
            Kind::Hang => hit.over().await,
            Kind::Cpu => burn(hit.spec.time(BURN)).await,
            Kind::Memory => after
                .memory
                .push(hold(hit.spec.bytes.unwrap_or(HOLD_BYTES))),
            Kind::Error | Kind::RateLimit | Kind::TokenStorm => {
                let mut answer = problem(hit, target);
                stamp(&mut answer, &hits);
                return Before::Answer(answer);
            }
            Kind::Reset => return Before::Reset,
            Kind::Refuse => return Before::Refuse,
            _ => {}
        }
    }
    after.hits = hits;
    Before::Go(after)
}

impl After {
    pub fn apply(self, mut response: Response) -> Done {
        if self.hits.is_empty() {
            return Done::Answer(response);
        }
        // What has become another protocol is none of ours.
        let is_upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        for hit in self.hits.iter().filter(|_| !is_upgraded) {
            let size = response.body().size_hint().exact();
            match hit.kind() {
                Kind::LoseAnswer => return Done::Reset,
                // There is nothing to cut or to turn.
                Kind::Cut | Kind::Corrupt if size == Some(0) => return Done::Reset,
                Kind::Cut => {
                    let wanted = hit.spec.bytes;
                    let after = match size {
                        // Whoever has all of a body does not notice that its end is missing.
                        Some(size) => wanted.unwrap_or(size / 2).min(size - 1),
                        None => wanted.unwrap_or(CUT_AFTER),
                    };
                    response = response.map(|body| Struck::cut(body, after));
                }
                Kind::Drip => {
                    let piece = hit.spec.bytes.unwrap_or(DRIP_BYTES);
                    let piece = usize::try_from(piece).unwrap_or(usize::MAX);
                    let (every, hit) = (hit.spec.time(DRIP_EVERY), hit.clone());
                    response = response.map(|body| Struck::drip(body, piece, every, hit));
                }
                Kind::Corrupt => {
                    response = response.map(|body| Struck::corrupt(body, hit.word));
                }
                Kind::WrongType => {
                    let headers = response.headers_mut();
                    headers.remove(CONTENT_LENGTH);
                    headers.remove(http::header::CONTENT_ENCODING);
                    let html = HeaderValue::from_static("text/html; charset=utf-8");
                    headers.insert(CONTENT_TYPE, html);
                    response = response.map(|_| Body::from(PAGE));
                }
                _ => {}
            }
        }
        if !self.memory.is_empty() {
            response = response.map(|body| Struck::hold(body, self.memory));
        }
        stamp(&mut response, &self.hits);
        Done::Answer(response)
    }
}

/// Tells the client which faults struck its request.
pub(crate) fn stamp(response: &mut Response, hits: &[Hit]) {
    for hit in hits {
        let kind = HeaderValue::from_static(hit.kind().name());
        response.headers_mut().append(STRUCK, kind);
    }
}

fn problem(hit: &Hit, target: &Target) -> Response {
    let (status, code) = match hit.kind() {
        Kind::RateLimit => (429, "fault.rate_limit"),
        Kind::TokenStorm => (401, "fault.token_storm"),
        _ => (hit.spec.status.unwrap_or(500), "fault.error"),
    };
    let detail = "a fault that was asked for";
    let mut response = refuse(status, code, detail, target);
    let headers = response.headers_mut();
    let after = match hit.kind() {
        Kind::RateLimit => hit.spec.retry_after.or(Some(1)),
        _ => hit.spec.retry_after,
    };
    if let Some(after) = after {
        headers.insert(RETRY_AFTER, after.into());
    }
    if hit.kind() == Kind::TokenStorm {
        let asks = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        headers.insert(WWW_AUTHENTICATE, asks);
    }
    response
}

/// A problem document.
pub(crate) fn refuse(status: u16, code: &str, detail: &str, target: &Target) -> Response {
    let problem = Problem {
        type_: "about:blank".into(),
        title: ErrorKind::from_status(status).title().into(),
        status,
        detail: detail.into(),
        instance: Some(target.path.clone()),
        code: code.into(),
        request_id: target.id.clone(),
    };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    let json = HeaderValue::from_static("application/problem+json");
    headers.insert(CONTENT_TYPE, json);
    if let Ok(id) = HeaderValue::from_str(&target.id) {
        headers.insert(touchstone_api::headers::REQUEST_ID, id);
    }
    response
}

/// Uses a processor, with pauses in which others get their turn.
async fn burn(time: Duration) {
    let mut left = time;
    while !left.is_zero() {
        let (slice, begun) = (SLICE.min(left), Instant::now());
        while begun.elapsed() < slice {
            std::hint::spin_loop();
        }
        left = left.saturating_sub(slice);
        tokio::task::yield_now().await;
    }
}

/// Memory that is really there: every page has been written to.
fn hold(bytes: u64) -> Vec<u8> {
    let bytes = usize::try_from(bytes).unwrap_or_default();
    vec![0xa5; bytes]
}
