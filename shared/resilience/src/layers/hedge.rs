use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower::Service;

use super::CallError;
use crate::Outcome;
use crate::decision::{Action, Decision};
use crate::upstream::Upstream;

/// Starts a second attempt of a `GET` without a body that is later than 95 % of its kind; the first
/// good answer wins, and the other attempt is dropped.
#[derive(Clone, Debug)]
pub struct Hedged<S> {
    upstream: Upstream,
    inner: S,
}

impl<S> Hedged<S> {
    /// Hedges calls to `upstream`.
    pub const fn new(upstream: Upstream, inner: S) -> Self {
        Self { upstream, inner }
    }

    /// What is inside.
    pub const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, B, R> Service<Request<B>> for Hedged<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: CallError,
    B: Body<Data = Bytes> + From<Bytes>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = HedgedFuture<S, B, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let upstream = &self.upstream;
        let may_hedge = request.method() == Method::GET && request.body().is_end_stream();
        let wait = if may_hedge {
            let latency = upstream.latency(request.method(), request.uri().path());
            latency.and_then(|latency| upstream.hedge().wait(upstream.now(), &latency))
        } else {
            None
        };
        let Some(wait) = wait else {
            return HedgedFuture {
                first: Some(self.inner.call(request)),
                second: None,
                late: None,
                again: None,
                inner: self.inner.clone(),
                upstream: upstream.clone(),
            };
        };
        let (parts, body) = request.into_parts();
        let again = Request::from_parts(parts.clone(), B::from(Bytes::new()));
        HedgedFuture {
            first: Some(self.inner.call(Request::from_parts(parts, body))),
            second: None,
            late: Some(tokio::time::sleep(wait)),
            again: Some(again),
            inner: self.inner.clone(),
            upstream: upstream.clone(),
        }
    }
}

pin_project! {
    /// The call of [`Hedged`].
    pub struct HedgedFuture<S, B, F> {
        // Each attempt until it has ended.
        #[pin]
        first: Option<F>,
        #[pin]
        second: Option<F>,
        #[pin]
        late: Option<Sleep>,
        again: Option<Request<B>>,
        inner: S,
        upstream: Upstream,
    }
}

impl<S, B, R> Future for HedgedFuture<S, B, S::Future>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: CallError,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(Poll::Ready(())) = this.late.as_mut().as_pin_mut().map(|s| s.poll(context)) {
            this.late.set(None);
            let again = this.again.take();
            let second = again.and_then(|request| start(this.upstream, this.inner, request));
            this.second.set(second);
        }
        let mut attempts = [this.first, this.second];
        for n in 0..attempts.len() {
            let call = attempts[n].as_mut().as_pin_mut();
            let Some(Poll::Ready(answer)) = call.map(|call| call.poll(context)) else {
                continue;
            };
            attempts[n].set(None);
            let is_last = attempts.iter().all(|attempt| attempt.is_none());
            if is_last || is_good(&answer) {
                return Poll::Ready(answer);
            }
            // The other attempt may still be better.
        }
        Poll::Pending
    }
}

fn is_good<R, E>(answer: &Result<Response<R>, E>) -> bool {
    let outcome = answer
        .as_ref()
        .map(|response| Outcome::of_head(response.status(), response.headers()));
    matches!(outcome, Ok(Outcome::Success | Outcome::Refused))
}

fn start<S, B>(upstream: &Upstream, inner: &mut S, request: Request<B>) -> Option<S::Future>
where
    S: Service<Request<B>>,
{
    let now = upstream.now();
    if !upstream.hedge().may_start(now) {
        return None;
    }
    let state = "the first attempt is later than 95 %";
    let decision = Decision::new(now, "hedge", upstream.name(), Action::Hedged, state);
    upstream.tell(decision.request_id(super::request_id(&request)));
    Some(inner.call(request))
}
