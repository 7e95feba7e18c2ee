//! An account of a user under load.

use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A pair of tokens, as the API answers it.
#[derive(Clone, Debug, Deserialize)]
pub struct Tokens {
    /// For requests.
    pub access_token: String,
    /// For the next pair.
    pub refresh_token: String,
    /// Seconds.
    pub expires_in: u64,
}

/// An account that is logged in.
pub struct Account {
    email: String,
    password: String,
    state: RwLock<State>,
    /// Documents that it has.
    pub documents: Vec<String>,
}

/// An account on its way to a worker.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct AccountCopy {
    email: String,
    password: String,
    credential: String,
    documents: Vec<String>,
}

struct State {
    credential: HeaderValue,
    refresh_token: String,
    /// When the credential should be renewed.
    renew_at: Option<Instant>,
}

impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("email", &self.email)
            .finish_non_exhaustive()
    }
}

impl Account {
    /// With the tokens of a login.
    pub fn new(email: String, password: String, tokens: &Tokens) -> Option<Self> {
        Some(Self {
            email,
            password,
            state: RwLock::new(State::of(tokens)?),
            documents: Vec::new(),
        })
    }

    /// With a key that lasts.
    pub fn of_key(key: &str) -> Option<Self> {
        Some(Self {
            email: String::new(),
            password: String::new(),
            state: RwLock::new(State {
                credential: bearer(key)?,
                refresh_token: String::new(),
                renew_at: None,
            }),
            documents: Vec::new(),
        })
    }

    /// As it is handed to a worker.
    pub(crate) fn copy(&self) -> AccountCopy {
        AccountCopy {
            email: self.email.clone(),
            password: self.password.clone(),
            credential: self.credential().to_str().unwrap_or_default().to_owned(),
            documents: self.documents.clone(),
        }
    }

    /// Takes a credential into use that somebody else renewed.
    pub(crate) fn use_credential(&self, credential: &str) {
        if let Some(credential) = sensitive(credential) {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.credential = credential;
        }
    }

    /// The `Authorization` header.
    pub fn credential(&self) -> HeaderValue {
        self.read(|state| state.credential.clone())
    }

    /// What the next pair of tokens is got with.
    pub fn refresh_token(&self) -> String {
        self.read(|state| state.refresh_token.clone())
    }

    /// Whether the credential should be renewed by now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.read(|state| state.renew_at.is_some_and(|at| at <= now))
    }

    fn read<T>(&self, read: impl FnOnce(&State) -> T) -> T {
        read(&self.state.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes the next pair of tokens into use.
    pub fn renew(&self, tokens: &Tokens) {
        if let Some(state) = State::of(tokens) {
            *self.state.write().unwrap_or_else(PoisonError::into_inner) = state;
        }
    }

    /// Its address.
    pub fn email(&self) -> &str {
        &self.email
    }

    /// The body of a login.
    pub fn login(&self) -> Value {
        json!({"email": self.email, "password": self.password})
    }

    /// The tenant that its token names.
    pub fn tenant(&self) -> Option<String> {
        let credential = self.credential();
        let token = credential.to_str().ok()?.strip_prefix("Bearer ")?;
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        claims["tenant"].as_str().map(str::to_owned)
    }
}

impl State {
    fn of(tokens: &Tokens) -> Option<Self> {
        // Renewed when a bit more than half of its life is over: a slow refresh is still in time.
        let half = std::time::Duration::from_secs(tokens.expires_in).mul_f64(0.55);
        Some(Self {
            credential: bearer(&tokens.access_token)?,
            refresh_token: tokens.refresh_token.clone(),
            renew_at: Some(Instant::now() + half),
        })
    }
}

impl AccountCopy {
    /// The account of a worker; whoever handed it over renews it.
    pub(crate) fn account(self) -> Option<Account> {
        let state = State {
            credential: sensitive(&self.credential)?,
            refresh_token: String::new(),
            renew_at: None,
        };
        Some(Account {
            email: self.email,
            password: self.password,
            state: RwLock::new(state),
            documents: self.documents,
        })
    }
}

fn bearer(token: &str) -> Option<HeaderValue> {
    sensitive(&format!("Bearer {token}"))
}

fn sensitive(credential: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(credential).ok()?;
    value.set_sensitive(true);
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_is_read_from_the_token_and_secrets_are_not_shown() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"tenant":"t-1"}"#);
        let tokens = Tokens {
            access_token: format!("h.{claims}.s"),
            refresh_token: "tsr_x".into(),
            expires_in: 0,
        };
        let account = Account::new("a@b".into(), "secret-word".into(), &tokens).unwrap();
        assert_eq!(account.tenant().as_deref(), Some("t-1"));
        assert!(account.is_due(Instant::now()));
        let shown = format!("{account:?} {:?}", account.credential());
        assert!(
            !shown.contains("secret-word") && !shown.contains(&claims),
            "{shown}"
        );
        assert!(!Account::of_key("tsk_x").unwrap().is_due(Instant::now()));
    }
}
