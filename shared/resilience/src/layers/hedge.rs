use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::UPGRADE;
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::Collect;
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use tower::Service;

use super::{CallError, Hedgeable, Tried};
use crate::decision::{Action, Decision};
use crate::upstream::Upstream;
use crate::{Outcome, Rejected};

/// Starts a second attempt of a call that is later than 95 % of its kind, at another instance if
/// there is one; the first good answer wins, and the other attempt is dropped.
///
/// Only what reads is hedged: a `GET` without a body, and what is [`Hedgeable`] with a body small
/// enough to be kept. An upstream in this process is not: both attempts would wait for the same.
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

    /// How long to wait for the answer before a second attempt; `None` when there shall be none.
    fn wait<B: Body>(&self, request: &Request<B>) -> Option<Duration> {
        let upstream = &self.upstream;
        if upstream.is_local() || !may_hedge(request, upstream.config().retry.body_most) {
            return None;
        }
        let latency = upstream.latency(request.method(), request.uri().path())?;
        upstream.hedge().wait(upstream.now(), &latency)
    }
}

fn may_hedge<B: Body>(request: &Request<B>, body_most: u64) -> bool {
    let body = request.body();
    if request.extensions().get::<Hedgeable>().is_some() {
        return body.size_hint().upper().is_some_and(|n| n <= body_most);
    }
    // An upgrade begins a conversation, which is more than a read.
    *request.method() == Method::GET
        && body.is_end_stream()
        && !request.headers().contains_key(UPGRADE)
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
        let Some(wait) = self.wait(&request) else {
            return HedgedFuture {
                state: State::First {
                    call: self.inner.call(request),
                },
                late: None,
                second: None,
                kept: None,
                inner: self.inner.clone(),
                upstream: self.upstream.clone(),
            };
        };
        let (mut parts, body) = request.into_parts();
        if self.upstream.has_alternatives() {
            parts.extensions.insert(Tried::default());
        }
        let kept = Kept {
            parts,
            body: Bytes::new(),
            wait,
        };
        let (state, late) = if body.is_end_stream() {
            let call = self.inner.call(kept.request());
            (State::First { call }, Some(tokio::time::sleep(wait)))
        } else {
            let body = body.collect();
            (State::Collecting { body }, None)
        };
        HedgedFuture {
            state,
            late,
            second: None,
            kept: Some(Box::new(kept)),
            inner: self.inner.clone(),
            upstream: self.upstream.clone(),
        }
    }
}

/// A request that may be sent a second time.
struct Kept {
    parts: Parts,
    body: Bytes,
    wait: Duration,
}

impl Kept {
    fn request<B: From<Bytes>>(&self) -> Request<B> {
        Request::from_parts(self.parts.clone(), B::from(self.body.clone()))
    }
}

pin_project! {
    /// The call of [`Hedged`].
    pub struct HedgedFuture<S, B: Body, F> {
        #[pin]
        state: State<B, F>,
        #[pin]
        late: Option<Sleep>,
        // Few calls have one: it must not make the others larger.
        second: Option<Pin<Box<F>>>,
        kept: Option<Box<Kept>>,
        inner: S,
        upstream: Upstream,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<B: Body, F> {
        Collecting { #[pin] body: Collect<B> },
        First { #[pin] call: F },
        // The first attempt has failed; the second may still be better.
        Failed,
    }
}

impl<S, B, R> Future for HedgedFuture<S, B, S::Future>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: CallError,
    B: Body<Data = Bytes> + From<Bytes>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let StateProjection::Collecting { body } = this.state.as_mut().project() {
            let collected = ready!(body.poll(context));
            let (Ok(body), Some(kept)) = (collected, this.kept.as_mut()) else {
                // The caller broke off its own request: nothing was sent.
                let upstream = this.upstream.name();
                return Poll::Ready(Err(Rejected::TooLate { upstream }.into()));
            };
            kept.body = body.to_bytes();
            let call = this.inner.call(kept.request());
            this.late.set(Some(tokio::time::sleep(kept.wait)));
            this.state.set(State::First { call });
        }
        if let Some(Poll::Ready(())) = this.late.as_mut().as_pin_mut().map(|s| s.poll(context)) {
            this.late.set(None);
            let kept = this.kept.take();
            *this.second = kept.and_then(|kept| start::<S, B>(this.upstream, this.inner, &kept));
        }
        if let StateProjection::First { call } = this.state.as_mut().project()
            && let Poll::Ready(answer) = call.poll(context)
        {
            if this.second.is_none() || is_good(&answer) {
                return Poll::Ready(answer);
            }
            this.state.set(State::Failed);
        }
        if let Some(second) = this.second
            && let Poll::Ready(answer) = second.as_mut().poll(context)
        {
            let is_last = matches!(this.state.as_mut().project(), StateProjection::Failed);
            if is_last || is_good(&answer) {
                return Poll::Ready(answer);
            }
            *this.second = None;
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

fn start<S, B>(upstream: &Upstream, inner: &mut S, kept: &Kept) -> Option<Pin<Box<S::Future>>>
where
    S: Service<Request<B>>,
    B: From<Bytes>,
{
    let now = upstream.now();
    if !upstream.hedge().may_start(now) {
        return None;
    }
    let request = kept.request();
    let state = "the first attempt is later than 95 %";
    let decision = Decision::new(now, "hedge", upstream.name(), Action::Hedged, state);
    upstream.tell(decision.request_id(super::request_id(&request)));
    Some(Box::pin(inner.call(request)))
}
