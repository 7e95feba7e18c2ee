//! Reads and searches: answered from what is kept, else by one call for all who ask the same.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt, StreamExt, stream};
use http::header::{ACCEPT, CONTENT_TYPE, IF_MODIFIED_SINCE, IF_NONE_MATCH, RANGE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method};
use http_body::Body as _;
use http_body_util::BodyExt;
use serde_json::Value;
use touchstone_api::headers::DEGRADED;
use touchstone_identity::{Caller, RequestContext};
use touchstone_web::Problem;

use super::entry::{Entry, Fitness, insists, may_be_shared, view};
use super::epochs::ANSWERS;
use super::flight::Joined;
use super::key::Key;
use super::{Fetched, Kept};
use crate::Error;
use crate::error::SharedError;
use crate::gateway::Gateway;
use crate::layers::Exchange;
use crate::metrics::{CacheResult, Rung};
use crate::routes::forward::{Outgoing, passed_on, send};
use crate::routes::table::Class;

/// How an answer came about (RFC 9211).
const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Whether a request may be answered from what is kept.
pub(crate) fn is_cacheable(exchange: &Exchange, parts: &Parts) -> bool {
    let search = exchange.class == Class::Search && exchange.path == "/search";
    let reads = exchange.route.cached && parts.method == Method::GET;
    let wants_events = parts
        .headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/event-stream"));
    (reads || (search && parts.method == Method::POST))
        && !parts.headers.contains_key(RANGE)
        && !wants_events
}

/// Answers a read or a search of `caller`.
pub(crate) async fn cached(
    gateway: &Gateway,
    exchange: &Exchange,
    context: &RequestContext,
    parts: &Parts,
    body: Body,
    caller: &Caller,
) -> Result<Response, Problem> {
    let body = match parts.method {
        Method::GET => None,
        _ => Some(whole(body).await?),
    };
    let asked = Asked {
        gateway,
        exchange,
        parts,
        key: gateway
            .traffic()
            .key(exchange, parts, body.as_deref(), caller),
        body,
    };
    if insists(parts) {
        gateway.metrics().cached(CacheResult::Bypass);
        return asked.alone(context).await;
    }
    let held = asked.held();
    if let Some(entry) = held.as_ref().filter(|entry| asked.is_fresh(entry)) {
        return Ok(asked.respond(entry, CacheResult::Hit));
    }
    let joined = gateway.traffic().flights.join(
        &asked.key,
        || asked.fresh(),
        || asked.call(context.clone(), held),
    );
    let (call, led) = match joined {
        Joined::Needless(entry) => return Ok(asked.respond(&entry, CacheResult::Hit)),
        Joined::Call(call, led) => (call, led),
    };
    let result = if led {
        CacheResult::Miss
    } else {
        CacheResult::Collapsed
    };
    match call.await {
        Fetched::Whole(entry) if entry.is_failure() => match asked.stale() {
            Some(stale) => Ok(asked.respond(&stale, CacheResult::Stale)),
            None => Ok(asked.respond(&entry, result)),
        },
        Fetched::Whole(entry) => Ok(asked.respond(&entry, result)),
        Fetched::ForOne(response) => {
            let mine = response
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            match mine {
                Some(response) => {
                    gateway.metrics().cached(CacheResult::Miss);
                    Ok(passed_on(gateway, exchange, response))
                }
                None => asked.alone(context).await,
            }
        }
        Fetched::Failed(error) => match asked.stale() {
            Some(stale) => Ok(asked.respond(&stale, CacheResult::Stale)),
            None => Err(SharedError(error).into()),
        },
    }
}

/// A request on its way through the cache.
struct Asked<'a> {
    gateway: &'a Gateway,
    exchange: &'a Exchange,
    parts: &'a Parts,
    key: Key,
    body: Option<Bytes>,
}

