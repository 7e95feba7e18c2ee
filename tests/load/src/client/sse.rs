//! Streams of events, in whatever pieces they come.

/// An event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Its name; `message` unless the stream says otherwise.
    pub name: String,
    /// Its data, lines joined.
    pub data: String,
}

/// Finds the events in a stream of bytes.
#[derive(Clone, Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    was_return: bool,
    event: Event,
    has_data: bool,
}

impl Parser {
    /// Reads a piece and hands on each event that is complete.
    pub fn read(&mut self, bytes: &[u8], mut event: impl FnMut(Event)) {
        for &byte in bytes {
            // A line ends with CR, LF or both.
            match byte {
                b'\n' if self.was_return => self.was_return = false,
                b'\n' | b'\r' => {
                    self.was_return = byte == b'\r';
                    if let Some(complete) = self.line() {
                        event(complete);
                    }
                }
                _ => {
                    self.was_return = false;
                    self.line.push(byte);
                }
            }
        }
    }

    fn line(&mut self) -> Option<Event> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return std::mem::take(&mut self.has_data).then(|| Event {
                name: if event.name.is_empty() {
                    "message".into()
                } else {
                    event.name
                },
                ..event
            });
        }
        let line = String::from_utf8_lossy(&line);
        let (field, value) = line.split_once(':').unwrap_or((&line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                if self.has_data {
                    self.event.data.push('\n');
                }
                self.has_data = true;
                self.event.data.push_str(value);
            }
            // Comments, ids and times to come back.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn events(pieces: &[&[u8]]) -> Vec<(String, String)> {
        let (mut parser, mut found) = (Parser::default(), Vec::new());
        for piece in pieces {
            parser.read(piece, |event| found.push((event.name, event.data)));
        }
        found
    }

    const STREAM: &[u8] =
        b": hello\n\nevent: token\ndata: a\ndata: b\n\ndata:c\r\n\r\nid: 7\n\nevent: done\ndata\n\ndata: cut";

    #[test]
    fn events_are_found() {
        let wanted = [("token", "a\nb"), ("message", "c"), ("done", "")];
        let wanted = wanted.map(|(name, data)| (name.to_owned(), data.to_owned()));
        assert_eq!(events(&[STREAM]), wanted);
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(cuts in proptest::collection::vec(0..STREAM.len(), 0..6)) {
            let mut cuts = cuts;
            cuts.extend([0, STREAM.len()]);
            cuts.sort_unstable();
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|two| &STREAM[two[0]..two[1]]).collect();
            prop_assert_eq!(events(&pieces), events(&[STREAM]));
        }
    }
}
