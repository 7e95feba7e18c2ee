//! The clients: HTTP/1.1 and HTTP/2, every body read to its end.

mod connect;
mod failure;
mod http1;
mod http2;
mod socket;
mod sse;
mod target;

pub use connect::{Connector, Stream};
pub use failure::Failure;
pub(crate) use socket::authorized;
pub use socket::{NotOpened, Opened, Received, Socket};
pub use sse::{Event, Parser};
pub use target::{Target, TargetError};

use std::cell::Cell;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use tokio::sync::Mutex;

use crate::measure::ErrorClass;
use crate::steps::KeptSocket;

/// Times and limits.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Longest time from the begin of a request to the end of its answer.
    pub timeout: Duration,
    /// Longest time to connect.
    pub connect_timeout: Duration,
    /// Connections of a shard under HTTP/2.
    pub http2_connections: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            http2_connections: 4,
        }
    }
}

/// What is done with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// It is counted.
    Count,
    /// It is kept for checks.
    Keep,
    /// It is a stream of events, whose times are measured; they are kept for checks.
    Events,
}

/// An answer that came to its end.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, if it was kept.
    pub body: Bytes,
    /// Events, if it was a stream.
    pub events: Vec<Event>,
}

/// An exchange, as it went.
#[derive(Debug)]
pub struct Exchange {
    /// When it began.
    pub began: Instant,
    /// How long the connection took, where one was made.
    pub connect: Option<Duration>,
    /// From its begin to the head of the answer.
    pub first_byte: Option<Duration>,
    /// When it ended.
    pub ended: Instant,
    /// Bytes of the body.
    pub bytes: u64,
    /// When each event came.
    pub event_times: Vec<Instant>,
    /// The answer, or why there is none.
    pub result: Result<Answer, Failure>,
}

/// What a user keeps: its connection.
#[derive(Default)]
pub struct Lane {
    connection: Option<http1::Connection>,
    socket: Option<(String, KeptSocket)>,
    number: usize,
}

impl Lane {
    /// The socket of this name that was kept.
    pub(crate) fn take_socket(&mut self, name: &str) -> Option<KeptSocket> {
        let (_, socket) = self.socket.take_if(|(own, _)| own == name)?;
        Some(socket)
    }

    /// Keeps a socket for the next iteration, in place of any other.
    pub(crate) fn keep_socket(&mut self, name: &str, socket: KeptSocket) {
        self.socket = Some((name.to_owned(), socket));
    }
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lane")
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

/// The client of one shard.
pub struct Client {
    target: Target,
    connector: Connector,
    settings: Settings,
    lanes: Cell<usize>,
    connections: Cell<u64>,
    shared: Vec<Mutex<Option<SendRequest<Full<Bytes>>>>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

/// What an exchange noted so far.
struct Notes {
    began: Instant,
    connect: Option<Duration>,
    first_byte: Option<Duration>,
    bytes: u64,
    event_times: Vec<Instant>,
}

impl Client {
    /// For a target.
    pub fn new(target: Target, connector: Connector, settings: Settings) -> Self {
        let shared = (0..settings.http2_connections.max(1))
            .map(|_| Mutex::new(None))
            .collect();
        Self {
            target,
            connector,
            settings,
            lanes: Cell::new(0),
            connections: Cell::new(0),
            shared,
        }
    }

    /// What is aimed at.
    pub const fn target(&self) -> &Target {
        &self.target
    }

    /// Whether it speaks HTTP/2.
    pub const fn is_http2(&self) -> bool {
        self.connector.is_http2()
    }

    /// Connections that were made so far.
    pub const fn connections(&self) -> u64 {
        self.connections.get()
    }

    /// A lane without a connection yet.
    pub fn lane(&self) -> Lane {
        let number = self.lanes.get();
        self.lanes.set(number + 1);
        Lane {
            number,
            ..Lane::default()
        }
    }

    /// Sends a request and reads its answer to the end.
    pub async fn exchange(
        &self,
        lane: &mut Lane,
        request: Request<Full<Bytes>>,
        read: Read,
    ) -> Exchange {
        let mut notes = Notes {
            began: Instant::now(),
            connect: None,
            first_byte: None,
            bytes: 0,
            event_times: Vec::new(),
        };
        let exchanged = async {
            if self.connector.is_http2() {
                self.exchange_http2(lane, request, read, &mut notes).await
            } else {
                self.exchange_http1(lane, request, read, &mut notes).await
            }
        };
        let result = match tokio::time::timeout(self.settings.timeout, exchanged).await {
            Ok(result) => result,
            Err(_) => {
                let what = format!("no whole answer within {:?}", self.settings.timeout);
                Err(Failure::new(ErrorClass::Timeout, what))
            }
        };
        if result.is_err() {
            // What is half read cannot be used again.
            lane.connection = None;
        }
        Exchange {
            began: notes.began,
            connect: notes.connect,
            first_byte: notes.first_byte,
            ended: Instant::now(),
            bytes: notes.bytes,
            event_times: notes.event_times,
            result,
        }
    }

