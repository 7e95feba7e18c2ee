//! Which headers pass the gateway, and which it sets.

use http::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, FORWARDED,
    HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SERVER, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue};
use touchstone_api::headers::{CLIENT_ADDRESS, DEADLINE, FAILED_BELOW, REQUEST_ID, TRACEPARENT};
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

/// What the gateway tells a service of a request, whatever the client said.
const SET_HERE: [HeaderName; 4] = [
    HeaderName::from_static(REQUEST_ID),
    HeaderName::from_static(TRACEPARENT),
    HeaderName::from_static(DEADLINE),
    HeaderName::from_static(CLIENT_ADDRESS),
];

/// Tells proxies behind us to pass a stream on as it comes.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The headers of a request as its service shall see them.
pub(crate) fn of_request(
    headers: &HeaderMap,
    context: &RequestContext,
    client: Option<std::net::SocketAddr>,
) -> HeaderMap {
    let named = named_by_connection(headers);
    let ends_here = |name: &HeaderName| {
        HOP_BY_HOP.contains(name)
            // Services answer plainly; compression is ours, so that what is kept fits every client.
            || [HOST, EXPECT, ACCEPT_ENCODING].contains(name)
            || NEVER_FROM_OUTSIDE.contains(name)
            || SET_HERE.contains(name)
            || named.contains(name)
    };
    let mut passed = HeaderMap::with_capacity(headers.len() + SET_HERE.len());
    for (name, value) in headers {
        if !ends_here(name) {
            passed.append(name, value.clone());
        }
    }
    let mut set = |name: &HeaderName, value: Option<HeaderValue>| {
        if let Some(value) = value {
            passed.insert(name, value);
        }
    };
    let text = |text: &str| HeaderValue::from_str(text).ok();
    let [id, trace, deadline, address] = &SET_HERE;
    set(id, text(&context.request_id));
    set(trace, context.traceparent.as_deref().and_then(text));
    let left = context.remaining();
    let millis = left.and_then(|left| u64::try_from(left.as_millis()).ok());
    set(deadline, millis.map(HeaderValue::from));
    let client = client.map(|client| client.ip().to_canonical().to_string());
    set(address, client.as_deref().and_then(text));
    passed
}

/// Makes the headers of a service's response those of ours.
pub(crate) fn of_response(headers: &mut HeaderMap) {
    strip_hop_by_hop(headers);
    headers.remove(SERVER);
    // Who called whom in here is between the services.
    headers.remove(FAILED_BELOW);
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
    let named = named_by_connection(headers);
    let ends_here: Vec<HeaderName> = headers
        .keys()
        .filter(|name| HOP_BY_HOP.contains(name) || named.contains(name))
        .cloned()
        .collect();
    for name in ends_here {
        headers.remove(name);
    }
}

/// The headers that belong to the connection because `Connection` says so.
fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|token| token.trim().parse().ok())
        .collect()
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
        let passed = of_request(&sent, &context, client);
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
        let mut plain = headers(&[
            ("content-type", "application/json"),
            ("server", "x"),
            ("x-failed-below", "vector"),
        ]);
        of_response(&mut plain);
        assert_eq!(
            (&plain["cache-control"], plain.len()),
            (&"no-store".parse().unwrap(), 2)
        );
    }
}
