//! Reads server-sent events out of a stream of bytes.

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

/// Largest event that is put together; a longer one ends the stream with an error.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerSentEvent {
    /// The `event` field, empty when absent.
    pub event: String,
    /// The `data` fields, joined by line feeds.
    pub data: String,
}

/// Why no more events come.
#[derive(Debug, thiserror::Error)]
pub enum SseError<E> {
    /// The bytes stopped with an error.
    #[error("the stream broke")]
    Source(#[source] E),
    /// An event is too long.
    #[error("an event is longer than 16 MiB")]
    TooLong,
}

/// Puts events together, whatever way the bytes are cut. Invalid UTF-8 is replaced, as the format
/// asks; comments and unknown fields are skipped.
#[derive(Debug, Default)]
pub struct Decoder {
    line: Vec<u8>,
    event: ServerSentEvent,
    has_data: bool,
    size: usize,
    after_return: bool,
}

impl Decoder {
    /// Takes bytes and appends the events that they complete to `events`. `false` when an event
    /// has become too long.
    pub fn feed(&mut self, bytes: &[u8], events: &mut Vec<ServerSentEvent>) -> bool {
        for &byte in bytes {
            let second_half = std::mem::take(&mut self.after_return) && byte == b'\n';
            match byte {
                _ if second_half => {}
                b'\n' | b'\r' => {
                    self.after_return = byte == b'\r';
                    self.end_line(events);
                }
                _ => {
                    self.line.push(byte);
                    self.size += 1;
                }
            }
            if self.size > MAX_EVENT_BYTES {
                return false;
            }
        }
        true
    }

    fn end_line(&mut self, events: &mut Vec<ServerSentEvent>) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            if std::mem::take(&mut self.has_data) {
                events.push(event);
            }
            self.size = 0;
            return;
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.event),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
                self.has_data = true;
            }
            _ => {}
        }
    }
}

/// The events of a stream of bytes; ends after the first error.
pub fn events<S, E>(bytes: S) -> impl Stream<Item = Result<ServerSentEvent, SseError<E>>>
where
    S: Stream<Item = Result<Bytes, E>>,
{
    bytes
        .map(Some)
        .chain(futures_util::stream::once(std::future::ready(None)))
        .scan((Decoder::default(), false), |(decoder, failed), item| {
            if *failed {
                return std::future::ready(None);
            }
            let mut found = Vec::new();
            let mut out: Vec<Result<_, SseError<E>>> = Vec::new();
            match item {
                Some(Ok(bytes)) => {
                    let short = decoder.feed(&bytes, &mut found);
                    out.extend(found.into_iter().map(Ok));
                    if !short {
                        *failed = true;
                        out.push(Err(SseError::TooLong));
                    }
                }
                Some(Err(error)) => {
                    *failed = true;
                    out.push(Err(SseError::Source(error)));
                }
                // A last event without its empty line is incomplete and dropped by the format.
                None => {}
            }
            std::future::ready(Some(futures_util::stream::iter(out)))
        })
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\u{feff}: hi\n\nevent: token\r\ndata: {\"a\":1}\r\n\r\nid: 3\ndata: x\ndata: y\n\ndata\n\n";

    fn decode(cut: usize) -> Vec<ServerSentEvent> {
        let (mut decoder, mut events) = (Decoder::default(), Vec::new());
        for part in TEXT.trim_start_matches('\u{feff}').as_bytes().chunks(cut) {
            assert!(decoder.feed(part, &mut events));
        }
        events
    }

    #[test]
    fn events_do_not_depend_on_how_bytes_are_cut() {
        let event = |event: &str, data: &str| ServerSentEvent {
            event: event.into(),
            data: data.into(),
        };
        let expected = vec![
            event("token", "{\"a\":1}"),
            event("", "x\ny"),
            event("", ""),
        ];
        for cut in 1..TEXT.len() {
            assert_eq!(decode(cut), expected, "cut {cut}");
        }
    }
}
