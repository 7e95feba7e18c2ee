//! The API that switches faults, on every service below `/admin/faults`.

use std::sync::Arc;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::apply::refuse;
use crate::fault::Target;
use crate::schedule::Wanted;
use crate::site::Site;
use crate::{Plane, Relay, Shown, Spec};

/// Where the API is.
pub const PATH: &str = "/admin/faults";
/// Where the gateway hands on what is meant for another service.
const AT: &str = "/at/";
/// Largest body.
const MOST_BYTES: usize = 256 * 1024;
/// Strikes of a page of the log.
const PAGE: usize = 1_000;

/// The faults of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Overview {
    /// Which.
    pub service: String,
    /// Fixes what is drawn.
    pub seed: u64,
    /// Milliseconds since the plane began, after which all other times are told.
    pub now_ms: u64,
    /// Those that were asked for, the oldest first.
    pub faults: Vec<Shown>,
}

pub(crate) fn is_admin(path: &str) -> bool {
    let rest = path.strip_prefix(PATH);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

struct Refusal(u16, &'static str, String);

pub(crate) async fn answer(
    plane: &Plane,
    site: &Arc<Site>,
    relay: Option<Relay>,
    request: Request<Body>,
) -> Response {
    let target = Target::of(&request);
    match deal_with(plane, site, relay, request).await {
        Ok(response) => response,
        Err(Refusal(status, code, detail)) => refuse(status, code, &detail, &target),
    }
}

async fn deal_with(
    plane: &Plane,
    site: &Arc<Site>,
    relay: Option<Relay>,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    if !plane.knows(request.headers()) {
        let detail = "the header `x-fault-key` does not show the fault-admin key";
        return Err(Refusal(401, "fault.key", detail.into()));
    }
    let (parts, body) = request.into_parts();
    let path = parts
        .uri
        .path()
        .strip_prefix(PATH)
        .unwrap_or_default()
        .to_owned();
    let body = axum::body::to_bytes(body, MOST_BYTES).await.map_err(|_| {
        Refusal(
            413,
            "fault.too_large",
            "the body has more than 256 KiB, or broke off".into(),
        )
    })?;
    if let Some(rest) = path.strip_prefix(AT) {
        let (service, rest) = rest.split_once('/').map_or((rest, ""), |(a, b)| (a, b));
        if service != site.service {
            let rest = if rest.is_empty() {
                String::new()
            } else {
                format!("/{rest}")
            };
            let query = parts
                .uri
                .query()
                .map_or(String::new(), |query| format!("?{query}"));
            let uri = format!("{PATH}{rest}{query}");
            return hand_on(relay, service, Request::from_parts(parts, ()), &uri, body).await;
        }
        let rest = if rest.is_empty() {
            String::new()
        } else {
            format!("/{rest}")
        };
        return own(plane, site, &parts.method, &rest, parts.uri.query(), &body);
    }
    own(plane, site, &parts.method, &path, parts.uri.query(), &body)
}

fn own(
    plane: &Plane,
    site: &Arc<Site>,
    method: &Method,
    path: &str,
    query: Option<&str>,
    body: &[u8],
) -> Result<Response, Refusal> {
    match (method.as_str(), path) {
        ("GET", "" | "/") => Ok(json_of(
            StatusCode::OK,
            &Overview {
                service: site.service.to_owned(),
                seed: plane.seed(),
                now_ms: site.now_ms(),
                faults: site.show(),
            },
        )),
        ("POST", "" | "/") => {
            let spec: Spec = read(body)?;
            accept(&spec.problems())?;
            let shown = ask(site, vec![spec])?;
            Ok(json_of(StatusCode::CREATED, &shown.first()))
        }
        ("DELETE", "" | "/") => Ok(json_of(
            StatusCode::OK,
            &json!({ "cleared": site.clear(None) }),
        )),
        ("GET", "/log") => {
            let (after, limit) = page_of(query)?;
            Ok(json_of(StatusCode::OK, &site.page(after, limit)))
        }
        ("POST", "/schedule") => {
            let wanted: Wanted = read(body)?;
            accept(&wanted.problems())?;
            let schedule = wanted.draw(plane.seed());
            let shown = ask(site, schedule.faults)?;
            let told = json!({ "digest": schedule.digest, "faults": shown });
            Ok(json_of(StatusCode::CREATED, &told))
        }
        (verb, path) => {
            let id = path.strip_prefix('/').and_then(|id| id.parse::<u64>().ok());
            let shown = id.and_then(|id| site.show().into_iter().find(|shown| shown.id == id));
            match (verb, shown) {
                ("GET", Some(shown)) => Ok(json_of(StatusCode::OK, &shown)),
                ("DELETE", Some(shown)) => {
                    site.clear(Some(shown.id));
                    let after = site.show().into_iter().find(|after| after.id == shown.id);
                    Ok(json_of(StatusCode::OK, &after))
                }
                (_, Some(_)) => {
                    let detail = "a fault can be looked at (GET) and taken back (DELETE)";
                    Err(Refusal(405, "fault.method", detail.into()))
                }
                (_, None) => {
                    let detail = "there is no such fault, or nothing at this path";
                    Err(Refusal(404, "fault.unknown", detail.into()))
                }
            }
        }
    }
}

fn ask(site: &Site, specs: Vec<Spec>) -> Result<Vec<Shown>, Refusal> {
    site.ask(specs).map_err(|_| {
        let detail = "there are a thousand faults already; take some back";
        Refusal(409, "fault.too_many", detail.into())
    })
}

/// To the instances of another service. The answer of the only one as it is; of several, what each of
/// them said, with the worst status. When one cannot be reached that is said, and the others did what
/// they were asked for.
async fn hand_on(
    relay: Option<Relay>,
    service: &str,
    request: Request<()>,
    uri: &str,
    body: bytes::Bytes,
) -> Result<Response, Refusal> {
    let unknown = || {
        let detail = format!("`{service}` is no service that this one can reach");
        Refusal(404, "fault.unknown_service", detail)
    };
    let relay = relay.ok_or_else(unknown)?;
    let mut onward = Request::new(());
    *onward.method_mut() = request.method().clone();
    *onward.uri_mut() = uri.parse().map_err(|_| unknown())?;
    for name in [crate::header::KEY, CONTENT_TYPE] {
        if let Some(value) = request.headers().get(&name) {
            onward.headers_mut().insert(name, value.clone());
        }
    }
    let answers = relay(service.to_owned(), onward, body)
        .await
        .ok_or_else(unknown)?;
    let is_alone = answers.len() == 1;
    let mut all = serde_json::Map::new();
    let mut worst = StatusCode::OK;
    for (instance, answer) in answers {
        match answer {
            Ok(answer) if is_alone => return Ok(answer),
            Ok(answer) => {
                worst = worst.max(answer.status());
                let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await;
                let body = body
                    .ok()
                    .and_then(|body| serde_json::from_slice(&body).ok());
                all.insert(instance, body.unwrap_or(serde_json::Value::Null));
            }
            Err(reason) => {
                let detail = format!("`{service}` ({instance}) cannot be reached: {reason}");
                return Err(Refusal(503, "fault.unreachable", detail));
            }
        }
    }
    Ok(json_of(worst, &json!({ "instances": all })))
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal(400, "fault.body", error.to_string()))
}

fn accept(problems: &[String]) -> Result<(), Refusal> {
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Refusal(422, "fault.impossible", problems.join("; ")))
    }
}

fn page_of(query: Option<&str>) -> Result<(u64, usize), Refusal> {
    let (mut after, mut limit) = (0, PAGE);
    for pair in query
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
    {
        let wrong = || Refusal(400, "fault.query", format!("`{pair}` is not understood"));
        match pair.split_once('=').ok_or_else(wrong)? {
            ("after", value) => after = value.parse().map_err(|_| wrong())?,
            ("limit", value) => limit = value.parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        }
    }
    Ok((after, limit.clamp(1, PAGE)))
}

fn json_of<T: Serialize>(status: StatusCode, value: &T) -> Response {
    let body = serde_json::to_vec(value).unwrap_or_default();
    let mut response = (status, body).into_response();
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}
