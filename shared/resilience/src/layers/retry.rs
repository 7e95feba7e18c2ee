use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use http_body_util::combinators::Collect;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep};
use tower::Service;

use super::{AttemptTimeout, Attempts, CallError, Deadline, Repeatable, deadline};
use crate::Rejected;
use crate::decision::{Action, Decision};
use crate::outcome::retry_after;
use crate::upstream::Upstream;

/// Header that makes any request repeatable: the upstream answers it once.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// Repeats calls that failed before the first byte of an answer was handed on.
///
/// Only what may be repeated is: idempotent methods, an `Idempotency-Key`, the [`Repeatable`]
/// extension, or a call of which the upstream saw nothing. Only bodies that are small are kept for
/// it; larger ones pass through as they come. Retries cost the upstream's budget, wait with full
/// jitter, and never begin when the deadline leaves less time than the upstream usually takes.
#[derive(Clone, Debug)]
pub struct Retried<S> {
    upstream: Upstream,
    inner: S,
}

impl<S> Retried<S> {
    /// Repeats calls to `upstream`.
    pub const fn new(upstream: Upstream, inner: S) -> Self {
        Self { upstream, inner }
    }

    /// What is inside.
    pub const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, B, R> Service<Request<B>> for Retried<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: CallError,
    B: Body<Data = Bytes> + From<Bytes>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = RetriedFuture<S, B, S::Future, S::Response, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let upstream = &self.upstream;
        upstream.budget().deposit(upstream.now());
        let size = request.body().size_hint().upper();
        let config = &upstream.config().retry;
        let fits = size.is_some_and(|size| size <= config.body_most);
        let inner = self.inner.clone();
        if config.attempts <= 1 || !fits {
            return RetriedFuture {
                state: State::Calling {
                    call: self.inner.call(request),
                    timeout: None,
                },
                attempt: 1,
                kept: None,
                last: None,
                inner,
                upstream: self.upstream.clone(),
            };
        }
        let may_repeat = may_repeat(&request);
        let (parts, body) = request.into_parts();
        let kept = Kept {
            may_repeat,
            deadline: parts.extensions.get::<Deadline>().copied(),
            parts,
            body: Bytes::new(),
        };
        let state = if body.is_end_stream() {
            State::Begin
        } else {
            State::Collecting {
                body: body.collect(),
            }
        };
        RetriedFuture {
            state,
            attempt: 0,
            kept: Some(kept),
            last: None,
            inner,
            upstream: self.upstream.clone(),
        }
    }
}

/// A request that can be sent again.
struct Kept {
    parts: Parts,
    body: Bytes,
    may_repeat: bool,
    deadline: Option<Deadline>,
}

/// Whether a request does no harm when it is sent twice.
pub(super) fn may_repeat<B>(request: &Request<B>) -> bool {
    let by_method = matches!(
        *request.method(),
        Method::GET | Method::HEAD | Method::OPTIONS | Method::TRACE | Method::PUT | Method::DELETE
    );
    by_method
        || request.headers().contains_key(IDEMPOTENCY_KEY)
        || request.extensions().get::<Repeatable>().is_some()
}

impl Kept {
    /// The request of the next attempt.
    fn request<B: From<Bytes>>(&self, timeout: Option<Duration>) -> Request<B> {
        let now = Instant::now();
        let mut parts = self.parts.clone();
        let left = self.deadline.map(|deadline| deadline.0 - now);
        if let Some(left) = left.into_iter().chain(timeout).min() {
            deadline::tell_left(&mut parts.headers, left);
        }
        if let Some(timeout) = timeout {
            parts.extensions.insert(AttemptTimeout(now + timeout));
        }
        Request::from_parts(parts, B::from(self.body.clone()))
    }
}

