//! Steps of whoever runs the target: its limits, read and written.

use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;
use http::Method;
use http::header::{ETAG, IF_MATCH};
use serde_json::Value;

use super::{Call, Session};
use crate::client::Answer;

const LIMITS: &str = "/api/v1/config";

/// Reads the limits.
pub(super) fn read<'a>(session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()> {
    async move {
        session
            .call(0, Call::get(LIMITS).by_operator().keep(), plans)
            .await;
    }
    .boxed_local()
}

/// Writes the limits as they are: a change like any other, after which nothing is different.
pub(super) fn write<'a>(session: &'a mut Session<'_>) -> LocalBoxFuture<'a, ()> {
    async move {
        let read = Call::get(LIMITS).by_operator().keep();
        let Some(answer) = session.call(0, read, plans).await else {
            return;
        };
        let (Some(tag), Ok(limits)) = (
            answer.headers.get(ETAG).cloned(),
            serde_json::from_slice::<Value>(&answer.body),
        ) else {
            return;
        };
        let change = Call::post(LIMITS, &limits)
            .method(Method::PUT)
            .header(IF_MATCH, tag)
            .by_operator()
            .keep();
        session.call(1, change, plans).await;
    }
    .boxed_local()
}

fn plans(answer: &Answer) -> Result<(), String> {
    let limits: Value =
        serde_json::from_slice(&answer.body).map_err(|error| format!("no JSON: {error}"))?;
    let is_complete = limits["plans"].is_object() && answer.headers.contains_key(ETAG);
    is_complete
        .then_some(())
        .ok_or_else(|| "`plans` or the `ETag` is missing".to_owned())
}
