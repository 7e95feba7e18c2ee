//! Server-sent events.

use std::convert::Infallible;

use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, StreamExt};
use http::HeaderValue;
use http::header::CACHE_CONTROL;

/// One event: its name, if any, and its data, which is sent as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The `event` field.
    pub event: Option<String>,
    /// The `data` field; line breaks are split over several lines, as the format asks.
    pub data: String,
}

/// A response that streams `frames`, told to proxies not to buffer. Dropping it drops the stream,
/// which is how a client's departure cancels the work behind it.
pub fn respond<S>(frames: S) -> Response
where
    S: Stream<Item = Frame> + Send + 'static,
{
    let events = frames.map(|frame| {
        let event = Event::default().data(frame.data);
        Ok::<_, Infallible>(match frame.event {
            Some(name) => event.event(name),
            None => event,
        })
    });
    let mut response = Sse::new(events).into_response();
    let headers = response.headers_mut();
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("no-cache, no-transform"),
    );
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}
