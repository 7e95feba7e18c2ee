//! WebSockets: a kept connection whose messages are read as they come, whoever waits for them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::Error as SocketError;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::connect::Stream;
use super::{Client, Failure};
use crate::measure::ErrorClass;

type Wire = WebSocketStream<Box<dyn Stream>>;

/// Longest wait for the other side's close frame.
const FAREWELL: Duration = Duration::from_secs(2);

/// A message that came.
#[derive(Clone, Debug)]
pub struct Received {
    /// When.
    pub at: Instant,
    /// What; binary messages are read as UTF-8 as far as they are.
    pub text: Utf8Bytes,
}

/// A connection that stands.
pub struct Socket {
    sink: SplitSink<Wire, Message>,
    inbox: Rc<Inbox>,
    reader: JoinHandle<()>,
}

impl std::fmt::Debug for Socket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Socket").finish_non_exhaustive()
    }
}

/// What came and nobody has taken yet.
#[derive(Default)]
struct Inbox {
    messages: RefCell<VecDeque<Received>>,
    came: Notify,
    /// Why nothing will come any more.
    ended: RefCell<Option<Failure>>,
    /// Whether the other side said farewell.
    is_closed: Cell<bool>,
}

/// How a socket came to be.
#[derive(Debug)]
pub struct Opened {
    /// How long the connection below it took.
    pub connect: Duration,
    /// It.
    pub socket: Socket,
}

/// Why there is no socket.
#[derive(Debug)]
pub enum NotOpened {
    /// The other side answered, but not with an upgrade.
    Refused(StatusCode, HeaderMap),
    /// It did not get that far.
    Failed(Failure),
}

impl Client {
    /// Opens a WebSocket. `sort` is shown every message as it comes, and tells whether it is kept for
    /// [`Socket::next`].
    pub async fn socket(
        &self,
        turn: usize,
        path: &str,
        headers: &HeaderMap,
        sort: impl FnMut(&Received) -> bool + 'static,
    ) -> Result<Opened, NotOpened> {
        let opened = self.open(turn, path, headers, sort);
        match tokio::time::timeout(self.settings.timeout, opened).await {
            Ok(opened) => opened,
            Err(_) => Err(NotOpened::Failed(Failure::new(
                ErrorClass::Timeout,
                format!("no socket within {:?}", self.settings.timeout),
            ))),
        }
    }

    async fn open(
        &self,
        turn: usize,
        path: &str,
        headers: &HeaderMap,
        sort: impl FnMut(&Received) -> bool + 'static,
    ) -> Result<Opened, NotOpened> {
        let authority = self.target.authority().to_str().unwrap_or_default();
        let scheme = if self.target.is_tls() { "wss" } else { "ws" };
        let url = format!("{scheme}://{authority}{}{path}", self.target.prefix());
        let request = url.into_client_request();
        let mut request = request.map_err(|error| NotOpened::Failed(told(&error)))?;
        for (name, value) in headers {
            request.headers_mut().insert(name, value.clone());
        }
        let begun = Instant::now();
        let connected = self.connector.connect(&self.target, turn);
        let stream = tokio::time::timeout(self.settings.connect_timeout, connected).await;
        let stream = match stream {
            Ok(stream) => stream.map_err(|error| NotOpened::Failed(Failure::connecting(&error)))?,
            Err(_) => {
                let late = Failure::new(ErrorClass::Connect, "no connection in time");
                return Err(NotOpened::Failed(late));
            }
        };
        let connect = begun.elapsed();
        self.connections.set(self.connections.get() + 1);
        let (wire, _) = client_async(request, stream)
            .await
            .map_err(|error| match error {
                SocketError::Http(answer) => {
                    let (head, _) = (*answer).into_parts();
                    NotOpened::Refused(head.status, head.headers)
                }
                error => NotOpened::Failed(told(&error)),
            })?;
        let (sink, stream) = wire.split();
        let inbox = Rc::new(Inbox::default());
        let reader = tokio::task::spawn_local(read(stream, Rc::clone(&inbox), sort));
        let socket = Socket {
            sink,
            inbox,
            reader,
        };
        Ok(Opened { connect, socket })
    }

    /// Longest time that anything may take.
    pub const fn timeout(&self) -> Duration {
        self.settings.timeout
    }
}

async fn read(
    mut stream: SplitStream<Wire>,
    inbox: Rc<Inbox>,
    mut sort: impl FnMut(&Received) -> bool,
) {
    let ended = loop {
        let text = match stream.next().await {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Binary(bytes))) => String::from_utf8_lossy(&bytes).as_ref().into(),
            Some(Ok(Message::Close(frame))) => {
                inbox.is_closed.set(true);
                let why = frame.map_or_else(|| "closed".to_owned(), |frame| frame.to_string());
                break Failure::new(ErrorClass::Broken, why);
            }
            // Pings are answered by the library.
            Some(Ok(_)) => continue,
            Some(Err(error)) => break told(&error),
            None => break Failure::new(ErrorClass::Broken, "closed"),
        };
        let received = Received {
            at: Instant::now(),
            text,
        };
        if sort(&received) {
            inbox.messages.borrow_mut().push_back(received);
            inbox.came.notify_one();
        }
    };
    *inbox.ended.borrow_mut() = Some(ended);
    inbox.came.notify_one();
}

impl Socket {
    /// Sends a message.
    pub async fn send(&mut self, text: &str) -> Result<(), Failure> {
        let message = Message::Text(text.into());
        self.sink.send(message).await.map_err(|error| told(&error))
    }

    /// The next message that is kept. Messages from before the last call count.
    pub async fn next(&mut self, within: Duration) -> Result<Received, Failure> {
        let next = async {
            loop {
                if let Some(message) = self.inbox.messages.borrow_mut().pop_front() {
                    return Ok(message);
                }
                if let Some(ended) = self.inbox.ended.borrow().clone() {
                    return Err(ended);
                }
                self.inbox.came.notified().await;
            }
        };
        match tokio::time::timeout(within, next).await {
            Ok(next) => next,
            Err(_) => Err(Failure::new(
                ErrorClass::Timeout,
                format!("no message within {within:?}"),
            )),
        }
    }

    /// Forgets what came and was not asked for.
    pub fn forget(&mut self) {
        self.inbox.messages.borrow_mut().clear();
    }

    /// Whether it still stands.
    pub fn is_usable(&self) -> bool {
        self.inbox.ended.borrow().is_none()
    }

    /// Closes it in good form: tells whether the other side did too.
    pub async fn close(mut self) -> bool {
        let _ = self.sink.send(Message::Close(None)).await;
        let inbox = Rc::clone(&self.inbox);
        let ended = async {
            while inbox.ended.borrow().is_none() {
                inbox.came.notified().await;
            }
        };
        let _ = tokio::time::timeout(FAREWELL, ended).await;
        inbox.is_closed.get()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

fn told(error: &SocketError) -> Failure {
    match error {
        SocketError::Io(error) => Failure::new(ErrorClass::Broken, error.to_string()),
        SocketError::ConnectionClosed | SocketError::AlreadyClosed => {
            Failure::new(ErrorClass::Broken, "closed")
        }
        error => Failure::new(ErrorClass::Protocol, error.to_string()),
    }
}

/// The header of a credential.
pub(crate) fn authorized(credential: Option<HeaderValue>) -> HeaderMap {
    let credential = credential.map(|value| (http::header::AUTHORIZATION, value));
    credential.into_iter().collect()
}