impl Asked<'_> {
    fn outgoing(&self) -> Outgoing {
        Outgoing::Whole(self.body.clone().unwrap_or_default())
    }

    fn held(&self) -> Option<Arc<Entry>> {
        if touchstone_faults::cache_is_lost() {
            return None;
        }
        self.gateway.traffic().entries.get(&self.key)
    }

    fn fitness(&self, entry: &Entry) -> Fitness {
        let stale = self.gateway.config().cache.stale;
        entry.fitness(&view(self.parts), stale, now(self.gateway))
    }

    fn is_fresh(&self, entry: &Entry) -> bool {
        !entry.is_over(now(self.gateway)) && self.fitness(entry) == Fitness::Fresh
    }

    fn fresh(&self) -> Option<Arc<Entry>> {
        self.held().filter(|entry| self.is_fresh(entry))
    }

    /// What may stand in for a service that fails; what would be fresh may, too.
    fn stale(&self) -> Option<Arc<Entry>> {
        self.held()
            .filter(|entry| self.fitness(entry) != Fitness::Unfit)
    }

    /// Asks the service without company.
    async fn alone(&self, context: &RequestContext) -> Result<Response, Problem> {
        let (gateway, exchange) = (self.gateway, self.exchange);
        let response = send(gateway, exchange, context, self.parts, self.outgoing()).await?;
        Ok(passed_on(gateway, exchange, response))
    }

    fn respond(&self, entry: &Entry, result: CacheResult) -> Response {
        let gateway = self.gateway;
        gateway.metrics().cached(result);
        let kept = matches!(result, CacheResult::Hit | CacheResult::Stale);
        let age = kept.then(|| entry.age(now(gateway)));
        let mut response = entry.respond(self.parts, age);
        let service = self.exchange.route.service;
        let status = HeaderValue::from_static(match result {
            CacheResult::Hit => "gateway; hit",
            CacheResult::Stale => "gateway; hit; detail=stale",
            CacheResult::Collapsed => "gateway; fwd=miss; collapsed",
            CacheResult::Miss | CacheResult::Bypass => "gateway; fwd=miss",
        });
        response.headers_mut().insert(CACHE_STATUS, status);
        if result == CacheResult::Stale {
            let context = self.parts.extensions.get::<RequestContext>();
            let id = context.map(|context| Arc::clone(&context.request_id));
            gateway.degraded(self.exchange, Rung::StaleRead, id);
            response.headers_mut().insert(
                HeaderName::from_static(DEGRADED),
                HeaderValue::from_static(service),
            );
        }
        if service == "auth" {
            crate::compression::never(&mut response);
        }
        response
    }

    /// The call on behalf of all who ask the same. Each of them waits as long as its own deadline
    /// allows; the call itself may take what its class allows. `held` is what is kept already.
    fn call(
        &self,
        context: RequestContext,
        held: Option<Arc<Entry>>,
    ) -> impl Future<Output = Fetched> + Send + 'static {
        let (gateway, exchange) = (self.gateway.clone(), self.exchange.clone());
        let mut parts = copy_of(self.parts);
        // The conditions of one client are not those of the others.
        parts.headers.remove(IF_NONE_MATCH);
        parts.headers.remove(IF_MODIFIED_SINCE);
        let (key, body) = (self.key.clone(), self.outgoing());
        let limit = exchange.class.limits(&gateway.config().classes).deadline;
        let context = RequestContext {
            deadline: None,
            ..context
        }
        .within(limit);
        let work = async move {
            let response = match send(&gateway, &exchange, &context, &parts, body).await {
                Ok(response) => response,
                Err(error) => return Fetched::Failed(Arc::new(error)),
            };
            let (head, body) = response.into_parts();
            let config = &gateway.config().cache;
            if !may_be_shared(&head) {
                return for_one(Response::from_parts(head, body));
            }
            match collect(body, config.answer.as_u64()).await {
                Ok(Collected::Whole(bytes)) => {
                    let now = now(&gateway);
                    if let Some(held) = held.filter(|held| held.is_said_again(&head, &bytes, now)) {
                        return Fetched::Whole(held);
                    }
                    let ttl = ttl(&gateway, &exchange);
                    let entry = Arc::new(Entry::new(&view(&parts), &head, bytes, ttl, now));
                    if entry.is_storable() {
                        gateway.traffic().entries.insert(key, Arc::clone(&entry));
                    }
                    Fetched::Whole(entry)
                }
                Ok(Collected::Longer(body)) => for_one(Response::from_parts(head, body)),
                Err(()) => Fetched::Failed(Arc::new(Error::CutShort(exchange.route.service))),
            }
        };
        // A shared future that panics wakes nobody but whoever drove it.
        let work = AssertUnwindSafe(work).catch_unwind();
        work.map(|fetched| fetched.unwrap_or_else(|_| Fetched::Failed(Arc::new(Error::Panicked))))
    }
}

