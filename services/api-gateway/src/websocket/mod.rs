//! WebSockets: judged before the upgrade, passed through byte by byte after it.

mod config;
mod frames;
mod splice;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::header::{AUTHORIZATION, CONNECTION, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use touchstone_api::headers::API_KEY;
use touchstone_client::Upgrades;
use touchstone_identity::{Error as IdentityError, RequestContext};
use touchstone_resilience::Action;
use touchstone_resilience::layers::Connected;
use touchstone_web::Problem;
use uuid::Uuid;

use crate::Error;
use crate::gateway::Gateway;
use crate::layers::Exchange;
use crate::routes::forward::{call, inner_request, passed_on};
pub use config::WebSocketConfig;
use splice::{End, Patience, splice};

/// Protocol that a client offers next to a credential, so that the server has one to choose:
/// browsers give up when it chooses none.
const PROTOCOL: &str = "touchstone";
/// What a credential begins with among the protocols. Browsers cannot set other headers.
const BEARER: &str = "bearer.";
/// Times in a row that a credential may fail to be judged.
const UNJUDGED: u32 = 3;

/// Places for connections.
#[derive(Clone, Debug)]
pub(crate) struct Places(Arc<Semaphore>);

impl Places {
    pub fn new(config: &WebSocketConfig) -> Self {
        Self(Arc::new(Semaphore::new(config.connections)))
    }

    fn take(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.0)
            .try_acquire_owned()
            .map_err(|_| Error::TooManyWebSockets)
    }
}

/// Whether a request asks for a WebSocket.
pub(crate) fn is_upgrade(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::GET
        && tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
        && tokens(headers, &UPGRADE).any(|token| token.eq_ignore_ascii_case("websocket"))
}

/// Puts a credential among the protocols where credentials belong.
pub(crate) fn take_credential(headers: &mut HeaderMap) {
    let protocols: Vec<String> = tokens(headers, &SEC_WEBSOCKET_PROTOCOL)
        .map(str::to_owned)
        .collect();
    let (credentials, rest): (Vec<_>, Vec<_>) = protocols
        .into_iter()
        .partition(|protocol| protocol.starts_with(BEARER));
    let Some(credential) = credentials.first() else {
        return;
    };
    headers.remove(SEC_WEBSOCKET_PROTOCOL);
    if let Ok(rest) = HeaderValue::from_str(&rest.join(", "))
        && !rest.is_empty()
    {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, rest);
    }
    // A header that can only be a credential comes first.
    if !headers.contains_key(AUTHORIZATION) && !headers.contains_key(API_KEY) {
        let value = format!("Bearer {}", &credential[BEARER.len()..]);
        if let Ok(mut value) = HeaderValue::from_str(&value) {
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
    }
}

/// Connects a client with its service.
pub(crate) async fn pass(
    gateway: &Gateway,
    exchange: &Exchange,
    context: &RequestContext,
    parts: &mut Parts,
) -> Result<Response, Problem> {
    check_origin(gateway, parts)?;
    let place = gateway.web_sockets().take().inspect_err(|_| {
        let (target, id) = (exchange.route.service.into(), context.request_id.clone());
        let most = gateway.config().websocket.connections;
        let state = format!("{most} of {most} are open");
        let request = Some((exchange.class, None, id));
        gateway
            .quotas()
            .note(Action::Shed, "websocket.places", target, state, request);
    })?;
    let client = parts
        .extensions
        .remove::<OnUpgrade>()
        .ok_or(Error::NoUpgrade)?;
    let mut request = inner_request(exchange, context, parts, Body::empty());
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));

    let life = gateway.life().clone();
    let upgrades = Upgrades::new(move |name, task| life.spawn_for_client(name, task));
    request.extensions_mut().insert(upgrades);

    let mut response = call(gateway, exchange, context, request).await?;
    if response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(passed_on(gateway, exchange, response));
    }
    let upstream = hyper::upgrade::on(&mut response);
    let call = response.extensions_mut().remove::<Connected>();
    let connection = Connection {
        gateway: gateway.clone(),
        credential: credential(&parts.headers),
        context: RequestContext {
            deadline: None,
            ..context.clone()
        },
        call,
        _place: place,
    };
    gateway
        .life()
        .spawn_for_client("websocket", connection.run(client, upstream));
    Ok(accepted(response, &parts.headers))
}

/// The service's consent as ours.
fn accepted(response: Response, asked: &HeaderMap) -> Response {
    let (mut head, _) = response.into_parts();
    head.extensions = http::Extensions::new();
    crate::headers::strip_hop_by_hop(&mut head.headers);
    head.headers
        .insert(CONNECTION, HeaderValue::from_static("upgrade"));
    head.headers
        .insert(UPGRADE, HeaderValue::from_static("websocket"));
    let offered = tokens(asked, &SEC_WEBSOCKET_PROTOCOL).any(|protocol| protocol == PROTOCOL);
    if offered && !head.headers.contains_key(SEC_WEBSOCKET_PROTOCOL) {
        head.headers
            .insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(PROTOCOL));
    }
    Response::from_parts(head, Body::empty())
}

