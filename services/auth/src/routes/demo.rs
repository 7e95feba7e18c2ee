use axum::extract::State;
use touchstone_api::auth::SeedDemoResponse;
use touchstone_web::responses::{CallerErrors, StorageErrors};
use touchstone_web::{AppJson, Caller, Problem};

use crate::service::Auth;

/// Fills the caller's tenant with the demo documents that it lacks; refused in production.
#[utoipa::path(post, path = "/auth/seed-demo", tag = "auth",
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = SeedDemoResponse), CallerErrors, StorageErrors))]
#[tracing::instrument(name = "auth.seed_demo", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn seed_demo(
    State(auth): State<Auth>,
    caller: Caller,
) -> Result<AppJson<SeedDemoResponse>, Problem> {
    Ok(AppJson(auth.seed_demo(&caller).await?))
}
