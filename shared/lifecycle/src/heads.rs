//! Where the heads of HTTP/1 requests begin and end in the bytes of a connection.
//!
//! The HTTP library takes a request that has both a `Content-Length` and a `Transfer-Encoding` by
//! the latter and forgets the former, so that nobody behind it can see the attempt. This reads
//! along, line by line, and remembers it.

/// Longest beginning of a line that is kept when a line arrives in pieces.
const LINE_BYTES: usize = 64;
/// First line of an HTTP/2 connection.
const HTTP2: &[u8] = b"PRI * HTTP/2.0";

/// Reads along with the HTTP/1 requests of one connection.
#[derive(Debug)]
pub(crate) struct Heads {
    place: Place,
    /// The beginning of a line whose end has not arrived.
    partial: Vec<u8>,
    /// What the head so far says.
    head: Head,
    /// Heads that have ended.
    ended: u64,
    /// The head, counted from 0, that states its length in two ways.
    conflict: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In a head, or before one.
    Head,
    /// In a body with so many bytes to come.
    Body(u64),
    /// Past what is followed: HTTP/2, an upgrade, a chunked body, after which the connection ends.
    Beyond,
}

#[derive(Clone, Copy, Debug, Default)]
struct Head {
    begun: bool,
    length: Option<u64>,
    encoded: bool,
    upgrade: bool,
}

impl Default for Heads {
    fn default() -> Self {
        Self {
            place: Place::Head,
            partial: Vec::new(),
            head: Head::default(),
            ended: 0,
            conflict: None,
        }
    }
}

impl Heads {
    /// The next bytes of the connection.
    pub fn feed(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            match self.place {
                Place::Beyond => return,
                Place::Body(left) => {
                    let size = left.min(data.len() as u64);
                    data = &data[size as usize..];
                    self.place = match left - size {
                        0 => Place::Head,
                        left => Place::Body(left),
                    };
                }
                Place::Head => match memchr::memchr(b'\n', data) {
                    Some(end) => {
                        let (line, rest) = (&data[..end], &data[end + 1..]);
                        if self.partial.is_empty() {
                            self.line(line);
                        } else {
                            self.keep(line);
                            let whole = std::mem::take(&mut self.partial);
                            self.line(&whole);
                        }
                        data = rest;
                    }
                    None => {
                        self.keep(data);
                        return;
                    }
                },
            }
        }
    }

    /// Whether a head has begun and not ended.
    pub fn inside_head(&self) -> bool {
        self.place == Place::Head && (self.head.begun || !self.partial.is_empty())
    }

    /// Heads that have ended.
    pub const fn ended(&self) -> u64 {
        self.ended
    }

    /// The head, counted from 0, that states its length in two ways.
    pub const fn conflict(&self) -> Option<u64> {
        self.conflict
    }

    fn keep(&mut self, part: &[u8]) {
        let room = LINE_BYTES.saturating_sub(self.partial.len());
        self.partial
            .extend_from_slice(&part[..part.len().min(room)]);
    }

    fn line(&mut self, line: &[u8]) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !self.head.begun {
            if line.starts_with(HTTP2) {
                self.place = Place::Beyond;
            }
            // Empty lines before a request are skipped.
            self.head.begun = !line.is_empty();
        } else if line.is_empty() {
            self.end();
        } else if let Some(value) = value_of(line, b"content-length") {
            let length = std::str::from_utf8(value).ok().map(str::trim);
            // What is no number is refused by the library.
            let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            self.head.length = Some(length);
        } else if value_of(line, b"transfer-encoding").is_some() {
            self.head.encoded = true;
        } else if value_of(line, b"upgrade").is_some() {
            self.head.upgrade = true;
        }
    }

    fn end(&mut self) {
        let head = std::mem::take(&mut self.head);
        if head.encoded && head.length.is_some() {
            self.conflict = Some(self.ended);
        }
        self.ended += 1;
        self.place = match head.length {
            _ if head.encoded || head.upgrade => Place::Beyond,
            None | Some(0) => Place::Head,
            Some(left) => Place::Body(left),
        };
    }
}

/// The value of a header line, if it is the header `name`.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = line.split_at_checked(name.len())?;
    let value = rest.strip_prefix(b":")?;
    head.eq_ignore_ascii_case(name).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds the bytes at once and one by one; both must see the same.
    fn read(text: &str) -> Heads {
        let (mut whole, mut slow) = (Heads::default(), Heads::default());
        whole.feed(text.as_bytes());
        for byte in text.as_bytes() {
            slow.feed(&[*byte]);
        }
        let seen = |heads: &Heads| (heads.ended(), heads.conflict(), heads.inside_head());
        assert_eq!(seen(&whole), seen(&slow), "{text:?}");
        whole
    }

    #[test]
    fn two_statements_of_the_length_are_noticed_in_any_order_and_case() {
        for text in [
            "POST / HTTP/1.1\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\nTRANSFER-ENCODING: chunked\ncontent-length:4\n\n",
            "\r\nPOST / HTTP/1.1\r\nTransfer-Encoding:identity\r\nX: y\r\nContent-Length: 0\r\n\r\n",
        ] {
            assert_eq!(read(text).conflict(), Some(0), "{text:?}");
        }
    }

    #[test]
    fn heads_behind_bodies_are_found() {
        let text = "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n\n\n\n\n\nGET / HTTP/1.1\r\n\r\n\
                    POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
        let heads = read(text);
        assert_eq!((heads.ended(), heads.conflict()), (3, Some(2)));
    }

    #[test]
    fn honest_requests_raise_no_suspicion() {
        for (text, ended) in [
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", 1),
            (
                "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                1,
            ),
            // What looks like a head in a body is a body.
            (
                "POST / HTTP/1.1\r\nContent-Length: 42\r\n\r\nA / B\r\ncontent-length:1\r\ntransfer-encoding:",
                1,
            ),
            ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0),
        ] {
            let heads = read(text);
            assert_eq!((heads.ended(), heads.conflict()), (ended, None), "{text:?}");
        }
    }

    #[test]
    fn a_head_is_open_from_its_first_byte_to_its_empty_line() {
        assert!(!read("").inside_head());
        assert!(read("G").inside_head());
        assert!(read("GET / HTTP/1.1\r\nHost: x\r\n").inside_head());
        assert!(!read("GET / HTTP/1.1\r\nHost: x\r\n\r\n").inside_head());
        assert!(!read("POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc").inside_head());
    }
}
