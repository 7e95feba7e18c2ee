//! Passwords: register, login, change.

use touchstone_api::auth::{ChangePasswordRequest, LoginRequest, RegisterRequest, TokenResponse};
use touchstone_identity::{Caller, CallerKind};
use touchstone_types::{Role, UserId};

use super::{Auth, delta};
use crate::Error;
use crate::domain::{Attempt, ClientAddress, Email, Password, Ticket, has_chars};
use crate::hasher::HasherError;
use crate::secrets::fingerprint;
use crate::store::{Account, KnownAddress, Tenant, User};

/// Longest tenant name in characters.
const MAX_NAME_CHARS: usize = 100;
/// Longest address that is looked up, in characters.
const MAX_EMAIL_CHARS: usize = 254;

impl Auth {
    /// Makes a user in a tenant of its own and logs it in.
    ///
    /// # Errors
    /// [`Error::Email`], [`Error::Password`] and [`Error::Field`] for what breaks a rule,
    /// [`Error::EmailTaken`], [`Error::Hasher`] when too many wait.
    pub async fn register(
        &self,
        request: RegisterRequest,
        from: &ClientAddress,
    ) -> Result<TokenResponse, Error> {
        let email = Email::parse(&request.email)?;
        let password = Password::chosen(request.password, email.key())?;
        let name = request
            .tenant_name
            .unwrap_or_else(|| email.local_part(MAX_NAME_CHARS));
        if !has_chars(&name, 1, MAX_NAME_CHARS) {
            return Err(Error::Field {
                field: "tenant_name",
                rule: "have 1 to 100 characters",
            });
        }
        if self.0.store.user_by_email(email.key()).await?.is_some() {
            return Err(Error::EmailTaken);
        }
        let password_hash = self.0.hasher.hash(&password, "register").await?;
        let now = self.now();
        let tenant = Tenant {
            id: self.0.ids.next(),
            name,
            created_at: now,
        };
        let user = User {
            id: self.0.ids.next(),
            tenant: tenant.id,
            email: email.as_str().to_owned(),
            email_key: email.key().to_owned(),
            password_hash,
            role: Role::Admin,
            created_at: now,
        };
        let (family, token) = self.new_family(&user)?;
        let address = KnownAddress {
            fingerprint: pair_fingerprint(email.key(), from),
            seen_at: now,
        };
        let account = Account { user, tenant };
        if !self
            .0
            .store
            .create_account(&account, &family, &address)
            .await?
        {
            return Err(Error::EmailTaken);
        }
        self.0.metrics.registrations.inc();
        self.tokens(&account.user, family.family.id, &token)
    }

    /// Adds a user to the caller's tenant.
    ///
    /// # Errors
    /// [`Error::AdminRequired`], [`Error::EmailTaken`], and those of [`Auth::register`].
    pub async fn add_user(
        &self,
        caller: &Caller,
        email: &str,
        password: String,
        role: Role,
    ) -> Result<UserId, Error> {
        caller.require_admin().map_err(|_| Error::AdminRequired)?;
        let email = Email::parse(email)?;
        let password = Password::chosen(password, email.key())?;
        let user = User {
            id: self.0.ids.next(),
            tenant: caller.tenant,
            email: email.as_str().to_owned(),
            email_key: email.key().to_owned(),
            password_hash: self.0.hasher.hash(&password, "register").await?,
            role,
            created_at: self.now(),
        };
        if !self.0.store.add_user(&user).await? {
            return Err(Error::EmailTaken);
        }
        Ok(user.id)
    }

    /// Checks a password and opens a login. An unknown address costs what a known one costs and
    /// gets the same answer as a wrong password.
    ///
    /// # Errors
    /// [`Error::InvalidCredentials`], [`Error::Throttled`], [`Error::Hasher`] when too many wait.
    pub async fn login(
        &self,
        request: LoginRequest,
        from: &ClientAddress,
    ) -> Result<TokenResponse, Error> {
        if !has_chars(&request.email, 1, MAX_EMAIL_CHARS) {
            return Err(Error::Field {
                field: "email",
                rule: "have 1 to 254 characters",
            });
        }
        let password = offered(request.password, "password")?;
        let email_key = Email::key_of(&request.email);
        // No account has such an address, and PostgreSQL takes no text with it.
        let user = if email_key.contains('\0') {
            None
        } else {
            self.0.store.user_by_email(&email_key).await?
        };
        let ticket = self.admit(&email_key, from).await?;
        let checked = match &user {
            Some(user) => {
                self.0
                    .hasher
                    .verify(&password, &user.password_hash, "login")
                    .await
            }
            None => self.0.hasher.verify_nobody(&password).await,
        };
        let Some(mut user) = user.filter(|_| matches!(checked, Ok(true))) else {
            return Err(self.refuse(checked, ticket));
        };
        self.0.throttle.succeeded(ticket);
        self.strengthen(&mut user, &password).await?;
        let (family, token) = self.new_family(&user)?;
        let address = KnownAddress {
            fingerprint: pair_fingerprint(&email_key, from),
            seen_at: self.now(),
        };
        if !self
            .0
            .store
            .open_family(&family, &user.password_hash, &address)
            .await?
        {
            // The password was changed since it was read.
            self.0.metrics.login("refused");
            return Err(Error::InvalidCredentials);
        }
        self.0.metrics.login("ok");
        self.tokens(&user, family.family.id, &token)
    }

