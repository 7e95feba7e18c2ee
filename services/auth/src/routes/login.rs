use axum::extract::State;
use touchstone_api::auth::{LoginRequest, TokenResponse};
use touchstone_web::responses::{BodyErrors, CommonErrors, StorageErrors};
use touchstone_web::{AppJson, Problem};

use super::extract::{From, SecretJson};
use crate::service::Auth;

/// A password for tokens.
#[utoipa::path(post, path = "/auth/login", tag = "auth", request_body = LoginRequest,
    responses((status = 200, body = TokenResponse),
        (status = 401, description = "The credential does not hold", body = touchstone_api::Problem,
            content_type = "application/problem+json"),
        BodyErrors, CommonErrors, StorageErrors))]
#[tracing::instrument(name = "auth.login", skip_all)]
pub(super) async fn login(
    State(auth): State<Auth>,
    From(address): From,
    SecretJson(request): SecretJson<LoginRequest>,
) -> Result<AppJson<TokenResponse>, Problem> {
    Ok(AppJson(auth.login(request, &address).await?))
}
