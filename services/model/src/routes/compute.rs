//! Embed and rerank.

use axum::extract::State;
use touchstone_api::model::{EmbedRequest, EmbedResponse, RerankRequest, RerankResponse};
use touchstone_web::responses::{BodyErrors, CallerErrors, ConflictErrors, IdErrors};
use touchstone_web::{AppJson, AppPath, Caller, Problem};

use crate::service::Models;

/// Turns texts into vectors.
#[utoipa::path(post, path = "/models/{id}/embed", tag = "model",
    params(("id" = String, Path, description = "Id of the model")),
    request_body = EmbedRequest,
    responses((status = 200, body = EmbedResponse), CallerErrors, IdErrors, BodyErrors,
        ConflictErrors))]
#[tracing::instrument(name = "model.embed", skip_all, fields(model.id = id, texts = request.input.len()))]
pub async fn embed(
    State(models): State<Models>,
    Caller(caller): Caller,
    AppPath(id): AppPath<String>,
    AppJson(request): AppJson<EmbedRequest>,
) -> Result<AppJson<EmbedResponse>, Problem> {
    Ok(AppJson(models.embed(&caller, &id, request).await?))
}

/// Scores texts against a query.
#[utoipa::path(post, path = "/models/{id}/rerank", tag = "model",
    params(("id" = String, Path, description = "Id of the model")),
    request_body = RerankRequest,
    responses((status = 200, body = RerankResponse), CallerErrors, IdErrors, BodyErrors,
        ConflictErrors))]
#[tracing::instrument(name = "model.rerank", skip_all, fields(model.id = id, texts = request.documents.len()))]
pub async fn rerank(
    State(models): State<Models>,
    Caller(caller): Caller,
    AppPath(id): AppPath<String>,
    AppJson(request): AppJson<RerankRequest>,
) -> Result<AppJson<RerankResponse>, Problem> {
    Ok(AppJson(models.rerank(&caller, &id, request).await?))
}
