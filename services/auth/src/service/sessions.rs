//! Logins: tokens, refresh, logout, validation.

use chrono::DateTime;
use touchstone_api::auth::{TokenResponse, ValidateResponse};
use touchstone_identity::{API_KEY_PREFIX, AccessClaims, TokenType};
use touchstone_types::FamilyId;
use uuid::Uuid;

use super::{Auth, delta};
use crate::Error;
use crate::domain::session::{EndReason, Family, Verdict, judge};
use crate::secrets::{FamilySeed, Opaque, REFRESH_PREFIX, SecretHash, has_form};
use crate::store::{NewFamily, OfferedToken, User};

/// Races that one refresh may lose; each one means that another refresh won.
const MAX_RACES: usize = 8;

impl Auth {
    /// Spends a refresh token for its child. Within the grace the immediate parent of the live
    /// token gets that same child again; any other spent token ends the whole login.
    ///
    /// # Errors
    /// [`Error::InvalidRefreshToken`].
    pub async fn refresh(&self, token: &str) -> Result<TokenResponse, Error> {
        for _ in 0..MAX_RACES {
            let now = self.now();
            let Some(offered) = self.offered(token).await? else {
                self.0.metrics.refresh("refused");
                return Err(Error::InvalidRefreshToken);
            };
            let OfferedToken {
                generation,
                family,
                seed,
            } = offered;
            let outcome = match judge(&family, generation, now, self.0.config.refresh_grace) {
                Verdict::Rotate => {
                    let child = Opaque::child_of(token, &seed).hash();
                    if !self
                        .0
                        .store
                        .rotate(family.id, generation, &child, now)
                        .await?
                    {
                        continue;
                    }
                    "rotated"
                }
                Verdict::Repeat => "repeated",
                Verdict::Over => {
                    self.0.metrics.refresh("refused");
                    return Err(Error::InvalidRefreshToken);
                }
                Verdict::Replayed => return self.kill(&family).await,
            };
            self.0.metrics.refresh(outcome);
            let account = self.0.store.account(family.user).await?;
            let user = account.ok_or(Error::InvalidRefreshToken)?.user;
            return self.tokens(&user, family.id, &Opaque::child_of(token, &seed));
        }
        Err(Error::InvalidRefreshToken)
    }

    /// Ends the login of a refresh token, spent or not. What is no token of anybody is ignored.
    pub async fn logout(&self, token: &str) -> Result<(), Error> {
        if let Some(OfferedToken { family, .. }) = self.offered(token).await? {
            self.0
                .store
                .end_family(family.id, EndReason::Logout, self.now())
                .await?;
        }
        Ok(())
    }

    /// Whether an access token or an API key holds, asked at the source: the token of a login
    /// that ended does not.
    pub async fn validate(&self, token: &str) -> Result<ValidateResponse, Error> {
        if token.starts_with(API_KEY_PREFIX) {
            return self.validate_api_key(token).await;
        }
        let claims = match self.0.verifier.access_claims(token).await {
            Ok(claims) => claims,
            Err(error @ touchstone_identity::Error::Unavailable(_)) => {
                return Err(Error::Identity(error));
            }
            Err(_) => return Ok(invalid()),
        };
        let now = self.now();
        let family = self.0.store.family(claims.fam).await?;
        if !family.is_some_and(|family| family.user == claims.sub && family.is_alive(now)) {
            return Ok(invalid());
        }
        Ok(ValidateResponse {
            valid: true,
            user_id: Some(claims.sub),
            tenant_id: Some(claims.tenant),
            role: Some(claims.role),
            expires_at: DateTime::from_timestamp(claims.exp, 0),
        })
    }

    /// A login that begins, with its first token.
    pub(super) fn new_family(&self, user: &User) -> Result<(NewFamily, Opaque), Error> {
        let now = self.now();
        let token = Opaque::refresh_token()?;
        let family = Family {
            id: self.0.ids.next(),
            user: user.id,
            tenant: user.tenant,
            generation: 0,
            rotated_at: now,
            created_at: now,
            expires_at: now + delta(self.0.config.refresh_token_ttl),
            ended_at: None,
        };
        let new = NewFamily {
            family,
            seed: FamilySeed::random()?,
            token: token.hash(),
        };
        Ok((new, token))
    }

    /// A fresh access token beside a refresh token.
    pub(super) fn tokens(
        &self,
        user: &User,
        family: FamilyId,
        refresh: &Opaque,
    ) -> Result<TokenResponse, Error> {
        let ttl = self.0.config.access_token_ttl.as_secs();
        let now = self.now().timestamp();
        let policy = self.0.verifier.policy();
        let id: Uuid = self.0.ids.next();
        let claims = AccessClaims {
            iss: policy.issuer.clone(),
            aud: policy.audience.clone(),
            sub: user.id,
            tenant: user.tenant,
            role: user.role,
            typ: TokenType::Access,
            iat: now,
            nbf: now,
            exp: now.saturating_add_unsigned(ttl),
            jti: id.to_string(),
            fam: family,
        };
        Ok(TokenResponse {
            access_token: self.0.keys.signer.sign(&claims)?,
            refresh_token: refresh.expose().to_owned(),
            token_type: "Bearer".to_owned(),
            expires_in: ttl,
        })
    }

    async fn offered(&self, token: &str) -> Result<Option<OfferedToken>, Error> {
        if !has_form(token, REFRESH_PREFIX) {
            return Ok(None);
        }
        Ok(self.0.store.refresh_token(&SecretHash::of(token)).await?)
    }

    async fn kill(&self, family: &Family) -> Result<TokenResponse, Error> {
        self.0.metrics.refresh("replayed");
        if self
            .0
            .store
            .end_family(family.id, EndReason::Replayed, self.now())
            .await?
        {
            self.0.metrics.families_killed.inc();
            tracing::warn!(
                family.id = %family.id, user.id = %family.user,
                "a spent refresh token came back: login `{}` was ended", family.id
            );
        }
        Err(Error::InvalidRefreshToken)
    }
}

/// The one answer for everything that does not hold.
pub(super) const fn invalid() -> ValidateResponse {
    ValidateResponse {
        valid: false,
        user_id: None,
        tenant_id: None,
        role: None,
        expires_at: None,
    }
}
