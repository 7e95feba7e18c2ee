use axum::extract::State;
use touchstone_api::auth::{ChangePasswordRequest, TokenResponse};
use touchstone_web::responses::{BodyErrors, CallerErrors, IdErrors, StorageErrors};
use touchstone_web::{AppJson, Caller, Problem};

use super::extract::{From, SecretJson};
use crate::service::Auth;

/// A new password. Every login of the user ends; the answer opens a new one.
#[utoipa::path(post, path = "/auth/password", tag = "auth", request_body = ChangePasswordRequest,
    security(("bearer" = [])),
    responses((status = 200, body = TokenResponse),
        CallerErrors, BodyErrors, IdErrors, StorageErrors))]
#[tracing::instrument(name = "auth.change_password", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn change_password(
    State(auth): State<Auth>,
    caller: Caller,
    From(address): From,
    SecretJson(request): SecretJson<ChangePasswordRequest>,
) -> Result<AppJson<TokenResponse>, Problem> {
    Ok(AppJson(
        auth.change_password(&caller, request, &address).await?,
    ))
}
