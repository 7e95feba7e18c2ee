//! Events as Kafka's records.

use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use touchstone_api::events::Event;

const TRACEPARENT: &str = "traceparent";
const EVENT_ID: &str = "event-id";

/// The envelope as JSON; the trace travels in a header, where tools look for it.
pub fn encode(event: &Event) -> (Vec<u8>, OwnedHeaders) {
    let id = event.id.to_string();
    let mut headers = OwnedHeaders::new().insert(Header {
        key: EVENT_ID,
        value: Some(&id),
    });
    if let Some(trace) = &event.traceparent {
        headers = headers.insert(Header {
            key: TRACEPARENT,
            value: Some(trace),
        });
    }
    let envelope = Event {
        traceparent: None,
        ..event.clone()
    };
    // Strings and JSON always serialise; an empty record would be told as unreadable.
    (serde_json::to_vec(&envelope).unwrap_or_default(), headers)
}

pub fn decode(message: &impl Message) -> Result<Event, serde_json::Error> {
    let mut event: Event = serde_json::from_slice(message.payload().unwrap_or_default())?;
    let headers = message.headers();
    let trace = headers.and_then(|headers| headers.iter().find(|it| it.key == TRACEPARENT));
    if let Some(value) = trace.and_then(|header| header.value) {
        event.traceparent = String::from_utf8(value.to_vec()).ok();
    }
    Ok(event)
}
