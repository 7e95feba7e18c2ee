//! The call: a request goes to its service as it came, and the answer comes back as it is.

use std::net::SocketAddr;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, Uri, Version};
use touchstone_client::TransportError;
use touchstone_error::ErrorKind;
use touchstone_identity::{Caller, RequestContext};
use touchstone_resilience::layers::{Deadline, Hedgeable, Repeatable};
use touchstone_web::Problem;

use crate::body::{Dialect, WatchedBody};
use crate::gateway::Gateway;
use crate::layers::Exchange;
use crate::metrics::Forwarded;
use crate::routes::ask;
use crate::routes::table::Class;
use crate::{Error, compression, headers, traffic, websocket};

/// The body of a request.
pub(crate) enum Outgoing {
    /// All of it, so that it can be sent again.
    Whole(Bytes),
    /// As it comes from the client.
    Stream(Body),
}

/// Sends a request to its service. Dropping the future, or the response's body, drops the call.
pub(crate) async fn forward(gateway: &Gateway, request: Request) -> Result<Response, Problem> {
    let (mut parts, body) = request.into_parts();
    let (Some(exchange), Some(context)) = (
        parts.extensions.get::<Exchange>(),
        parts.extensions.get::<RequestContext>(),
    ) else {
        let detail = "the route is not behind its layers";
        return Err(Problem::new(
            ErrorKind::Internal,
            "gateway.no_layers",
            detail,
        ));
    };
    let (exchange, context) = (exchange.clone(), context.clone());
    if websocket::is_upgrade(&parts.method, &parts.headers) {
        return websocket::pass(gateway, &exchange, &context, &mut parts).await;
    }
    let caller = parts.extensions.get::<Caller>().cloned();
    if let Some(caller) = &caller
        && gateway.config().cache.enabled
        && traffic::is_cacheable(&exchange, &parts)
    {
        return traffic::cached(gateway, &exchange, &context, &parts, body, caller).await;
    }
    let service = exchange.route.service;
    let writing = caller
        .as_ref()
        .filter(|_| traffic::is_write(service, &parts.method))
        .map(|caller| gateway.traffic().epochs().write(caller.tenant, service));
    let response = if parts.method == Method::POST && exchange.path == "/ask" {
        ask::ask(gateway, &exchange, &context, &parts, body).await
    } else {
        send(gateway, &exchange, &context, &parts, Outgoing::Stream(body))
            .await
            .map(|response| passed_on(gateway, &exchange, response))
            .map_err(Problem::from)
    };
    drop(writing);
    response
}

/// Calls the service.
pub(crate) async fn send(
    gateway: &Gateway,
    exchange: &Exchange,
    context: &RequestContext,
    parts: &Parts,
    body: Outgoing,
) -> Result<Response, Error> {
    let service = exchange.route.service;
    let body = match body {
        Outgoing::Whole(bytes) => Body::from(bytes),
        Outgoing::Stream(body) => body,
    };
    let request = inner_request(exchange, context, parts, body);
    let response = call(gateway, exchange, context, request).await?;
    // Nobody asked for another protocol.
    if response.status().is_informational() {
        return Err(Error::CutShort(service));
    }
    Ok(response)
}

/// Calls the service with a request that is made for it, within all policies.
pub(crate) async fn call(
    gateway: &Gateway,
    exchange: &Exchange,
    context: &RequestContext,
    mut request: Request,
) -> Result<Response, Error> {
    let service = exchange.route.service;
    let extensions = request.extensions_mut();
    extensions.insert(exchange.class.priority());
    if let Some(deadline) = context.deadline {
        extensions.insert(Deadline(deadline.into()));
    }
    if exchange.class == Class::Search {
        // A search only reads, whatever its method.
        extensions.insert(Repeatable);
        extensions.insert(Hedgeable);
    }
    let started = Instant::now();
    let policies = gateway.policies();
    let response = policies.call(gateway.mesh(), service, request).await;
    let outcome = outcome(response.as_ref());
    gateway
        .metrics()
        .upstream
        .get_or_create(&Forwarded { service, outcome })
        .observe(started.elapsed().as_secs_f64());
    response.map_err(|error| Error::of(service, error))
}

/// The request as its service shall see it.
pub(crate) fn inner_request(
    exchange: &Exchange,
    context: &RequestContext,
    parts: &Parts,
    body: Body,
) -> Request {
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = inner_uri(exchange, parts.uri.query());
    // The address of the connection, never what a header says.
    let client = parts
        .extensions
        .get::<ConnectInfo<SocketAddr>>()
        .map(|info| info.0);
    *request.headers_mut() = headers::of_request(&parts.headers, context, client);
    request
}

/// A service's response as the gateway's own.
pub(crate) fn passed_on(gateway: &Gateway, exchange: &Exchange, response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    // What the service's own layers left there means nothing to ours.
    parts.extensions = http::Extensions::new();
    let dialect = match headers::is_event_stream(&parts.headers) {
        false => Dialect::Plain,
        true if exchange.path.starts_with("/v1/") => Dialect::OpenAi,
        true => Dialect::Events,
    };
    headers::of_response(&mut parts.headers);
    let streams = &gateway.metrics().streams;
    let body = WatchedBody::new(body, dialect, gateway.config().streams, streams);
    let mut response = Response::from_parts(parts, Body::new(body));
    if exchange.route.service == "auth" {
        compression::never(&mut response);
    }
    response
}

fn inner_uri(exchange: &Exchange, query: Option<&str>) -> Uri {
    let text = match query {
        Some(query) => format!("{}?{query}", exchange.path),
        None => exchange.path.clone(),
    };
    // Path and query were parts of a valid URI a moment ago.
    text.parse().unwrap_or_default()
}

fn outcome(response: Result<&Response, &TransportError>) -> &'static str {
    match response.map(|response| response.status().as_u16()) {
        Ok(100..=199) => "1xx",
        Ok(200..=299) => "2xx",
        Ok(300..=399) => "3xx",
        Ok(400..=499) => "4xx",
        Ok(_) => "5xx",
        Err(_) => "none",
    }
}
