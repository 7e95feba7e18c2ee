//! One OpenAPI document out of those of all services.

mod merge;

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::{IntoResponse, Response};
use futures_util::future::join_all;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::gateway::Gateway;
use crate::routes::health::probe;
use crate::routes::table::ROUTES;

/// How long a document is kept that lacks a service which is known.
const KEEP_INCOMPLETE: Duration = Duration::from_secs(1);

/// The last document.
#[derive(Debug, Default)]
pub(crate) struct Specification(Mutex<Option<Kept>>);

#[derive(Debug)]
struct Kept {
    until: Instant,
    text: Arc<str>,
}

/// `GET /openapi.json`; `own` is the gateway's part.
pub(crate) async fn answer(gateway: Gateway, own: Arc<str>) -> Response {
    let text = {
        let mut kept = gateway.specification().0.lock().await;
        match &*kept {
            Some(kept) if Instant::now() < kept.until => Arc::clone(&kept.text),
            _ => {
                let (text, complete) = collect(&gateway, &own).await;
                let keep = if complete {
                    gateway.config().specification_keep
                } else {
                    KEEP_INCOMPLETE
                };
                *kept = Some(Kept {
                    until: Instant::now() + keep,
                    text: Arc::clone(&text),
                });
                text
            }
        }
    };
    (
        [
            (CONTENT_TYPE, "application/json"),
            (CACHE_CONTROL, "no-cache"),
        ],
        text.to_string(),
    )
        .into_response()
}

/// Asks every service that is known and has routes here; tells whether all answered.
async fn collect(gateway: &Gateway, own: &str) -> (Arc<str>, bool) {
    let known = gateway.mesh().services();
    let mut names: Vec<&'static str> = Vec::new();
    for route in ROUTES {
        if !names.contains(&route.service) && known.iter().any(|name| name == route.service) {
            names.push(route.service);
        }
    }
    let timeout = gateway.config().probe_timeout;
    let asked = names.iter().map(async |name| {
        let (status, body) = probe(gateway.mesh(), name, "/openapi.json", timeout).await?;
        let document: Value = serde_json::from_slice(&body).ok()?;
        (status == StatusCode::OK).then_some((*name, document))
    });
    let answers: Vec<_> = join_all(asked).await.into_iter().flatten().collect();
    let missing: Vec<_> = names
        .iter()
        .filter(|name| !answers.iter().any(|(answered, _)| answered == *name))
        .copied()
        .collect();
    if !missing.is_empty() {
        tracing::warn!(
            ?missing,
            "the specification lacks services that did not answer"
        );
    }
    let own = serde_json::from_str(own).unwrap_or_default();
    let document = merge::merge(own, answers, &missing);
    (document.to_string().into(), missing.is_empty())
}
