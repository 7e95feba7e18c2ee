use axum::extract::State;
use http::StatusCode;
use touchstone_api::auth::{RegisterRequest, TokenResponse};
use touchstone_web::responses::{BodyErrors, CommonErrors, ConflictErrors, StorageErrors};
use touchstone_web::{AppJson, Problem};

use super::extract::{From, SecretJson};
use crate::service::Auth;

/// A new user in a tenant of its own, logged in.
#[utoipa::path(post, path = "/auth/register", tag = "auth", request_body = RegisterRequest,
    responses((status = 201, body = TokenResponse),
        BodyErrors, ConflictErrors, CommonErrors, StorageErrors))]
#[tracing::instrument(name = "auth.register", skip_all)]
pub(super) async fn register(
    State(auth): State<Auth>,
    From(address): From,
    SecretJson(request): SecretJson<RegisterRequest>,
) -> Result<(StatusCode, AppJson<TokenResponse>), Problem> {
    let tokens = auth.register(request, &address).await?;
    Ok((StatusCode::CREATED, AppJson(tokens)))
}
