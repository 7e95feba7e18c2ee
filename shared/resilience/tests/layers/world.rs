//! A transport on command, and what it saw.

use std::collections::HashMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use touchstone_resilience::layers::{Balanced, CallError, Deadline, Stack, stack};
use touchstone_resilience::upstream::{Config, Upstream};
use touchstone_resilience::{Action, Decision, Monotonic, Observer, Rejected};
use tower::Service;

/// What the transport does with a call.
#[derive(Clone, Copy, Debug)]
pub enum Plan {
    /// Answers 200 with the request's body.
    Echo,
    /// Answers after so long.
    After(Duration),
    /// Answers with a status.
    Status(u16),
    /// Answers with a status and `Retry-After`.
    Later(u16, u64),
    /// No connection.
    Refuse,
    /// The connection breaks before the answer.
    Break,
    /// Never answers.
    Hang,
    /// Answers a first frame and then breaks off.
    BreakOff,
    /// Answers a first frame and then nothing.
    Stall,
    /// Consents to another protocol.
    Upgrade,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("a policy ended the call")]
    Rejected(#[from] Rejected),
    #[error("no connection")]
    Refused,
    #[error("the connection broke")]
    Broken,
}

impl CallError for Error {
    fn rejected(&self) -> Option<&Rejected> {
        match self {
            Self::Rejected(rejected) => Some(rejected),
            _ => None,
        }
    }

    fn never_sent(&self) -> bool {
        match self {
            Self::Rejected(rejected) => rejected.never_sent(),
            Self::Refused => true,
            Self::Broken => false,
        }
    }
}

pub type Body = BoxBody<Bytes, std::io::Error>;

type Planner = Box<dyn FnMut(u64) -> Plan + Send>;

/// A transport that follows plans; clones are the same one.
#[derive(Clone)]
pub struct Server {
    plan: Arc<Mutex<Planner>>,
    pub calls: Arc<AtomicU64>,
    /// Calls that were dropped before their answer.
    pub dropped: Arc<AtomicU64>,
}

impl Server {
    /// Follows the same plan always.
    pub fn always(plan: Plan) -> Self {
        Self::new(move |_| plan)
    }

    /// Follows a plan per call, by its number.
    pub fn new(plan: impl FnMut(u64) -> Plan + Send + 'static) -> Self {
        Self {
            plan: Arc::new(Mutex::new(Box::new(plan))),
            calls: Arc::default(),
            dropped: Arc::default(),
        }
    }

    pub fn then(&self, plan: Plan) {
        self.then_by(move |_| plan);
    }

    pub fn then_by(&self, plan: impl FnMut(u64) -> Plan + Send + 'static) {
        *self.plan.lock().unwrap() = Box::new(plan);
    }

    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }
}

/// Counts a call that ends without an answer.
struct Unanswered(Option<Arc<AtomicU64>>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(dropped) = self.0.take() {
            dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Service<Request<Full<Bytes>>> for Server {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let plan = (self.plan.lock().unwrap())(number);
        let mut unanswered = Unanswered(Some(Arc::clone(&self.dropped)));
        Box::pin(async move {
            let unanswered = &mut unanswered;
            let sent = request.into_body().collect().await.unwrap().to_bytes();
            let answer = |status| {
                let body = Full::new(sent.clone()).map_err(|never: Infallible| match never {});
                let mut response = Response::new(body.boxed());
                *response.status_mut() = StatusCode::from_u16(status).unwrap();
                response
            };
            let answer = match plan {
                Plan::Echo => Ok(answer(200)),
                Plan::After(wait) => {
                    tokio::time::sleep(wait).await;
                    Ok(answer(200))
                }
                Plan::Status(status) => Ok(answer(status)),
                Plan::Later(status, seconds) => {
                    let mut response = answer(status);
                    response.headers_mut().insert("retry-after", seconds.into());
                    Ok(response)
                }
                Plan::Refuse => Err(Error::Refused),
                Plan::Break => Err(Error::Broken),
                Plan::Hang => std::future::pending().await,
                Plan::BreakOff => Ok(Response::new(one_frame(true))),
                Plan::Stall => Ok(Response::new(one_frame(false))),
                Plan::Upgrade => Ok(answer(101)),
            };
            unanswered.0 = None;
            answer
        })
    }
}

fn one_frame(breaks: bool) -> Body {
    let frames = Frames {
        sent: false,
        breaks,
    };
    BodyExt::boxed(StreamBody::new(frames))
}

/// One frame, then an error or nothing ever.
struct Frames {
    sent: bool,
    breaks: bool,
}

impl tokio_stream::Stream for Frames {
    type Item = Result<Frame<Bytes>, std::io::Error>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if !std::mem::replace(&mut self.sent, true) {
            return Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"first")))));
        }
        if self.breaks {
            return Poll::Ready(Some(Err(std::io::Error::other("broke off"))));
        }
        Poll::Pending
    }
}

/// Keeps every decision.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Vec<Decision>>);

impl Observer for Ledger {
    fn decided(&self, decision: Decision) {
        self.0.lock().unwrap().push(decision);
    }
}

impl Ledger {
    pub fn count(&self, action: Action) -> usize {
        let decisions = self.0.lock().unwrap();
        decisions.iter().filter(|one| one.action == action).count()
    }

    /// Counts by policy and action.
    pub fn counts(&self) -> HashMap<(&'static str, Action), usize> {
        let mut counts = HashMap::new();
        for decision in &*self.0.lock().unwrap() {
            *counts
                .entry((decision.policy, decision.action))
                .or_default() += 1;
        }
        counts
    }

    pub fn all(&self) -> Vec<Decision> {
        self.0.lock().unwrap().clone()
    }
}

/// An upstream, its ledger, and all layers around a transport.
pub struct World {
    pub upstream: Upstream,
    pub ledger: Arc<Ledger>,
    pub balanced: Balanced<Server>,
    pub stack: Stack<Server>,
}

pub fn upstream(config: &Config) -> (Upstream, Arc<Ledger>) {
    let ledger = Arc::<Ledger>::default();
    let upstream = Upstream::new("sample", *config, Monotonic::start(), ledger.clone());
    (upstream, ledger)
}

impl World {
    pub fn new(config: &Config, server: &Server) -> Self {
        let (upstream, ledger) = upstream(config);
        Self::around(Balanced::single(upstream, server.clone()), ledger)
    }

    pub fn around(balanced: Balanced<Server>, ledger: Arc<Ledger>) -> Self {
        Self {
            upstream: balanced.upstream().clone(),
            ledger,
            stack: stack(balanced.clone()),
            balanced,
        }
    }

    /// Calls, and reads the answer to its end.
    pub async fn call(&self, request: Request<Full<Bytes>>) -> Result<(u16, Bytes), Error> {
        let response = self.stack.clone().call(request).await?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await;
        Ok((status, body.map_err(|_| Error::Broken)?.to_bytes()))
    }

    pub async fn get(&self) -> Result<u16, Error> {
        Ok(self.call(request(Method::GET, "")).await?.0)
    }
}

pub fn request(method: Method, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body.into()));
    *request.method_mut() = method;
    request
}

/// A request that must be answered within so long.
pub fn within(left: Duration) -> Request<Full<Bytes>> {
    let mut request = request(Method::GET, "");
    let deadline = Deadline(tokio::time::Instant::now() + left);
    request.extensions_mut().insert(deadline);
    request
}

pub const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
