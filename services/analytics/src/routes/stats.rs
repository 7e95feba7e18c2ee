use axum::extract::State as Taken;
use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::{AGE, CACHE_CONTROL};
use touchstone_api::analytics::{Stats, StatsQuery};
use touchstone_web::responses::{CallerErrors, QueryErrors};
use touchstone_web::{AppJson, AppQuery, Caller, Problem};

use super::State;

/// Tells what happened in the last hour, day, week or month: to a user about its own tenant, to a
/// service at its own work about all of them. `Age` says how many seconds ago it was collected.
#[utoipa::path(get, path = "/stats", tag = "analytics", params(StatsQuery),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Stats,
        headers(("Age" = u64, description = "Seconds since the numbers were collected"),
            ("Cache-Control" = String, description = "How long they may be repeated"))),
        CallerErrors, QueryErrors))]
#[tracing::instrument(name = "analytics.stats", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn stats(
    Taken(state): Taken<State>,
    caller: Caller,
    AppQuery(query): AppQuery<StatsQuery>,
) -> Result<Response, Problem> {
    let (stats, age) = state.analytics.stats(&caller, query.period).await?;
    let mut response = AppJson(stats.as_ref().clone()).into_response();
    let headers = response.headers_mut();
    headers.insert(AGE, HeaderValue::from(age));
    let fresh = format!("private, max-age={}", state.fresh.as_secs());
    if let Ok(value) = HeaderValue::from_str(&fresh) {
        headers.insert(CACHE_CONTROL, value);
    }
    Ok(response)
}
