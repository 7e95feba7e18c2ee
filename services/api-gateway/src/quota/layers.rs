//! The two limiters among the layers.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use http::Method;
use http::request::Parts;
use http_body_util::BodyExt;
use touchstone_cache::quota::{Closed, Decision, Policy, Verdict};
use touchstone_identity::{Caller, RequestContext};
use touchstone_resilience::Action;
use touchstone_web::Problem;
use uuid::fmt::Hyphenated;

use super::headers::{add, closed, denied, exceeded};
use super::meter::{Budget, MeteredBody, estimate, reserve};
use super::{Quotas, items};
use crate::Error;
use crate::address::Place;
use crate::chain::Next;
use crate::gateway::Gateway;
use crate::headers::is_event_stream;
use crate::layers::Exchange;
use crate::routes::table::Class;

/// Limits requests by the address that they come from, before anything else is spent on them.
pub(crate) async fn by_address(
    gateway: &Gateway,
    mut request: Request,
    next: Next<'_>,
) -> Result<Response, Problem> {
    admit_address(gateway, &mut request)?;
    Ok(next.run(request).await)
}

/// Lets a request of this address pass, or not; from here on the request's address is the client's,
/// not its proxy's.
pub(crate) fn admit_address(gateway: &Gateway, request: &mut Request) -> Result<(), Problem> {
    let quotas = gateway.quotas();
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let peer = peer.map(|peer| peer.0);
    let client = quotas.proxies.client(peer, request.headers());
    let port = peer.map_or(0, |peer| peer.port());
    match client {
        Some(client) => {
            let info = ConnectInfo(SocketAddr::new(client, port));
            request.extensions_mut().insert(info);
        }
        None => {
            request.extensions_mut().remove::<ConnectInfo<SocketAddr>>();
        }
    }
    let place = Place::of(client);
    if let Err(wait) = quotas.pass(place) {
        quotas.metrics.denied("address");
        let extensions = request.extensions();
        // The gateway's own paths are read, more or less.
        let exchange = extensions.get::<Exchange>();
        let class = exchange.map_or(Class::Read, |exchange| exchange.class);
        let context = extensions.get::<RequestContext>();
        let request = context.map(|context| (class, Some(wait), Arc::clone(&context.request_id)));
        let target = place.to_string().into();
        quotas.note(Action::Denied, "quota.address", target, "used up", request);
        return Err(exceeded("address", Some(wait)));
    }
    request.extensions_mut().insert(place);
    Ok(())
}

/// Limits requests by who makes them, after the credential was verified; anonymous ones by address.
pub(crate) async fn by_subject(
    gateway: &Gateway,
    request: Request,
    next: Next<'_>,
) -> Result<Response, Problem> {
    let quotas = gateway.quotas();
    let (parts, body) = request.into_parts();
    let known = (
        parts.extensions.get::<Exchange>().cloned(),
        parts.extensions.get::<RequestContext>().cloned(),
    );
    let (Some(exchange), Some(context)) = known else {
        // The next layer tells of the defect.
        return Ok(next.run(Request::from_parts(parts, body)).await);
    };
    let caller = parts.extensions.get::<Caller>();
    let live = quotas.live();
    let plan = quotas.plan_of(&live, caller.map(|caller| caller.tenant));
    let visit = Visit {
        quotas,
        subject: subject(&parts, caller),
        exchange: &exchange,
        context: &context,
    };
    let policy = live.plans.requests(plan, exchange.class);
    let (body, decision) = match policy {
        None => (body, None),
        Some(policy) => {
            let (body, decision) = visit.requests(policy, &parts, body).await?;
            (body, Some((policy, decision)))
        }
    };
    let (body, budget) = match live.plans.tokens(plan) {
        Some(policy) if is_generation(&exchange, &parts) => {
            let (body, budget) = visit.tokens(policy, body).await?;
            (body, Some(budget))
        }
        _ => (body, None),
    };
    let response = next.run(Request::from_parts(parts, body)).await;
    let mut response = match budget {
        None => response,
        Some(budget) => metered(response, budget, exchange.path.starts_with("/v1/")),
    };
    if let Some((policy, decision)) = decision {
        add(response.headers_mut(), policy, &decision);
    }
    Ok(response)
}

/// One request before the limiter.
struct Visit<'a> {
    quotas: &'a Quotas,
    subject: Arc<str>,
    exchange: &'a Exchange,
    context: &'a RequestContext,
}