pin_project! {
    /// The call of [`Retried`].
    pub struct RetriedFuture<S, B: Body, F, T, E> {
        #[pin]
        state: State<B, F>,
        attempt: u32,
        kept: Option<Kept>,
        // The answer of the attempt before, until the present one has a better one.
        last: Option<Result<T, E>>,
        inner: S,
        upstream: Upstream,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<B: Body, F> {
        Collecting { #[pin] body: Collect<B> },
        Begin,
        Calling { #[pin] call: F, #[pin] timeout: Option<Sleep> },
        Backoff { #[pin] sleep: Sleep },
    }
}

impl<S, B, R> Future for RetriedFuture<S, B, S::Future, S::Response, S::Error>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: CallError,
    B: Body<Data = Bytes> + From<Bytes>,
{
    type Output = Result<Response<R>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProjection::Collecting { body } => {
                    let upstream = this.upstream.name();
                    match (ready!(body.poll(context)), this.kept.as_mut()) {
                        (Ok(body), Some(kept)) => kept.body = body.to_bytes(),
                        // The caller broke off its own request: nothing was sent.
                        _ => return Poll::Ready(Err(Rejected::TooLate { upstream }.into())),
                    }
                    State::Begin
                }
                StateProjection::Begin => {
                    let timeout = this.upstream.config().retry.attempt_timeout;
                    let Some(kept) = this.kept.as_ref() else {
                        return Poll::Pending;
                    };
                    *this.attempt += 1;
                    State::Calling {
                        call: this.inner.call(kept.request(timeout)),
                        timeout: timeout.map(tokio::time::sleep),
                    }
                }
                StateProjection::Backoff { sleep } => {
                    ready!(sleep.poll(context));
                    State::Begin
                }
                StateProjection::Calling { call, timeout } => {
                    let answer = match call.poll(context) {
                        Poll::Ready(answer) => answer,
                        Poll::Pending => match timeout.as_pin_mut() {
                            Some(timeout) => {
                                ready!(timeout.poll(context));
                                let upstream = this.upstream.name();
                                Err(Rejected::TimedOut { upstream }.into())
                            }
                            None => return Poll::Pending,
                        },
                    };
                    let attempt = *this.attempt;
                    let is_refused = is_policy(&answer);
                    if let (true, Some(last)) = (is_refused, this.last.take()) {
                        return Poll::Ready(stamped(last, attempt - 1));
                    }
                    let wait = match this.kept.as_ref() {
                        Some(kept) => another(this.upstream, kept, attempt, &answer),
                        None => None,
                    };
                    let Some(wait) = wait else {
                        return Poll::Ready(stamped(answer, attempt));
                    };
                    *this.last = Some(answer);
                    State::Backoff {
                        sleep: tokio::time::sleep(wait),
                    }
                }
            };
            this.state.set(next);
        }
    }
}

/// Whether a policy of our own answered instead of the upstream.
fn is_policy<T, E: CallError>(answer: &Result<T, E>) -> bool {
    let rejected = answer.as_ref().err().and_then(CallError::rejected);
    rejected.is_some_and(|rejected| !matches!(rejected, Rejected::TimedOut { .. }))
}

fn stamped<R, E>(answer: Result<Response<R>, E>, attempt: u32) -> Result<Response<R>, E> {
    answer.map(|mut response| {
        if attempt > 1 {
            response.extensions_mut().insert(Attempts(attempt));
        }
        response
    })
}

/// Whether the answer asks for another attempt, and after how long.
fn another<R, E: CallError>(
    upstream: &Upstream,
    kept: &Kept,
    attempt: u32,
    answer: &Result<Response<R>, E>,
) -> Option<Duration> {
    let config = &upstream.config().retry;
    let failure = match answer {
        Ok(response) => failure_of(
            upstream,
            kept,
            response.status().as_u16(),
            response.headers(),
        )?,
        Err(error) if error.rejected().is_some() && is_policy(answer) => return None,
        Err(error) if error.never_sent() => "no connection",
        Err(_) if kept.may_repeat => "no answer",
        Err(_) => return None,
    };
    let give_up = |why: &str| {
        tell(upstream, kept, Action::GaveUp, failure, attempt, Some(why));
        None
    };
    if attempt >= config.attempts {
        return give_up("no attempt left");
    }
    let wait = config.backoff.wait(attempt, upstream.draws());
    if let Some(deadline) = kept.deadline {
        let left = deadline.0.saturating_duration_since(Instant::now());
        let latency = upstream.latency(&kept.parts.method, kept.parts.uri.path());
        let usual = latency.and_then(|latency| latency.typical(upstream.now()));
        if left <= wait + usual.unwrap_or_default() {
            return give_up("too little time");
        }
    }
    if !upstream.budget().withdraw(upstream.now()) {
        return give_up("no retry left in the budget");
    }
    tell(upstream, kept, Action::Retried, failure, attempt, None);
    Some(wait)
}

/// The failure that an answer is, if it may be tried again.
fn failure_of(
    upstream: &Upstream,
    kept: &Kept,
    status: u16,
    headers: &HeaderMap,
) -> Option<&'static str> {
    let failure = match status {
        502 => "answered 502",
        503 => "answered 503",
        504 => "answered 504",
        _ => return None,
    };
    // An upstream that wants to be left alone is, unless another instance can help.
    let longest = upstream.config().retry.backoff.most;
    let is_left_alone = retry_after(headers).is_some_and(|wait| wait > longest);
    let may_ask = kept.may_repeat && (!is_left_alone || upstream.has_alternatives());
    may_ask.then_some(failure)
}

fn tell(
    upstream: &Upstream,
    kept: &Kept,
    action: Action,
    failure: &str,
    attempt: u32,
    why: Option<&str>,
) {
    let state = match why {
        Some(why) => format!("attempt {attempt}: {failure}, {why}"),
        None => format!("attempt {attempt}: {failure}"),
    };
    let id = kept.parts.headers.get(touchstone_api::headers::REQUEST_ID);
    let id = id.and_then(|id| id.to_str().ok()).map(Arc::from);
    let decision = Decision::new(upstream.now(), "retry", upstream.name(), action, state);
    upstream.tell(decision.request_id(id));
}