/// Pages of other origins may not speak in the name of who looks at them: browsers do not ask
/// before they open a WebSocket.
fn check_origin(gateway: &Gateway, parts: &Parts) -> Result<(), Error> {
    let Some(origin) = parts.headers.get(ORIGIN) else {
        return Ok(());
    };
    let listed = gateway.origins().contains(origin)
        || gateway
            .config()
            .cors
            .origins
            .iter()
            .any(|listed| listed == "*");
    let own = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.parse::<Uri>().ok()?.authority().cloned())
        .is_some_and(|authority| {
            parts
                .headers
                .get(HOST)
                .is_some_and(|host| host.as_bytes() == authority.as_str().as_bytes())
        });
    if listed || own {
        Ok(())
    } else {
        Err(Error::Origin)
    }
}

/// A connection that is open.
struct Connection {
    gateway: Gateway,
    credential: Option<String>,
    context: RequestContext,
    /// The call that it began as, which is waiting to hear how it went.
    call: Option<Connected>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    async fn run(self, client: OnUpgrade, upstream: OnUpgrade) {
        let open = gauge(&self.gateway);
        // The client's side is upgraded once the consent has been written.
        let (Ok(client), Ok(upstream)) = futures_util::join!(client, upstream) else {
            return;
        };
        let config = self.gateway.config().websocket;
        let patience = Patience {
            idle: config.idle,
            farewell: config.farewell,
        };
        let fresh: Uuid = self.gateway.ids().next();
        let mask = (fresh.as_u128() as u32).to_be_bytes();
        let io = |upgraded: Upgraded| TokioIo::new(upgraded);
        let end = splice(io(client), io(upstream), patience, mask, self.interrupted()).await;
        if let Some(call) = &self.call {
            call.ended(end.of_call());
        }
        self.gateway.metrics().web_socket_ended(end.as_str());
        drop(open);
    }

    /// Why the connection must end that both sides would keep.
    async fn interrupted(&self) -> End {
        let stop = self.gateway.life().soft_stop();
        let mut unjudged = 0;
        loop {
            let pause = tokio::time::sleep(self.gateway.config().websocket.judge);
            if stop.run_until_cancelled(pause).await.is_none() {
                return End::Stopping;
            }
            let Some(credential) = &self.credential else {
                continue;
            };
            let verifier = self.gateway.verifier();
            match verifier.verify(credential, self.context.clone()).await {
                Ok(_) => unjudged = 0,
                Err(IdentityError::Unavailable(_)) if unjudged + 1 < UNJUDGED => unjudged += 1,
                Err(IdentityError::Unavailable(_)) => return End::Unjudged,
                Err(_) => return End::Expired,
            }
        }
    }
}

fn gauge(gateway: &Gateway) -> impl Drop + use<> {
    crate::body::Open::new(&gateway.metrics().web_sockets)
}

/// The credential that was judged before the upgrade.
fn credential(headers: &HeaderMap) -> Option<String> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let (_, token) = value.to_str().ok()?.split_once(' ')?;
        return Some(token.trim().to_owned());
    }
    headers.get(API_KEY)?.to_str().ok().map(str::to_owned)
}

/// The words of a header that is a list.
fn tokens<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            let name: http::HeaderName = name.parse().unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        };
        pairs.iter().map(pair).collect()
    }

    #[test]
    fn an_upgrade_is_found_among_the_words_of_a_list() {
        for (connection, upgrade, is) in [
            ("Upgrade", "websocket", true),
            ("keep-alive, Upgrade", "WebSocket", true),
            ("keep-alive,upgrade", "h2c, websocket", true),
            ("keep-alive", "websocket", false),
            ("upgraded", "websocket", false),
            ("upgrade", "h2c", false),
            ("upgrade", "websockets", false),
        ] {
            let headers = headers(&[("connection", connection), ("upgrade", upgrade)]);
            assert_eq!(
                is_upgrade(&Method::GET, &headers),
                is,
                "{connection}; {upgrade}"
            );
            assert!(!is_upgrade(&Method::POST, &headers));
        }
    }

    #[test]
    fn a_credential_among_the_protocols_becomes_a_header_and_is_not_passed_on() {
        let mut sent = headers(&[("sec-websocket-protocol", "chat, bearer.a.b-c_d, touchstone")]);
        take_credential(&mut sent);
        assert_eq!(sent["authorization"], "Bearer a.b-c_d");
        assert_eq!(sent["sec-websocket-protocol"], "chat, touchstone");
        let mut only = headers(&[
            ("sec-websocket-protocol", "bearer.x"),
            ("x-api-key", "tsk_1"),
        ]);
        take_credential(&mut only);
        assert_eq!(only, headers(&[("x-api-key", "tsk_1")]));
        let mut none = headers(&[("sec-websocket-protocol", "chat")]);
        take_credential(&mut none);
        assert_eq!(none["sec-websocket-protocol"], "chat");
    }
}
