use async_trait::async_trait;
use http::Method;
use touchstone_api::auth::{Jwks, ValidateRequest, ValidateResponse};
use touchstone_identity::{ApiKeyVerdict, KeySource, KeySourceError, PublicKey, RequestContext};

use crate::{ClientError, Mesh, ServiceClient};

/// Calls auth.
#[derive(Clone, Debug)]
pub struct AuthClient(ServiceClient);

impl AuthClient {
    /// A client for `from`.
    pub fn new(mesh: Mesh, from: &'static str) -> Self {
        Self(ServiceClient::new(mesh, from, "auth"))
    }

    /// `GET /.well-known/jwks.json`.
    pub async fn jwks(&self, context: &RequestContext) -> Result<Jwks, ClientError> {
        self.0
            .call_anonymously(context, Method::GET, "/.well-known/jwks.json", None::<&()>)
            .await
    }

    /// `POST /auth/validate`.
    pub async fn validate(
        &self,
        context: &RequestContext,
        request: &ValidateRequest,
    ) -> Result<ValidateResponse, ClientError> {
        self.0
            .call_anonymously(context, Method::POST, "/auth/validate", Some(request))
            .await
    }
}

/// Keys and verdicts for a verifier, from auth.
#[derive(Clone, Debug)]
pub struct AuthKeys(AuthClient);

impl AuthKeys {
    /// Asks auth over `mesh`.
    pub fn new(mesh: Mesh) -> Self {
        Self(AuthClient::new(mesh, "verifier"))
    }
}

#[async_trait]
impl KeySource for AuthKeys {
    async fn public_keys(&self) -> Result<Vec<PublicKey>, KeySourceError> {
        let context = RequestContext::background("public-keys");
        let jwks = self.0.jwks(&context).await;
        let jwks = jwks.map_err(|error| KeySourceError(error.to_string()))?;
        Ok(jwks
            .keys
            .into_iter()
            .map(|key| PublicKey {
                kid: key.kid,
                x: key.x,
            })
            .collect())
    }

    async fn api_key(&self, key: &str) -> Result<Option<ApiKeyVerdict>, KeySourceError> {
        let context = RequestContext::background("api-key");
        let request = ValidateRequest {
            token: key.to_owned(),
        };
        let verdict = self.0.validate(&context, &request).await;
        let verdict = verdict.map_err(|error| KeySourceError(error.to_string()))?;
        let (true, Some(user), Some(tenant), Some(role)) = (
            verdict.valid,
            verdict.user_id,
            verdict.tenant_id,
            verdict.role,
        ) else {
            return Ok(None);
        };
        Ok(Some(ApiKeyVerdict {
            user,
            tenant,
            role,
            expires_at: verdict.expires_at,
        }))
    }
}
