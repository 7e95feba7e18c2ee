use axum::extract::State;
use http::StatusCode;
use touchstone_api::auth::{RefreshRequest, TokenResponse};
use touchstone_web::responses::{BodyErrors, CommonErrors, StorageErrors};
use touchstone_web::{AppJson, Problem};

use super::extract::SecretJson;
use crate::Error;
use crate::domain::has_chars;
use crate::service::Auth;

/// A refresh token for new tokens; it is spent by this call.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", request_body = RefreshRequest,
    responses((status = 200, body = TokenResponse),
        (status = 401, description = "The credential does not hold", body = touchstone_api::Problem,
            content_type = "application/problem+json"),
        BodyErrors, CommonErrors, StorageErrors))]
#[tracing::instrument(name = "auth.refresh", skip_all)]
pub(super) async fn refresh(
    State(auth): State<Auth>,
    SecretJson(request): SecretJson<RefreshRequest>,
) -> Result<AppJson<TokenResponse>, Problem> {
    match check(&request) {
        // An access token is longer than any refresh token: no credential, not a wrong field.
        Err(_) if !request.refresh_token.is_empty() => {
            return Err(Error::InvalidRefreshToken.into());
        }
        checked => checked?,
    }
    Ok(AppJson(auth.refresh(&request.refresh_token).await?))
}

/// Ends the login of a refresh token. Says the same for a token of nobody.
#[utoipa::path(post, path = "/auth/logout", tag = "auth", request_body = RefreshRequest,
    responses((status = 204, description = "The login is over"),
        BodyErrors, CommonErrors, StorageErrors))]
#[tracing::instrument(name = "auth.logout", skip_all)]
pub(super) async fn logout(
    State(auth): State<Auth>,
    SecretJson(request): SecretJson<RefreshRequest>,
) -> Result<StatusCode, Problem> {
    check(&request)?;
    auth.logout(&request.refresh_token).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn check(request: &RefreshRequest) -> Result<(), Error> {
    if has_chars(&request.refresh_token, 1, 512) {
        return Ok(());
    }
    Err(Error::Field {
        field: "refresh_token",
        rule: "have 1 to 512 characters",
    })
}
