use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::Service;

use super::{AttemptTimeout, CallError, Deadline};
use crate::breaker::{Change, Permit};
use crate::decision::{Action, Decision};
use crate::ewma::Pending;
use crate::latency::Latency;
use crate::stream::{End, Stream};
use crate::time::Instant;
use crate::upstream::{Instance, Upstream};
use crate::{Outcome, Rejected};

/// One call to one instance, until the end of its answer.
struct Attempt {
    upstream: Upstream,
    instance: Arc<Instance>,
    permit: Permit,
    _pending: Pending,
    latency: Option<Arc<Latency>>,
    stream: Stream,
    started: Instant,
    /// The caller's, and the policy's for this attempt.
    deadline: Option<Instant>,
    timeout: Option<Instant>,
    has_head: bool,
    is_done: bool,
}

impl Attempt {
    fn head(&mut self, status: StatusCode, headers: &HeaderMap) {
        self.has_head = true;
        match Outcome::of_head(status, headers) {
            Outcome::Success | Outcome::Slow | Outcome::Neutral => {}
            told => self.done(told),
        }
    }

    fn frame(&mut self) {
        let now = self.upstream.now();
        let Some(took) = self.stream.frame(now) else {
            return;
        };
        if self.is_done {
            return;
        }
        self.instance.load.observe(now, took);
        if let Some(latency) = &self.latency {
            latency.record(now, took);
        }
        if self.permit.is_probe() {
            let outcome = self.stream.end(now, End::Complete);
            self.report(now, outcome);
        }
    }

    fn end(&mut self, end: End) {
        if end == End::Complete {
            // An answer without a body has its first frame here.
            self.frame();
        }
        if !self.is_done {
            let outcome = self.stream.end(self.upstream.now(), end);
            self.done(outcome);
        }
    }

    fn done(&mut self, outcome: Outcome) {
        self.is_done = true;
        let now = self.upstream.now();
        if matches!(
            outcome,
            Outcome::Failure { .. } | Outcome::Overloaded { .. }
        ) {
            self.instance.load.fail(now);
        }
        self.report(now, outcome);
    }

    fn report(&mut self, now: Instant, outcome: Outcome) {
        let Some(change) = self.permit.report(now, outcome) else {
            return;
        };
        let target = Arc::clone(&self.instance.name);
        let decision = match change {
            Change::Opened { reason, lasts } => {
                Decision::new(now, "breaker", target, Action::Opened, reason.as_str())
                    .holds_for(lasts)
            }
            Change::Closed => Decision::new(
                now,
                "breaker",
                target,
                Action::Closed,
                "the probe succeeded",
            ),
        };
        self.upstream.tell(decision);
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if self.is_done {
            return;
        }
        let now = self.upstream.now();
        // Whoever waited until the deadline did not leave by choice.
        let passed = |end: Option<Instant>| end.is_some_and(|end| now >= end);
        let was_patient = now.since(self.started) >= self.upstream.config().patience;
        let timed_out = passed(self.timeout) || (passed(self.deadline) && was_patient);
        if timed_out && !self.has_head {
            self.done(Outcome::FAILURE);
        } else {
            self.end(End::CallerLeft);
        }
    }
}

/// The breaker of one instance around its transport; also keeps the instance's load, and watches
/// the answer to its end.
#[derive(Clone, Debug)]
pub struct Guarded<S> {
    upstream: Upstream,
    instance: Arc<Instance>,
    inner: S,
}

impl<S> Guarded<S> {
    /// Guards `inner`, which is `instance` of `upstream`.
    pub const fn new(upstream: Upstream, instance: Arc<Instance>, inner: S) -> Self {
        Self {
            upstream,
            instance,
            inner,
        }
    }

    /// The instance.
    pub const fn instance(&self) -> &Arc<Instance> {
        &self.instance
    }

