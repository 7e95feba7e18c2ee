//! Compression on the way out: for texts of some size, never for streams of events.

use axum::Router;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG};
use http::{HeaderValue, StatusCode};
use http_body::Body;
use tower::ServiceBuilder;
use tower_http::CompressionLevel;
use tower_http::compression::{CompressionLayer, Predicate};

use crate::headers::is_event_stream;

/// Below it the effort is not worth while.
const LEAST_BYTES: u64 = 1024;

/// Marks responses that are not compressed: what holds a secret next to what the client sent would
/// tell about the secret by its length.
#[derive(Clone, Copy, Debug)]
struct Never;

/// The response is not to be compressed.
pub(crate) fn never(response: &mut Response) {
    response.extensions_mut().insert(Never);
}

/// What is worth compressing.
#[derive(Clone, Copy, Debug)]
struct WorthWhile;

impl Predicate for WorthWhile {
    fn should_compress<B: Body>(&self, response: &http::Response<B>) -> bool {
        let headers = response.headers();
        let announced = headers
            .get(CONTENT_LENGTH)
            .and_then(|size| size.to_str().ok()?.parse::<u64>().ok());
        let size = announced.or(response.body().size_hint().exact());
        let fixed = headers.get_all(CACHE_CONTROL).iter().any(|value| {
            value
                .to_str()
                .is_ok_and(|value| value.contains("no-transform"))
        });
        response.status() != StatusCode::SWITCHING_PROTOCOLS
            && response.status() != StatusCode::PARTIAL_CONTENT
            && response.extensions().get::<Never>().is_none()
            && size.is_none_or(|size| size >= LEAST_BYTES)
            && !fixed
            && !is_event_stream(headers)
            && headers
                .get(CONTENT_TYPE)
                .and_then(|value| value.to_str().ok())
                .is_some_and(is_text)
    }
}

fn is_text(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    let essence = essence.to_ascii_lowercase();
    essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(
            essence.as_str(),
            "application/json"
                | "application/javascript"
                | "application/xml"
                | "application/x-ndjson"
        )
}

/// Compresses what `routes` answers, for clients that accept it.
pub(crate) fn around(routes: Router) -> Router {
    let compress = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(WorthWhile);
    routes.layer(ServiceBuilder::new().map_response(weaken).layer(compress))
}

/// A compressed answer is another one, byte by byte, than its strong tag promises.
fn weaken<B>(mut response: http::Response<B>) -> http::Response<B> {
    if !response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    let weak = response
        .headers()
        .get(ETAG)
        .and_then(|tag| tag.to_str().ok())
        .filter(|tag| tag.starts_with('"'))
        .and_then(|tag| HeaderValue::from_str(&format!("W/{tag}")).ok());
    if let Some(weak) = weak {
        response.headers_mut().insert(ETAG, weak);
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn worth_while(content_type: &str, bytes: usize, headers: &[(&str, &str)]) -> bool {
        let mut response = http::Response::builder().header(CONTENT_TYPE, content_type);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let response = response.body(Body::from(vec![b'x'; bytes])).unwrap();
        WorthWhile.should_compress(&response)
    }

    #[test]
    fn texts_of_some_size_are_compressed_and_nothing_else() {
        assert!(worth_while("application/json", 2000, &[]));
        assert!(worth_while("text/html; charset=utf-8", 2000, &[]));
        assert!(worth_while("application/problem+json", 2000, &[]));
        assert!(!worth_while("application/json", 1000, &[]));
        assert!(!worth_while("image/png", 2000, &[]));
        assert!(!worth_while("text/event-stream", 2000, &[]));
        assert!(!worth_while(
            "text/plain",
            2000,
            &[("cache-control", "no-cache, no-transform")]
        ));
    }

    #[test]
    fn the_tag_of_a_compressed_answer_is_weak() {
        let tag = |tag: &str, encoded: bool| {
            let mut response = http::Response::builder().header(ETAG, tag);
            if encoded {
                response = response.header(CONTENT_ENCODING, "br");
            }
            let response = weaken(response.body(()).unwrap());
            response.headers()[ETAG].to_str().unwrap().to_owned()
        };
        assert_eq!(tag("\"a\"", true), "W/\"a\"");
        assert_eq!(tag("W/\"a\"", true), "W/\"a\"");
        assert_eq!(tag("\"a\"", false), "\"a\"");
    }
}
