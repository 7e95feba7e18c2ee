use axum::extract::State;
use touchstone_api::auth::Jwks;
use touchstone_web::AppJson;
use touchstone_web::responses::CommonErrors;

use crate::service::Auth;

/// The public keys in force (RFC 7517); none when tokens are signed with a shared secret.
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "auth",
    responses((status = 200, body = Jwks), CommonErrors))]
pub(super) async fn jwks(State(auth): State<Auth>) -> AppJson<Jwks> {
    AppJson(auth.jwks())
}
