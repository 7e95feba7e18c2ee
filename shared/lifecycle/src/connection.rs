//! One connection from its first byte to its last.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse, Response};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Request, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::Edge;
use crate::admission::Place;
use crate::hang_up::{HangUp, Reset};
use crate::io::Watched;
use crate::pace::{HandedBody, Pace, PacedBody};

/// Requests that a client may begin and take back on one connection, more than it lets end, before
/// the connection is dropped: each costs us work and the client nothing.
const RESETS: u64 = 100;
/// What is left of a body that nobody wants, and does not end an HTTP/1 connection.
const LITTLE: u64 = 4 * 1024;
/// An HTTP/1 connection needs no look at it once it has spoken: its stream watches itself.
const NEVER: Duration = Duration::from_hours(24);

/// What is known about a connection.
#[derive(Debug)]
pub(crate) struct State {
    pub edge: Arc<Edge>,
    begun: AtomicU64,
    ended: AtomicU64,
    /// Requests taken back, less those that ended.
    resets: AtomicU64,
    http2: AtomicBool,
    /// Whether the server stops: every answer is the last one of its connection.
    leaving: AtomicBool,
    /// One more than the request, counted from 0, that states its length in two ways.
    two_lengths: AtomicU64,
    /// What is left of the body of the last request of HTTP/1, which nobody wants, and one more.
    unread: AtomicU64,
    /// Frames of HTTP/2 responses that no question for the next one has followed.
    handed: Mutex<HashMap<u64, Instant>>,
    /// When the last request ended.
    last: Mutex<Instant>,
    abuse: Notify,
    /// Whether the stream is reset instead of closed.
    reset: AtomicBool,
}

/// What to do with a connection that was looked at.
enum Verdict {
    /// Look again later.
    Keep(Duration),
    /// It may end its work, and no more.
    Retire,
    /// Drop it.
    Drop(&'static str),
}

impl State {
    fn new(edge: Arc<Edge>) -> Self {
        Self {
            edge,
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            resets: AtomicU64::new(0),
            http2: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            two_lengths: AtomicU64::new(0),
            unread: AtomicU64::new(0),
            handed: Mutex::default(),
            last: Mutex::new(Instant::now()),
            abuse: Notify::new(),
            reset: AtomicBool::new(false),
        }
    }

    /// The connection is reset, unless other requests share it.
    fn hang_up(&self, shared: bool) {
        self.reset.store(!shared, Ordering::Release);
    }

    /// Whether the stream is reset instead of closed.
    pub fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Acquire)
    }

    /// The request `number` states its length in two ways.
    pub fn two_lengths(&self, number: u64) {
        self.two_lengths.store(number + 1, Ordering::Release);
    }

    /// Nobody wants the rest of the body of the last request: `bytes`, or more.
    pub fn leave_unread(&self, bytes: u64) {
        self.unread
            .store(bytes.saturating_add(1), Ordering::Release);
    }

    /// Whether the client may still be sending a body that nobody wants.
    pub fn unread(&self) -> bool {
        self.unread.load(Ordering::Acquire) > 0
    }

    /// Whether that is more than is taken along with the next request.
    fn much_unread(&self) -> bool {
        self.unread.load(Ordering::Acquire) > LITTLE
    }

    /// A frame of the response `number` was handed out.
    pub fn handed(&self, number: u64) {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        handed.insert(number, Instant::now());
    }

    /// The next frame of the response `number` is asked for.
    pub fn asked(&self, number: u64) {
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        handed.remove(&number);
    }

    /// Answers are the last ones from now on; returns when nobody need be waited for any more.
    async fn farewell(&self) {
        self.leaving.store(true, Ordering::Release);
        // HTTP/2 has words of its own for this.
        if !self.http2.load(Ordering::Acquire) {
            Box::pin(sleep(self.edge.farewell)).await;
        }
    }

    fn look(&self) -> Verdict {
        if self.begun.load(Ordering::Acquire) == 0 {
            return Verdict::Drop("no_request");
        }
        if !self.http2.load(Ordering::Acquire) {
            return Verdict::Keep(NEVER);
        }
        let now = Instant::now();
        let silence = self.edge.reader_silence;
        let handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        if handed.values().any(|since| now - *since >= silence) {
            return Verdict::Drop("slow_reader");
        }
        drop(handed);
        let resets = self.resets.load(Ordering::Acquire);
        self.resets.store(resets / 2, Ordering::Release);
        let idle = self.begun.load(Ordering::Acquire) == self.ended.load(Ordering::Acquire);
        let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if idle && now - last >= self.edge.idle_timeout {
            return Verdict::Retire;
        }
        Verdict::Keep((silence / 2).min(self.edge.idle_timeout))
    }
}

