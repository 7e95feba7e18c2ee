//! Which headers pass the gateway, and which it sets.

use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, FORWARDED,
    HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SERVER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use touchstone_api::headers::{CLIENT_ADDRESS, DEADLINE, REQUEST_ID, TRACEPARENT};
use touchstone_identity::RequestContext;

/// Headers of one connection, which end at the gateway.
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// What a client may say of its own address, and what only the gateway may tell.
const NEVER_FROM_OUTSIDE: [HeaderName; 7] = [
    FORWARDED,
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static(CLIENT_ADDRESS),
    HeaderName::from_static(DEADLINE),
];

/// Tells proxies behind us to pass a stream on as it comes.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The headers of a request as its service shall see them.
pub(crate) fn of_request(
    mut headers: HeaderMap,
    context: &RequestContext,
    client: Option<std::net::SocketAddr>,
) -> HeaderMap {
    strip_hop_by_hop(&mut headers);
    // Services answer plainly; compression is ours, so that what is kept fits every client.
    for name in [HOST, EXPECT, ACCEPT_ENCODING]
        .iter()
        .chain(&NEVER_FROM_OUTSIDE)
    {
        headers.remove(name);
    }
    let mut set = |name: &'static str, value: Option<String>| {
        let name = HeaderName::from_static(name);
        match value.and_then(|value| HeaderValue::from_str(&value).ok()) {
            Some(value) => headers.insert(name, value),
            None => headers.remove(name),
        };
    };
    set(REQUEST_ID, Some(context.request_id.to_string()));
    set(
        TRACEPARENT,
        context.traceparent.as_deref().map(str::to_owned),
    );
    set(
        DEADLINE,
        context.remaining().map(|left| left.as_millis().to_string()),
    );
    set(
        CLIENT_ADDRESS,
        client.map(|client| client.ip().to_canonical().to_string()),
    );
    headers
}

/// Makes the headers of a service's response those of ours.
pub(crate) fn of_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    headers.remove(SERVER);
    if is_event_stream(headers) {
        headers.insert(
            CACHE_CONTROL,
            HeaderValue::from_static("no-cache, no-transform"),
        );
        headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
        // A stream may be cut with a last event of ours.
        headers.remove(CONTENT_LENGTH);
    } else if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Whether the body is a stream of events.
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let essence = value.split(';').next().unwrap_or_default().trim();
            essence.eq_ignore_ascii_case("text/event-stream")
        })
}

/// Removes the headers of one connection, those that `Connection` names among them.
pub(crate) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|token| token.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_str(value).unwrap(),
            )
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn headers_of_the_connection_and_lies_about_the_client_end_here() {
        let sent = headers(&[
            ("connection", "close, X-Custom"),
            ("x-custom", "1"),
            ("te", "trailers"),
            ("accept-encoding", "br"),
            ("upgrade", "websocket"),
            ("host", "public.example"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-client-address", "1.2.3.4"),
            ("x-deadline-ms", "999999999"),
            ("authorization", "Bearer x"),
            ("idempotency-key", "k"),
        ]);
        let context = RequestContext {
            request_id: Arc::from("id-1"),
            traceparent: None,
            deadline: None,
        };
        let client = Some(([192, 0, 2, 7], 5000).into());
        let passed = of_request(sent, &context, client);
        let expected = headers(&[
            ("authorization", "Bearer x"),
            ("idempotency-key", "k"),
            ("x-request-id", "id-1"),
            ("x-client-address", "192.0.2.7"),
        ]);
        assert_eq!(passed, expected);
    }

    #[test]
    fn streams_are_not_to_be_buffered_and_the_rest_not_to_be_kept() {
        let mut stream = headers(&[("content-type", "Text/Event-Stream; charset=utf-8")]);
        of_response(&mut stream);
        assert_eq!(stream["x-accel-buffering"], "no");
        let mut plain = headers(&[("content-type", "application/json"), ("server", "x")]);
        of_response(&mut plain);
        assert_eq!(
            (&plain["cache-control"], plain.len()),
            (&"no-store".parse().unwrap(), 2)
        );
    }
}