impl Visit<'_> {
    /// Charges the request, or each of its items.
    async fn requests(
        &self,
        policy: &Policy,
        parts: &Parts,
        body: Body,
    ) -> Result<(Body, Decision), Problem> {
        // One unit first: who has none left is not read to the end.
        let first = self.charge(policy, 1, 1).await?;
        if !is_batch(self.exchange, parts) {
            return Ok((body, first));
        }
        let collected = match body.collect().await {
            Ok(collected) => collected.to_bytes(),
            // Too large, or broken off; the layers outside know which.
            Err(_) => return Err(Error::Incomplete.into()),
        };
        let items = items::count(&collected);
        let body = Body::from(collected);
        if items <= 1 {
            return Ok((body, first));
        }
        // What is more than a limit never passes, whatever is left of it.
        let least = policy.windows().map(|window| window.limit).min();
        let never = least.is_some_and(|least| items > u64::from(least));
        let rest = if never { items } else { items - 1 };
        match self.charge(policy, rest, items).await {
            Ok(decision) => Ok((body, decision)),
            Err(refusal) => {
                // All of a batch, or nothing of it.
                if let Some(receipt) = first.receipt {
                    let store = self.quotas.store();
                    store.refund(&self.subject, policy, receipt, 1).await;
                }
                Err(refusal)
            }
        }
    }

    /// Reserves the tokens that the request will probably take.
    async fn tokens(&self, policy: &Arc<Policy>, body: Body) -> Result<(Body, Budget), Problem> {
        let collected = body.collect().await.map_err(|_| Error::Incomplete)?;
        let body = collected.to_bytes();
        let tokens = estimate(&body);
        let store = Arc::clone(&self.quotas.store);
        let reserved = reserve(&*store, &self.subject, policy, tokens).await;
        let (decision, granted) = reserved.map_err(|away| self.closed(away))?;
        let Some(receipt) = decision.receipt else {
            return Err(self.denied(policy, &decision, tokens));
        };
        let budget = Budget {
            store,
            life: self.quotas.life.clone(),
            subject: Arc::clone(&self.subject),
            policy: Arc::clone(policy),
            reserved: vec![(receipt, granted)],
        };
        Ok((Body::from(body), budget))
    }

    /// Charges `cost` of a request that costs `whole` in all.
    async fn charge(&self, policy: &Policy, cost: u64, whole: u64) -> Result<Decision, Problem> {
        let decision = self.quotas.store.charge(&self.subject, policy, cost).await;
        let decision = decision.map_err(|away| self.closed(away))?;
        if decision.verdict.is_admitted() {
            return Ok(decision);
        }
        Err(self.denied(policy, &decision, whole))
    }

    fn denied(&self, policy: &Policy, decision: &Decision, cost: u64) -> Problem {
        self.quotas.metrics.denied(self.exchange.class.name());
        let problem = denied(policy, decision, cost);
        let holds = match decision.verdict {
            Verdict::Denied { retry_after, .. } => retry_after,
            Verdict::Admitted => None,
        };
        let state = format!("{} by {:?}", policy.name, decision.tier);
        self.note(Action::Denied, state, holds);
        let mut headers = http::HeaderMap::new();
        add(&mut headers, policy, decision);
        problem.headers(headers)
    }

    fn closed(&self, away: Closed) -> Problem {
        self.quotas.metrics.denied("closed");
        let wait = Some(away.retry_after);
        self.note(Action::Rejected, "the store is away", wait);
        closed(away.retry_after)
    }

    /// Writes into the ledger what became of it.
    fn note(&self, action: Action, state: impl Into<Cow<'static, str>>, holds: Option<Duration>) {
        let id = Arc::clone(&self.context.request_id);
        let request = Some((self.exchange.class, holds, id));
        let subject = Arc::clone(&self.subject);
        self.quotas
            .note(action, "quota.subject", subject, state, request);
    }
}

/// Counts the tokens of an answer on its way.
fn metered(response: Response, budget: Budget, openai: bool) -> Response {
    if !response.status().is_success() {
        // Nothing was generated.
        budget.settle(0);
        return response;
    }
    let (parts, body) = response.into_parts();
    let events = is_event_stream(&parts.headers);
    let body = MeteredBody::new(body, budget, events, openai);
    Response::from_parts(parts, Body::new(body))
}

/// Who is charged: a user of a tenant, whichever of its credentials is shown, or an address.
fn subject(parts: &Parts, caller: Option<&Caller>) -> Arc<str> {
    match caller {
        Some(caller) => user(&caller.tenant, &caller.user),
        None => {
            let place = parts.extensions.get::<Place>().copied();
            address(place.unwrap_or(Place::Unknown))
        }
    }
}

/// The subject of a user.
pub(crate) fn user(
    tenant: &touchstone_types::TenantId,
    user: &touchstone_types::UserId,
) -> Arc<str> {
    let mut id = [0; Hyphenated::LENGTH];
    let mut text = String::with_capacity(2 * Hyphenated::LENGTH + 1);
    text.push_str(tenant.as_uuid().as_hyphenated().encode_lower(&mut id));
    text.push('|');
    text.push_str(user.as_uuid().as_hyphenated().encode_lower(&mut id));
    text.into()
}

/// The subject of an address.
pub(crate) fn address(place: Place) -> Arc<str> {
    format!("address|{place}").into()
}

/// Requests whose body may have many items.
fn is_batch(exchange: &Exchange, parts: &Parts) -> bool {
    exchange.class == Class::Vectors && matches!(parts.method, Method::POST | Method::PUT)
}

/// Requests that a language model works for.
fn is_generation(exchange: &Exchange, parts: &Parts) -> bool {
    exchange.class == Class::Generate && parts.method == Method::POST
}
