use axum::extract::State;
use touchstone_api::document::{PassagesRequest, PassagesResponse};
use touchstone_web::responses::{BodyErrors, CallerErrors};
use touchstone_web::{AppJson, Caller, Problem};

use crate::service::Documents;

/// Gives the texts of spans, grown by whole sentences. What is deleted or replaced yields `null`.
#[utoipa::path(post, path = "/documents/passages", tag = "document",
    request_body = PassagesRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = PassagesResponse), CallerErrors, BodyErrors))]
#[tracing::instrument(name = "document.passages", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn passages(
    State(service): State<Documents>,
    caller: Caller,
    AppJson(request): AppJson<PassagesRequest>,
) -> Result<AppJson<PassagesResponse>, Problem> {
    Ok(AppJson(service.passages(&caller, &request).await?))
}