/// A request that is being answered.
struct InFlight {
    state: Arc<State>,
    answered: bool,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let state = &*self.state;
        state.ended.fetch_add(1, Ordering::AcqRel);
        if !state.http2.load(Ordering::Acquire) {
            return;
        }
        *state.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        if self.answered {
            let less = |resets: u64| resets.checked_sub(1);
            let _ = state
                .resets
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
        } else if state.resets.fetch_add(1, Ordering::AcqRel) >= RESETS {
            state.abuse.notify_one();
        }
    }
}

/// Serves a connection until it ends, or until it misbehaves. The soft stop lets it finish what it
/// has begun.
pub(crate) async fn drive<I>(
    stream: I,
    peer: SocketAddr,
    place: Place,
    edge: Arc<Edge>,
    server: auto::Builder<TokioExecutor>,
    router: Router,
    stop: CancellationToken,
) where
    I: AsyncRead + AsyncWrite + Reset + Unpin + Send + 'static,
{
    let state = Arc::new(State::new(edge));
    state.leaving.store(stop.is_cancelled(), Ordering::Release);
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&state), place));
    let service = service_fn({
        let state = Arc::clone(&state);
        move |request| answer(Arc::clone(&state), peer, router.clone(), request)
    });
    let mut connection = pin!(server.serve_connection_with_upgrades(io, service));
    let mut timer = pin!(sleep(state.edge.head_timeout));
    let mut stopped = pin!(async {
        stop.cancelled().await;
        state.farewell().await;
    });
    let (mut stopping, mut retired) = (false, false);
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(error, "connection ended");
                }
                return;
            }
            () = stopped.as_mut(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
            () = state.abuse.notified() => {
                state.edge.metrics.count("resets");
                return;
            }
            () = timer.as_mut() => {
                let next = match state.look() {
                    Verdict::Keep(next) => next,
                    Verdict::Retire if !retired => {
                        retired = true;
                        connection.as_mut().graceful_shutdown();
                        state.edge.head_timeout
                    }
                    Verdict::Retire => return,
                    Verdict::Drop(reason) => {
                        state.edge.metrics.count(reason);
                        return;
                    }
                };
                timer.as_mut().reset(Instant::now() + next);
            }
        }
    }
}

/// One request on its way to the router and back.
async fn answer(
    state: Arc<State>,
    peer: SocketAddr,
    router: Router,
    mut request: Request<Incoming>,
) -> Result<Response, HangUp> {
    let http2 = request.version() == Version::HTTP_2;
    if http2 {
        state.http2.store(true, Ordering::Release);
    }
    let number = state.begun.fetch_add(1, Ordering::AcqRel);
    state.unread.store(0, Ordering::Release);
    let mut in_flight = InFlight {
        state: Arc::clone(&state),
        answered: false,
    };
    if !http2 && state.two_lengths.load(Ordering::Acquire) == number + 1 {
        in_flight.answered = true;
        state.edge.metrics.count("two_lengths");
        return Ok(closing(StatusCode::BAD_REQUEST.into_response()));
    }
    // After a chunked body of HTTP/1 nothing more is read: what hides behind it stays unread.
    let last = !http2 && request.headers().contains_key(TRANSFER_ENCODING);
    request.extensions_mut().insert(ConnectInfo(peer));
    let (request, pace) = if request.body().is_end_stream() {
        (request.map(Body::new), None)
    } else {
        let (mut parts, body) = request.into_parts();
        let (body, pace) = PacedBody::new(body, http2, Arc::clone(&state));
        parts.extensions.insert(pace.clone());
        (Request::from_parts(parts, Body::new(body)), Some(pace))
    };
    let response = match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    if response.extensions().get::<HangUp>().is_some() {
        in_flight.answered = true;
        state.hang_up(http2);
        return Err(HangUp);
    }
    // An answer to a body that was taken back is none.
    in_flight.answered = !pace.as_ref().is_some_and(Pace::broken);
    if http2 {
        return Ok(response.map(|body| Body::new(HandedBody::new(body, state, number))));
    }
    // The client must not send its next request behind a body that is thrown away.
    let leaving = state.leaving.load(Ordering::Acquire);
    if last || leaving || state.much_unread() || pace.is_some_and(|pace| pace.too_slow()) {
        return Ok(closing(response));
    }
    Ok(response)
}

/// The last response of an HTTP/1 connection.
fn closing(mut response: Response) -> Response {
    response
        .headers_mut()
        .insert(CONNECTION, HeaderValue::from_static("close"));
    response
}