impl super::Traffic {
    fn key(&self, exchange: &Exchange, parts: &Parts, body: Option<&[u8]>, caller: &Caller) -> Key {
        let epoch = self.epochs.of(caller.tenant, exchange.route.service);
        Key::new(exchange, parts, body, caller, epoch)
    }
}

/// Keeps the answer to a question.
pub(crate) fn remember(
    gateway: &Gateway,
    question: &Value,
    caller: &Caller,
    epoch: u64,
    body: Bytes,
) {
    let traffic = gateway.traffic();
    // What was written meanwhile may have made the answer wrong.
    if traffic.epochs.of(caller.tenant, ANSWERS) == epoch {
        let kept = Kept {
            body,
            at: now(gateway),
        };
        let key = Key::of_question(question, caller, epoch);
        traffic.questions.insert(key, Arc::new(kept));
    }
}

/// The epoch of answers now, to be given back to [`remember`].
pub(crate) fn epoch_of_answers(gateway: &Gateway, caller: &Caller) -> u64 {
    gateway.traffic().epochs.of(caller.tenant, ANSWERS)
}

/// The last answer to a question, if nothing was written since.
pub(crate) fn recall(gateway: &Gateway, question: &Value, caller: &Caller) -> Option<Arc<Kept>> {
    let epoch = epoch_of_answers(gateway, caller);
    let key = Key::of_question(question, caller, epoch);
    let kept = gateway.traffic().questions.get(&key)?;
    let age = now(gateway).duration_since(kept.at).unwrap_or_default();
    (age <= gateway.config().cache.questions).then_some(kept)
}

fn ttl(gateway: &Gateway, exchange: &Exchange) -> Duration {
    let config = &gateway.config().cache;
    match exchange.class {
        Class::Search => config.search,
        _ => config.read,
    }
}

fn now(gateway: &Gateway) -> SystemTime {
    gateway.mesh().clock().now().into()
}

/// What a call needs of a request. What the layers left there is not copied: it is a lot.
fn copy_of(parts: &Parts) -> Parts {
    let (mut copy, ()) = http::Request::new(()).into_parts();
    copy.method = parts.method.clone();
    copy.uri = parts.uri.clone();
    copy.headers = parts.headers.clone();
    if let Some(client) = parts.extensions.get::<ConnectInfo<SocketAddr>>() {
        copy.extensions.insert(*client);
    }
    copy
}

fn for_one(response: Response) -> Fetched {
    Fetched::ForOne(Arc::new(Mutex::new(Some(response))))
}

async fn whole(body: Body) -> Result<Bytes, Error> {
    let collected = body.collect().await.map_err(|_| Error::Incomplete)?;
    Ok(collected.to_bytes())
}

enum Collected {
    Whole(Bytes),
    /// What was read already, and the rest.
    Longer(Body),
}

/// Reads a body as far as `limit`.
async fn collect(mut body: Body, limit: u64) -> Result<Collected, ()> {
    if body.size_hint().lower() > limit {
        return Ok(Collected::Longer(body));
    }
    // Services announce the length, as a rule.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or_default();
    let mut read = BytesMut::with_capacity(announced);
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|_| ())?.into_data() {
            read.extend_from_slice(&data);
        }
        if read.len() as u64 > limit {
            let first = stream::iter([Ok(read.freeze())]);
            let rest = Body::from_stream(first.chain(body.into_data_stream()));
            return Ok(Collected::Longer(rest));
        }
    }
    Ok(Collected::Whole(read.freeze()))
}

/// An answer of generation that may be kept: whole, JSON, and short enough. Gives it back with its
/// bytes if it is.
pub(crate) async fn readable(gateway: &Gateway, response: Response) -> (Response, Option<Bytes>) {
    let json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    if !response.status().is_success() || !json || response.headers().contains_key(DEGRADED) {
        return (response, None);
    }
    let (head, body) = response.into_parts();
    match collect(body, gateway.config().cache.answer.as_u64()).await {
        Ok(Collected::Whole(bytes)) => {
            let whole = Response::from_parts(head, Body::from(bytes.clone()));
            (whole, Some(bytes))
        }
        Ok(Collected::Longer(body)) => (Response::from_parts(head, body), None),
        Err(()) => {
            let problem = Problem::from(Error::CutShort("generation"));
            (problem.into_response(), None)
        }
    }
}