    /// The transport.
    pub const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, B, R> Service<Request<B>> for Guarded<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: CallError,
    R: Body<Data = Bytes>,
{
    type Response = Response<Watched<R>>;
    type Error = S::Error;
    type Future = GuardedFuture<S::Future, S::Error>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let now = self.upstream.now();
        match self.instance.breaker.admit(now) {
            Ok(permit) => self.call_with(permit, request),
            Err(refused) => {
                let retry_after = refused.retry_after;
                let target = Arc::clone(&self.instance.name);
                let state = "open, or waiting for its probe";
                let decision = Decision::new(now, "breaker", target, Action::Rejected, state)
                    .holds_for(retry_after)
                    .request_id(super::request_id(&request));
                self.upstream.tell(decision);
                let rejected = Rejected::BreakerOpen {
                    upstream: self.upstream.name(),
                    retry_after,
                };
                GuardedFuture::rejected(rejected)
            }
        }
    }
}

impl<S> Guarded<S> {
    /// Calls with a permit of this instance's breaker.
    pub(super) fn call_with<B>(
        &mut self,
        permit: Permit,
        request: Request<B>,
    ) -> GuardedFuture<S::Future, S::Error>
    where
        S: Service<Request<B>>,
    {
        let upstream = &self.upstream;
        let now = upstream.now();
        if permit.is_probe() {
            let target = Arc::clone(&self.instance.name);
            let decision = Decision::new(now, "breaker", target, Action::Probed, "half open")
                .request_id(super::request_id(&request));
            upstream.tell(decision);
        }
        let deadline = request.extensions().get::<Deadline>();
        let timeout = request.extensions().get::<AttemptTimeout>();
        let attempt = Attempt {
            instance: Arc::clone(&self.instance),
            permit,
            _pending: self.instance.load.begin(),
            latency: upstream.latency(request.method(), request.uri().path()),
            stream: Stream::start(upstream.config().stream, now),
            started: now,
            deadline: deadline.map(|deadline| upstream.clock().at(deadline.0)),
            timeout: timeout.map(|timeout| upstream.clock().at(timeout.0)),
            has_head: false,
            is_done: false,
            upstream: upstream.clone(),
        };
        GuardedFuture {
            state: State::Calling {
                call: self.inner.call(request),
                attempt: Some(attempt),
            },
        }
    }
}

pin_project! {
    /// The call of [`Guarded`].
    pub struct GuardedFuture<F, E> {
        #[pin]
        state: State<F, E>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<F, E> {
        Rejected { error: Option<E> },
        Calling { #[pin] call: F, attempt: Option<Attempt> },
    }
}

impl<F, E: CallError> GuardedFuture<F, E> {
    pub(super) fn rejected(rejected: Rejected) -> Self {
        let error = Some(rejected.into());
        Self {
            state: State::Rejected { error },
        }
    }
}

impl<F, E, R> Future for GuardedFuture<F, E>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: CallError,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<Watched<R>>, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProjection::Rejected { error } => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                // Polled after its end.
                None => Poll::Pending,
            },
            StateProjection::Calling { call, attempt } => {
                let answer = ready!(call.poll(context));
                let attempt = attempt.take();
                match answer {
                    Ok(response) => Poll::Ready(Ok(watch(response, attempt))),
                    Err(error) => {
                        if let Some(mut attempt) = attempt {
                            attempt.done(Outcome::FAILURE);
                        }
                        Poll::Ready(Err(error))
                    }
                }
            }
        }
    }
}

fn watch<R: Body>(response: Response<R>, mut attempt: Option<Attempt>) -> Response<Watched<R>> {
    if let Some(attempt) = &mut attempt {
        attempt.head(response.status(), response.headers());
        if response.body().is_end_stream() {
            attempt.end(End::Complete);
        }
    }
    response.map(|body| Watched { body, attempt })
}

pin_project! {
    /// The body of an answer that tells its instance's policies how it goes.
    pub struct Watched<B> {
        #[pin]
        body: B,
        attempt: Option<Attempt>,
    }
}

impl<B: Body> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(context));
        if let Some(attempt) = this.attempt {
            match &frame {
                Some(Ok(_)) => attempt.frame(),
                Some(Err(_)) => attempt.end(End::BrokenOff),
                None => attempt.end(End::Complete),
            }
            // Nobody polls a body again that says that it is over.
            if !attempt.is_done && this.body.is_end_stream() {
                attempt.end(End::Complete);
            }
            if attempt.is_done {
                *this.attempt = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
