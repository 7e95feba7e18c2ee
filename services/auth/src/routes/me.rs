use axum::extract::State;
use touchstone_api::auth::User;
use touchstone_web::responses::{CallerErrors, IdErrors};
use touchstone_web::{AppJson, Caller, Problem};

use crate::service::Auth;

/// The caller's account.
#[utoipa::path(get, path = "/auth/me", tag = "auth", security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = User), CallerErrors, IdErrors))]
#[tracing::instrument(name = "auth.me", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn me(State(auth): State<Auth>, caller: Caller) -> Result<AppJson<User>, Problem> {
    Ok(AppJson(auth.me(&caller).await?))
}
