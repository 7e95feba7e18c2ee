//! `POST /embeddings`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue};
use touchstone_api::embedding::{DENSE, EmbeddingRequest, EmbeddingResponse};
use touchstone_api::headers::DEGRADED;
use touchstone_web::responses::{BodyErrors, CallerErrors, ConflictErrors, IdErrors};
use touchstone_web::{AppJson, Caller, Problem};

use crate::service::Embedding;

/// Turns texts into sparse vectors, and into dense ones when a model is named or active.
///
/// The header `Degraded: dense` says that a model is active and did not answer.
#[utoipa::path(post, path = "/embeddings", tag = "embedding",
    request_body = EmbeddingRequest,
    responses((status = 200, body = EmbeddingResponse), CallerErrors, IdErrors, BodyErrors,
        ConflictErrors))]
#[tracing::instrument(name = "embedding.embed", skip_all,
    fields(tenant.id = %caller.tenant, texts = request.input.len()))]
pub async fn embed(
    State(embedding): State<Embedding>,
    Caller(caller): Caller,
    AppJson(request): AppJson<EmbeddingRequest>,
) -> Result<Response, Problem> {
    let embedded = embedding.embed(&caller, request).await?;
    let mut response = AppJson(embedded.response).into_response();
    if embedded.degraded {
        let name = HeaderName::from_static(DEGRADED);
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(DENSE));
    }
    Ok(response)
}
