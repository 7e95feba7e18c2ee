//! Kept HTTP/1.1 connections to one address.
//!
//! A general client looks for a connection by scheme and authority, races a fresh one against those
//! in use and hands each back through a task. Here the address is known beforehand: a call takes the
//! connection that was used last, and the body of its response puts it back.

use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::header::HOST;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::rt::Executor;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;
use tower::{Service, ServiceExt};

use crate::TransportError;

/// Shorter than the servers keep idle connections, so that a reused one is alive.
const IDLE: Duration = Duration::from_secs(4);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// One address of a service, with the connections to it.
pub struct Endpoint {
    base: Uri,
    host: HeaderValue,
    connector: HttpConnector,
    idle: Arc<Idle>,
}

/// Connections that nobody uses, the one used last at the back.
#[derive(Default)]
struct Idle(Mutex<VecDeque<(SendRequest<Body>, Instant)>>);

impl Endpoint {
    /// The server at `base`: scheme and authority, e.g. `http://127.0.0.1:8007`.
    pub fn new(base: Uri) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let host = base.authority().map_or("", |authority| authority.as_str());
        // A name before `@` is for whoever connects.
        let host = host.rsplit('@').next().unwrap_or_default();
        let host = HeaderValue::from_str(host).unwrap_or(HeaderValue::from_static(""));
        Self {
            base,
            host,
            connector,
            idle: Arc::default(),
        }
    }

    /// Where it is.
    pub const fn base(&self) -> &Uri {
        &self.base
    }

    /// Sends a request. A kept connection that turns out to be closed before anything of the request
    /// was written is replaced by another one; a fresh one that is closed so soon was none.
    pub async fn call(&self, mut request: Request<Body>) -> Result<Response<Body>, TransportError> {
        let path = request.uri().path_and_query().cloned();
        *request.uri_mut() = path
            .unwrap_or_else(|| PathAndQuery::from_static("/"))
            .into();
        // What the caller's own client spoke ends with the caller.
        *request.version_mut() = Version::HTTP_11;
        request.headers_mut().insert(HOST, self.host.clone());
        loop {
            let (mut connection, kept) = match self.idle.take() {
                Some(connection) => (connection, true),
                None => (self.connect().await?, false),
            };
            match connection.try_send_request(request).await {
                Ok(response) => return Ok(self.keeping(response, connection)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if kept => request = unsent,
                    Some(_) => return Err(TransportError::Connect(error.into_error().into())),
                    None => return Err(TransportError::Broken(error.into_error())),
                },
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<Body>, TransportError> {
        let failed = |error: Box<dyn Error + Send + Sync>| TransportError::Connect(error);
        let mut connector = self.connector.clone();
        let ready = connector
            .ready()
            .await
            .map_err(|error| failed(error.into()))?;
        let stream = ready
            .call(self.base.clone())
            .await
            .map_err(|error| failed(error.into()))?;
        let handshake = http1::handshake(stream).await;
        let (sender, connection) = handshake.map_err(TransportError::Broken)?;
        TokioExecutor::new().execute(async move {
            // Whoever waits for a response is told of the failure.
            let _ = connection.with_upgrades().await;
        });
        Ok(sender)
    }

    /// The response, whose body puts the connection back when it has come to its end.
    fn keeping(
        &self,
        response: Response<Incoming>,
        connection: SendRequest<Body>,
    ) -> Response<Body> {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return response.map(Body::new);
        }
        let idle = Arc::clone(&self.idle);
        response.map(|inner| {
            let mut body = KeptBody {
                inner,
                connection: Some(connection),
                idle,
            };
            body.put_back_at_end();
            Body::new(body)
        })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Endpoint").field(&self.base).finish()
    }
}

impl Idle {
    /// The connection that was used last, of those that are alive and done with their last response.
    fn take(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.lock();
        let mut place = idle.len();
        while place > 0 {
            place -= 1;
            let (connection, since) = &idle[place];
            if connection.is_closed() || since.elapsed() >= IDLE {
                idle.remove(place);
            } else if connection.is_ready() {
                return idle.remove(place).map(|(connection, _)| connection);
            }
        }
        None
    }

    fn put(&self, connection: SendRequest<Body>) {
        if connection.is_closed() {
            return;
        }
        let now = Instant::now();
        let mut idle = self.lock();
        while idle
            .front()
            .is_some_and(|(_, since)| now.duration_since(*since) >= IDLE)
        {
            idle.pop_front();
        }
        idle.push_back((connection, now));
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(SendRequest<Body>, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A response's body. Dropping it before its end closes the connection, and so ends the work.
struct KeptBody {
    inner: Incoming,
    connection: Option<SendRequest<Body>>,
    idle: Arc<Idle>,
}

impl KeptBody {
    fn put_back_at_end(&mut self) {
        if self.inner.is_end_stream() {
            self.put_back();
        }
    }

    fn put_back(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.idle.put(connection);
        }
    }
}

impl HttpBody for KeptBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        match &frame {
            Poll::Ready(None) => self.put_back(),
            // Who knows the length asks no more after the last frame.
            Poll::Ready(Some(Ok(_))) => self.put_back_at_end(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
