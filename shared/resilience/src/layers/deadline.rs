use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use touchstone_api::headers::DEADLINE;
use tower::Service;

use super::{CallError, Deadline};
use crate::Rejected;
use crate::decision::{Action, Decision};
use crate::upstream::Upstream;

/// Ends calls at their deadline (the [`Deadline`] extension, else the header of the deployment), and
/// refuses calls at once that have less time left than their target usually takes. The deadline
/// bounds the wait for the head of the answer; a stream bounds itself.
#[derive(Clone, Debug)]
pub struct Deadlined<S> {
    upstream: Upstream,
    inner: S,
}

impl<S> Deadlined<S> {
    /// Keeps deadlines of calls to `upstream`.
    pub const fn new(upstream: Upstream, inner: S) -> Self {
        Self { upstream, inner }
    }

    /// What is inside.
    pub const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, B> Service<Request<B>> for Deadlined<S>
where
    S: Service<Request<B>>,
    S::Error: CallError,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = DeadlinedFuture<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let upstream = self.upstream.clone();
        let extension = request.extensions().get::<Deadline>().copied();
        let Some(deadline) = extension.or_else(|| of_header(request.headers())) else {
            return DeadlinedFuture {
                call: Some(self.inner.call(request)),
                sleep: None,
                upstream,
            };
        };
        let left = deadline
            .0
            .saturating_duration_since(tokio::time::Instant::now());
        if is_too_late(&upstream, &request, left) {
            return DeadlinedFuture {
                call: None,
                sleep: None,
                upstream,
            };
        }
        tell_left(request.headers_mut(), left);
        request.extensions_mut().insert(deadline);
        DeadlinedFuture {
            call: Some(self.inner.call(request)),
            sleep: Some(tokio::time::sleep_until(deadline.0)),
            upstream,
        }
    }
}

fn of_header(headers: &HeaderMap) -> Option<Deadline> {
    let millis = headers.get(DEADLINE)?.to_str().ok()?.parse().ok()?;
    let deadline = tokio::time::Instant::now().checked_add(Duration::from_millis(millis))?;
    Some(Deadline(deadline))
}

/// Tells the next hop how much time is left.
pub(super) fn tell_left(headers: &mut HeaderMap, left: Duration) {
    let millis = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
    headers.insert(DEADLINE, HeaderValue::from(millis));
}

fn is_too_late<B>(upstream: &Upstream, request: &Request<B>, left: Duration) -> bool {
    let now = upstream.now();
    let latency = upstream.latency(request.method(), request.uri().path());
    let usual = latency.and_then(|latency| latency.typical(now));
    let usual = usual.unwrap_or_default();
    if !left.is_zero() && left >= usual {
        return false;
    }
    let state = format!(
        "{} ms left, {} ms usual",
        left.as_millis(),
        usual.as_millis()
    );
    let decision = Decision::new(now, "deadline", upstream.name(), Action::Expired, state)
        .request_id(super::request_id(request));
    upstream.tell(decision);
    true
}

pin_project! {
    /// The call of [`Deadlined`].
    pub struct DeadlinedFuture<F> {
        // `None` when it is too late to begin.
        #[pin]
        call: Option<F>,
        #[pin]
        sleep: Option<Sleep>,
        upstream: Upstream,
    }
}

impl<F, T, E> Future for DeadlinedFuture<F>
where
    F: Future<Output = Result<T, E>>,
    E: CallError,
{
    type Output = Result<T, E>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let upstream = this.upstream;
        let Some(call) = this.call.as_mut().as_pin_mut() else {
            let upstream = upstream.name();
            return Poll::Ready(Err(Rejected::TooLate { upstream }.into()));
        };
        if let Poll::Ready(answer) = call.poll(context) {
            return Poll::Ready(answer);
        }
        match this.sleep.as_pin_mut().map(|sleep| sleep.poll(context)) {
            Some(Poll::Ready(())) => {
                let (now, target) = (upstream.now(), upstream.name());
                let state = "no answer until the deadline";
                upstream.tell(Decision::new(
                    now,
                    "deadline",
                    target,
                    Action::Expired,
                    state,
                ));
                let upstream = upstream.name();
                Poll::Ready(Err(Rejected::TimedOut { upstream }.into()))
            }
            _ => Poll::Pending,
        }
    }
}
