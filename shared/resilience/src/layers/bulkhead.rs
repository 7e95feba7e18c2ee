mod places;

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Sleep;
use touchstone_api::headers::FAILED_BELOW;
use tower::Service;

use places::{Entry, Waiting};
pub use places::{Place, Places};

use super::{Attempts, CallError, Deadline};
use crate::decision::{Action, Decision};
use crate::limit::Sample;
use crate::upstream::Upstream;
use crate::{Class, Rejected};

/// Gives every call a place in its upstream's bulkhead, by the [`Class`] extension of the request.
/// The place is kept until the end of the answer's body, or until that is dropped. With an adaptive
/// limit, the time to the first frame of the body is its sample.
#[derive(Clone, Debug)]
pub struct Bulkheaded<S> {
    upstream: Upstream,
    inner: S,
}

impl<S> Bulkheaded<S> {
    /// Bounds calls to `upstream`.
    pub const fn new(upstream: Upstream, inner: S) -> Self {
        Self { upstream, inner }
    }

    /// What is inside.
    pub const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S, B, R> Service<Request<B>> for Bulkheaded<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: CallError,
    R: Body<Data = Bytes>,
{
    type Response = Response<Held<R>>;
    type Error = S::Error;
    type Future = BulkheadedFuture<S, B, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let class = request.extensions().get::<Class>().copied();
        let class = class.unwrap_or_default();
        let deadline = request.extensions().get::<Deadline>().copied();
        let state = match self.upstream.places().enter(class) {
            Entry::Place(mut place) => {
                place.until(deadline);
                State::Calling {
                    call: self.inner.call(request),
                    place: Some(place),
                }
            }
            Entry::Waiting(waiting) => State::Waiting {
                sleep: tokio::time::sleep(waiting.left()),
                waiting: Some(waiting),
                todo: Some((self.inner.clone(), request)),
            },
            Entry::Full => State::Shed {
                id: super::request_id(&request),
            },
        };
        BulkheadedFuture {
            state,
            class,
            upstream: self.upstream.clone(),
        }
    }
}

pin_project! {
    /// The call of [`Bulkheaded`].
    pub struct BulkheadedFuture<S, B, F> {
        #[pin]
        state: State<S, B, F>,
        class: Class,
        upstream: Upstream,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B, F> {
        Waiting {
            #[pin]
            sleep: Sleep,
            waiting: Option<Waiting>,
            todo: Option<(S, Request<B>)>,
        },
        Calling { #[pin] call: F, place: Option<Place> },
        Shed { id: Option<std::sync::Arc<str>> },
    }
}

impl<S, B, R> Future for BulkheadedFuture<S, B, S::Future>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: CallError,
    R: Body<Data = Bytes>,
{
    type Output = Result<Response<Held<R>>, S::Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProjection::Waiting {
                    sleep,
                    waiting,
                    todo,
                } => {
                    let place = match waiting.as_mut() {
                        Some(waiting) => waiting.poll_place(context),
                        None => Poll::Ready(None),
                    };
                    let granted = match place {
                        Poll::Ready(place) => place,
                        Poll::Pending if sleep.poll(context).is_pending() => return Poll::Pending,
                        // Shed, unless the place came at this very moment.
                        Poll::Pending => waiting.take().and_then(Waiting::give_up),
                    };
                    match (granted, todo.take()) {
                        (Some(mut place), Some((mut inner, request))) => {
                            place.until(request.extensions().get::<Deadline>().copied());
                            State::Calling {
                                call: inner.call(request),
                                place: Some(place),
                            }
                        }
                        (_, Some((_, request))) => State::Shed {
                            id: super::request_id(&request),
                        },
                        _ => State::Shed { id: None },
                    }
                }
                StateProjection::Calling { call, place } => {
                    let answer = ready!(call.poll(context));
                    let place = place.take();
                    return Poll::Ready(match answer {
                        Ok(response) => Ok(hold(response, place)),
                        Err(error) => {
                            let refused = matches!(
                                error.rejected(),
                                Some(Rejected::TimedOut { .. } | Rejected::Overloaded { .. })
                            );
                            if let (true, Some(mut place)) = (refused, place) {
                                place.sample(Sample::Refused);
                            }
                            Err(error)
                        }
                    });
                }
                StateProjection::Shed { id } => {
                    let id = id.take();
                    return Poll::Ready(Err(shed(this.upstream, *this.class, id).into()));
                }
            };
            this.state.set(next);
        }
    }
}

fn shed(upstream: &Upstream, class: Class, id: Option<std::sync::Arc<str>>) -> Rejected {
    let (bulkhead, _) = upstream.places().snapshot();
    let in_flight: u32 = bulkhead.in_flight.iter().sum();
    let queued: u32 = bulkhead.queued.iter().sum();
    let state = format!("{in_flight} of {} in flight, {queued} wait", bulkhead.limit);
    let second = std::time::Duration::from_secs(1);
    let retry_after = upstream.draws().around(second, 0.5);
    let decision = Decision::new(
        upstream.now(),
        "bulkhead",
        upstream.name(),
        Action::Shed,
        state,
    )
    .class(class)
    .holds_for(retry_after)
    .request_id(id);
    upstream.tell(decision);
    Rejected::Overloaded {
        upstream: upstream.name(),
        class,
        retry_after,
    }
}

fn hold<R: Body>(response: Response<R>, place: Option<Place>) -> Response<Held<R>> {
    let retried = response.extensions().get::<Attempts>();
    let was_retried = retried.is_some_and(|attempts| attempts.0 > 1);
    let sample = match response.status() {
        // How much another service can take says nothing of this one.
        _ if response.headers().contains_key(FAILED_BELOW) => Some(Sample::Nothing),
        StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::GATEWAY_TIMEOUT => Some(Sample::Refused),
        status if status.is_success() && !was_retried => None,
        _ => Some(Sample::Nothing),
    };
    let over = response.body().is_end_stream();
    response.map(|body| {
        let mut held = Held {
            body,
            place,
            awaits_first: sample.is_none(),
        };
        if let Some(place) = &mut held.place {
            match sample {
                Some(sample) => place.sample(sample),
                None if over => place.first_frame(),
                None => {}
            }
        }
        if over {
            held.place = None;
        }
        held
    })
}

pin_project! {
    /// The body of an answer that keeps its call's place.
    pub struct Held<B> {
        #[pin]
        body: B,
        place: Option<Place>,
        awaits_first: bool,
    }
}

impl<B: Body> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.body.as_mut().poll_frame(context));
        if let (Some(place), true, Some(Ok(_))) = (&mut this.place, *this.awaits_first, &frame) {
            place.first_frame();
            *this.awaits_first = false;
        }
        let goes_on = matches!(frame, Some(Ok(_))) && !this.body.is_end_stream();
        if !goes_on {
            *this.place = None;
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
