use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::Service;

use super::CallError;
use super::attempt::Attempt;
use crate::breaker::Permit;
use crate::decision::{Action, Decision};
use crate::stream::End;
use crate::upstream::{Instance, Upstream};
use crate::{Outcome, Rejected};

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
        let attempt = Attempt::begin(upstream, &self.instance, permit, &request, now);
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
                            let outcome = if error.broken_off_by_caller() {
                                Outcome::Neutral
                            } else {
                                Outcome::FAILURE
                            };
                            attempt.done(outcome);
                        }
                        Poll::Ready(Err(error))
                    }
                }
            }
        }
    }
}

fn watch<R: Body>(mut response: Response<R>, mut attempt: Option<Attempt>) -> Response<Watched<R>> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(connected) = attempt.take().map(Attempt::connected)
    {
        response.extensions_mut().insert(connected);
    }
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