    async fn connect(&self, turn: usize, notes: &mut Notes) -> Result<Box<dyn Stream>, Failure> {
        let begun = Instant::now();
        let connected = self.connector.connect(&self.target, turn);
        let stream = match tokio::time::timeout(self.settings.connect_timeout, connected).await {
            Ok(stream) => stream.map_err(|error| Failure::connecting(&error))?,
            Err(_) => return Err(Failure::new(ErrorClass::Connect, "no connection in time")),
        };
        notes.connect = Some(begun.elapsed());
        self.connections.set(self.connections.get() + 1);
        Ok(stream)
    }

    async fn exchange_http1(
        &self,
        lane: &mut Lane,
        request: Request<Full<Bytes>>,
        read: Read,
        notes: &mut Notes,
    ) -> Result<Answer, Failure> {
        // A kept connection may be closed by the other side at any time: that is no failure.
        if let Some(connection) = &mut lane.connection
            && !connection.is_usable().await
        {
            lane.connection = None;
        }
        let was_kept = lane.connection.is_some();
        // Cheap: the body is shared.
        let again = was_kept.then(|| request.clone());
        let connection = match &mut lane.connection {
            Some(connection) => connection,
            none => {
                let stream = self.connect(lane.number, notes).await?;
                let opened = http1::Connection::open(stream).await;
                none.insert(opened.map_err(|error| Failure::using(&error))?)
            }
        };
        let response = match (connection.send(request).await, again) {
            (Ok(response), _) => response,
            // It was closed before it took the request: nothing was asked yet.
            (Err(error), Some(request)) if error.is_canceled() => {
                let stream = self.connect(lane.number, notes).await?;
                let opened = http1::Connection::open(stream).await;
                *connection = opened.map_err(|error| Failure::using(&error))?;
                let response = connection.send(request).await;
                response.map_err(|error| Failure::using(&error))?
            }
            (Err(error), _) => return Err(Failure::using(&error)),
        };
        notes.first_byte = Some(notes.began.elapsed());
        let (mut reading, mut body) = Reading::new(response, read);
        while let Some(frame) = connection.frame(&mut body).await {
            let frame = frame.map_err(|error| Failure::using(&error))?;
            reading.frame(frame, notes);
        }
        Ok(reading.answer())
    }

    async fn exchange_http2(
        &self,
        lane: &Lane,
        request: Request<Full<Bytes>>,
        read: Read,
        notes: &mut Notes,
    ) -> Result<Answer, Failure> {
        let mut sender = self.shared(lane, notes).await?;
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| Failure::using(&error))?;
        notes.first_byte = Some(notes.began.elapsed());
        let (mut reading, mut body) = Reading::new(response, read);
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| Failure::using(&error))?;
            reading.frame(frame, notes);
        }
        Ok(reading.answer())
    }

    async fn shared(
        &self,
        lane: &Lane,
        notes: &mut Notes,
    ) -> Result<SendRequest<Full<Bytes>>, Failure> {
        let place = lane.number % self.shared.len();
        // Whoever comes while one connects waits for that connection instead of making another.
        let mut kept = self.shared[place].lock().await;
        if let Some(kept) = &mut *kept
            && kept.ready().await.is_ok()
        {
            return Ok(kept.clone());
        }
        let stream = self.connect(place, notes).await?;
        let opened = http2::open(stream).await;
        let sender = opened.map_err(|error| Failure::using(&error))?;
        *kept = Some(sender.clone());
        Ok(sender)
    }
}

/// A body that is being read.
struct Reading {
    status: StatusCode,
    headers: HeaderMap,
    read: Read,
    kept: BytesMut,
    parser: Parser,
    events: Vec<Event>,
}

impl Reading {
    fn new(response: Response<Incoming>, read: Read) -> (Self, Incoming) {
        let (head, body) = response.into_parts();
        // An error instead of a stream is kept, so that it can be told.
        let read = match read {
            Read::Count if !head.status.is_success() => Read::Keep,
            Read::Events if !is_stream(&head.headers) => Read::Keep,
            read => read,
        };
        let reading = Self {
            status: head.status,
            headers: head.headers,
            read,
            kept: BytesMut::new(),
            parser: Parser::default(),
            events: Vec::new(),
        };
        (reading, body)
    }

    fn frame(&mut self, frame: Frame<Bytes>, notes: &mut Notes) {
        let Ok(data) = frame.into_data() else { return };
        notes.bytes += data.len() as u64;
        match self.read {
            Read::Count => {}
            Read::Keep => self.kept.extend_from_slice(&data),
            Read::Events => {
                let now = Instant::now();
                let (events, times) = (&mut self.events, &mut notes.event_times);
                self.parser.read(&data, |event| {
                    events.push(event);
                    times.push(now);
                });
            }
        }
    }

    fn answer(self) -> Answer {
        Answer {
            status: self.status,
            headers: self.headers,
            body: self.kept.freeze(),
            events: self.events,
        }
    }
}

fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(http::header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}
