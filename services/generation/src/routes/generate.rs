use axum::extract::State;
use touchstone_api::generation::{GenerateRequest, GenerateResponse, ProviderList};
use touchstone_web::responses::{BodyErrors, CallerErrors, IdErrors};
use touchstone_web::{AppJson, Caller, Problem};

use crate::service::Generation;

/// Completes a prompt without retrieval.
#[utoipa::path(post, path = "/generate", tag = "generation",
    request_body = GenerateRequest,
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = GenerateResponse), CallerErrors, BodyErrors, IdErrors))]
#[tracing::instrument(name = "generation.generate", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn generate(
    State(service): State<Generation>,
    caller: Caller,
    AppJson(request): AppJson<GenerateRequest>,
) -> Result<AppJson<GenerateResponse>, Problem> {
    Ok(AppJson(service.generate(request).await?))
}

/// Lists the providers.
#[utoipa::path(get, path = "/providers", tag = "generation",
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = ProviderList), CallerErrors))]
pub(super) async fn providers(
    State(service): State<Generation>,
    _caller: Caller,
) -> AppJson<ProviderList> {
    AppJson(service.providers())
}
