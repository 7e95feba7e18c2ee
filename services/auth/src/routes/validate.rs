use axum::extract::State;
use touchstone_api::auth::{ValidateRequest, ValidateResponse};
use touchstone_web::responses::{BodyErrors, CommonErrors};
use touchstone_web::{AppJson, Problem};

use super::extract::SecretJson;
use crate::Error;
use crate::domain::has_chars;
use crate::service::Auth;

/// Whether an access token or an API key holds, and whose it is.
#[utoipa::path(post, path = "/auth/validate", tag = "auth", request_body = ValidateRequest,
    responses((status = 200, body = ValidateResponse), BodyErrors, CommonErrors))]
#[tracing::instrument(name = "auth.validate", skip_all)]
pub(super) async fn validate(
    State(auth): State<Auth>,
    SecretJson(request): SecretJson<ValidateRequest>,
) -> Result<AppJson<ValidateResponse>, Problem> {
    if !has_chars(&request.token, 1, 8192) {
        return Err(Error::Field {
            field: "token",
            rule: "have 1 to 8192 characters",
        }
        .into());
    }
    Ok(AppJson(auth.validate(&request.token).await?))
}
