//! A client that costs little: no pool, no parser of headers that nobody reads.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Room for the head and the body of the usual answer.
const BUFFER: usize = 8 * 1024;

/// The bytes of a GET.
pub fn get(path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut request = format!("GET {path} HTTP/1.1\r\nhost: bench\r\n");
    for (name, value) in headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request.push_str("\r\n");
    request.into_bytes()
}

/// A kept connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    filled: usize,
}

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer<'a> {
    /// Status code.
    pub status: u16,
    /// Status line and headers.
    pub head: &'a [u8],
    /// Without any framing.
    pub body: Cow<'a, [u8]>,
}

impl Answer<'_> {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }
}

/// The head of an answer.
#[derive(Clone, Copy, Debug)]
struct Head {
    status: u16,
    /// Bytes up to the body.
    length: usize,
    /// Bytes of the body; `None` when it comes in chunks.
    body: Option<usize>,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: vec![0; BUFFER],
            filled: 0,
        })
    }

    /// Sends a request and reads its answer to the end.
    pub async fn exchange(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.filled = 0;
        let head = loop {
            self.fill().await?;
            if let Some(head) = head(&self.buffer[..self.filled])? {
                break head;
            }
        };
        let Some(length) = head.body else {
            let body = self.chunks(head.length).await?;
            let head_bytes = &self.buffer[..head.length];
            return Ok(Answer {
                status: head.status,
                head: head_bytes,
                body: body.into(),
            });
        };
        let end = head.length + length;
        while self.filled < end {
            self.fill().await?;
        }
        if self.filled > end {
            return Err(invalid("bytes behind the answer"));
        }
        let (head_bytes, body) = self.buffer[..end].split_at(head.length);
        Ok(Answer {
            status: head.status,
            head: head_bytes,
            body: body.into(),
        })
    }

    /// The connection itself, for what is no exchange, with nothing read yet.
    pub fn into_stream(self) -> TcpStream {
        self.stream
    }

    async fn chunks(&mut self, start: usize) -> io::Result<Vec<u8>> {
        loop {
            if let Some(body) = dechunked(&self.buffer[start..self.filled])? {
                return Ok(body);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let read = self.stream.read(&mut self.buffer[self.filled..]).await?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.filled += read;
        Ok(())
    }
}

/// The head, once it is complete.
fn head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let status = bytes
        .get(9..12)
        .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    let status = status.ok_or_else(|| invalid("no status"))?;
    let head = &bytes[..end + 4];
    let body = match header(head, "content-length") {
        Some(length) => Some(length.parse().map_err(|_| invalid("content-length"))?),
        None if header(head, "transfer-encoding").is_some() => None,
        None if status == 204 || status == 304 => Some(0),
        None => return Err(invalid("an answer without an end")),
    };
    Ok(Some(Head {
        status,
        length: end + 4,
        body,
    }))
}

fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    let lines = head.split(|byte| *byte == b'\n').skip(1);
    lines
        .into_iter()
        .find_map(|line| {
            let (own, value) = (line.get(..name.len())?, line.get(name.len()..)?);
            let value = value.strip_prefix(b":")?;
            own.eq_ignore_ascii_case(name.as_bytes())
                .then(|| std::str::from_utf8(value).ok())?
        })
        .map(str::trim)
}

/// The body of chunks, once the last one is there.
fn dechunked(mut bytes: &[u8]) -> io::Result<Option<Vec<u8>>> {
    let mut body = Vec::new();
    loop {
        let Some(end) = bytes.windows(2).position(|two| two == b"\r\n") else {
            return Ok(None);
        };
        let size = std::str::from_utf8(&bytes[..end]).ok();
        let size = size.and_then(|size| usize::from_str_radix(size, 16).ok());
        let size = size.ok_or_else(|| invalid("a chunk's size"))?;
        let rest = &bytes[end + 2..];
        if rest.len() < size + 2 {
            return Ok(None);
        }
        if size == 0 {
            return Ok(Some(body));
        }
        body.extend_from_slice(&rest[..size]);
        bytes = &rest[size + 2..];
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_when_they_are_complete() {
        let bytes = b"HTTP/1.1 201 Created\r\nServer: x\r\nContent-Length: 5\r\n\r\nhello";
        assert!(head(&bytes[..30]).unwrap().is_none());
        let head = head(bytes).unwrap().unwrap();
        assert_eq!(
            (head.status, head.body, bytes.len() - head.length),
            (201, Some(5), 5)
        );
        assert!(super::head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn chunks_become_a_body() {
        assert_eq!(dechunked(b"3\r\nabc\r\na\r\n01234").unwrap(), None);
        let whole = dechunked(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").unwrap();
        assert_eq!(whole.as_deref(), Some(b"abcde".as_slice()));
    }
}