    /// Sets a new password, ends every login of the user and opens a new one.
    ///
    /// # Errors
    /// [`Error::WrongPassword`], [`Error::Password`] when the new one breaks a rule,
    /// [`Error::LoginRequired`] for an API key, and those of [`Auth::login`].
    pub async fn change_password(
        &self,
        caller: &Caller,
        request: ChangePasswordRequest,
        from: &ClientAddress,
    ) -> Result<TokenResponse, Error> {
        if caller.kind == CallerKind::ApiKey {
            return Err(Error::LoginRequired);
        }
        let account = self
            .0
            .store
            .account(caller.user)
            .await?
            .ok_or(Error::UnknownUser)?;
        let user = account.user;
        let present = offered(request.current_password, "current_password")?;
        let new = Password::chosen(request.new_password, &user.email_key)?;
        let ticket = self.admit(&user.email_key, from).await?;
        match self
            .0
            .hasher
            .verify(&present, &user.password_hash, "change")
            .await
        {
            Ok(true) => self.0.throttle.succeeded(ticket),
            checked => {
                return Err(match self.refuse(checked, ticket) {
                    Error::InvalidCredentials => Error::WrongPassword,
                    other => other,
                });
            }
        }
        let new_hash = self.0.hasher.hash(&new, "change").await?;
        let (family, token) = self.new_family(&user)?;
        let changed = self
            .0
            .store
            .change_password(user.id, &user.password_hash, &new_hash, &family)
            .await?;
        if !changed {
            return Err(Error::WrongPassword);
        }
        tracing::info!(user.id = %user.id, "the password of user `{}` was changed", user.id);
        self.tokens(&user, family.family.id, &token)
    }

    /// Lets an attempt on an account begin, or says how long to wait.
    async fn admit(&self, email_key: &str, from: &ClientAddress) -> Result<Ticket, Error> {
        let now = self.now();
        let pair = pair_fingerprint(email_key, from);
        let since = now - delta(self.0.config.throttle.known_address_ttl);
        let attempt = Attempt {
            account: fingerprint(&[b"account", email_key.as_bytes()]),
            pair,
            known_address: self.0.store.knows_address(&pair, since).await?,
        };
        self.0.throttle.begin(attempt, now).map_err(|wait| {
            self.0.metrics.login("throttled");
            Error::Throttled(wait)
        })
    }

    /// Settles an attempt that did not succeed.
    fn refuse(&self, checked: Result<bool, HasherError>, ticket: Ticket) -> Error {
        match checked {
            Ok(_) => {
                self.0.throttle.failed(ticket, self.now());
                self.0.metrics.login("refused");
                Error::InvalidCredentials
            }
            Err(error) => {
                self.0.throttle.withdrawn(ticket);
                self.0.metrics.login("busy");
                error.into()
            }
        }
    }

    /// Hashes the password anew when today's parameters are stronger than its hash's. A busy
    /// hasher leaves that to the next login.
    async fn strengthen(&self, user: &mut User, password: &Password) -> Result<(), Error> {
        if !self.0.hasher.is_outdated(&user.password_hash) {
            return Ok(());
        }
        let stronger = match self.0.hasher.hash(password, "rehash").await {
            Err(HasherError::Busy) => return Ok(()),
            hashed => hashed?,
        };
        if self
            .0
            .store
            .rehash(user.id, &user.password_hash, &stronger)
            .await?
        {
            user.password_hash = stronger;
        }
        Ok(())
    }
}

/// A password to be checked; what can be no password is refused before it costs a hash.
fn offered(text: String, field: &'static str) -> Result<Password, Error> {
    if text.is_empty() {
        return Err(Error::Field {
            field,
            rule: "not be empty",
        });
    }
    Ok(Password::offered(text)?)
}

/// Account and address, as one.
fn pair_fingerprint(email_key: &str, from: &ClientAddress) -> [u8; 32] {
    fingerprint(&[b"pair", email_key.as_bytes(), from.as_bytes()])
}
