use axum::extract::State;
use http::StatusCode;
use touchstone_api::auth::{ApiKey, CreateApiKeyRequest, CreatedApiKey};
use touchstone_api::{Page, PageQuery};
use touchstone_types::ApiKeyId;
use touchstone_web::responses::{
    BodyErrors, CallerErrors, ConflictErrors, IdErrors, QueryErrors, StorageErrors,
};
use touchstone_web::{AppJson, AppPath, AppQuery, Caller, Problem};

use super::extract::{IdempotencyKey, SecretJson};
use crate::service::{Auth, NewApiKey};

/// A new API key with the caller's role. The secret is shown here and never again.
#[utoipa::path(post, path = "/auth/api-keys", tag = "auth", request_body = CreateApiKeyRequest,
    security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        pattern = "^[!-~]+$", description = "Makes the call repeatable")),
    responses((status = 201, body = CreatedApiKey),
        CallerErrors, BodyErrors, IdErrors, ConflictErrors, StorageErrors))]
#[tracing::instrument(name = "auth.create_api_key", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn create(
    State(auth): State<Auth>,
    caller: Caller,
    IdempotencyKey(idempotency_key): IdempotencyKey,
    SecretJson(request): SecretJson<CreateApiKeyRequest>,
) -> Result<(StatusCode, AppJson<CreatedApiKey>), Problem> {
    let new = NewApiKey {
        request,
        idempotency_key,
    };
    Ok((
        StatusCode::CREATED,
        AppJson(auth.create_api_key(&caller, new).await?),
    ))
}

/// The tenant's API keys, oldest first, without their secrets.
#[utoipa::path(get, path = "/auth/api-keys", tag = "auth", params(PageQuery),
    security(("bearer" = []), ("api_key" = [])),
    responses((status = 200, body = Page<ApiKey>), CallerErrors, QueryErrors))]
#[tracing::instrument(name = "auth.list_api_keys", skip_all, fields(tenant.id = %caller.tenant))]
pub(super) async fn list(
    State(auth): State<Auth>,
    caller: Caller,
    AppQuery(page): AppQuery<PageQuery>,
) -> Result<AppJson<Page<ApiKey>>, Problem> {
    Ok(AppJson(
        auth.list_api_keys(&caller, page.limit, page.cursor.as_deref())
            .await?,
    ))
}

/// Deletes an API key. Services notice within seconds.
#[utoipa::path(delete, path = "/auth/api-keys/{id}", tag = "auth",
    params(("id" = ApiKeyId, Path, description = "The key")), security(("bearer" = [])),
    responses((status = 204, description = "Deleted"), CallerErrors, IdErrors, StorageErrors))]
#[tracing::instrument(name = "auth.delete_api_key", skip_all,
    fields(tenant.id = %caller.tenant, api_key.id = %id))]
pub(super) async fn delete(
    State(auth): State<Auth>,
    caller: Caller,
    AppPath(id): AppPath<ApiKeyId>,
) -> Result<StatusCode, Problem> {
    auth.delete_api_key(&caller, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
