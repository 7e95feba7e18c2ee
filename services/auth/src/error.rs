use std::time::Duration;

use touchstone_client::ClientError;
use touchstone_error::{Classify, ErrorKind};

use crate::domain::{InvalidEmail, PasswordRule};
use crate::hasher::HasherError;
use crate::keys::KeyError;
use crate::secrets::NoRandomness;

/// When to come back after the hasher was busy.
const BUSY_RETRY: Duration = Duration::from_secs(1);

/// Everything that can go wrong in auth. No variant carries a secret or an address.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address is not one.
    #[error(transparent)]
    Email(#[from] InvalidEmail),
    /// The password breaks a rule.
    #[error(transparent)]
    Password(#[from] PasswordRule),
    /// A field breaks a rule.
    #[error("`{field}` must {rule}")]
    Field {
        /// Which field.
        field: &'static str,
        /// Which rule, after "must".
        rule: &'static str,
    },
    /// The cursor is not of this list.
    #[error("not a cursor of this list; pass `next_cursor` of the page before, or leave it out")]
    Cursor,
    /// The `Idempotency-Key` is empty, too long or not ASCII.
    #[error("`Idempotency-Key` must have 1 to 255 visible ASCII characters")]
    IdempotencyKey,
    /// The `Idempotency-Key` came with another request before.
    #[error("this `Idempotency-Key` was used with another request")]
    IdempotencyReused,
    /// The key that this `Idempotency-Key` made is in use already.
    #[error("the key that this `Idempotency-Key` made is in use; its secret is shown once only")]
    AlreadyCreated,
    /// Another user has this address.
    #[error("an account with this e-mail address exists; log in")]
    EmailTaken,
    /// Unknown user or wrong password: which of them is not told.
    #[error("the e-mail address or the password is wrong")]
    InvalidCredentials,
    /// The present password is wrong.
    #[error("the present password is wrong")]
    WrongPassword,
    /// Too many failures.
    #[error("too many failed logins; wait before the next attempt")]
    Throttled(Duration),
    /// Unknown, expired, ended or replayed: which of them is not told.
    #[error("the refresh token is not valid; log in again")]
    InvalidRefreshToken,
    /// The caller's account is gone.
    #[error("the account does not exist any more")]
    UnknownUser,
    /// No such key in the caller's tenant.
    #[error("there is no such API key")]
    UnknownApiKey,
    /// The caller is no administrator.
    #[error("only administrators of the tenant manage API keys")]
    AdminRequired,
    /// The caller showed an API key.
    #[error("log in for this; an API key is not enough")]
    LoginRequired,
    /// Production is no place for demo data.
    #[error("demo data is refused in the production profile")]
    DemoRefused,
    /// The document service did not take the demo data.
    #[error("the demo documents were not accepted")]
    Demo(#[source] ClientError),
    /// No password hash.
    #[error(transparent)]
    Hasher(#[from] HasherError),
    /// The store failed.
    #[error("the account store failed")]
    Store(#[from] touchstone_store::Error),
    /// No signature.
    #[error("a token cannot be signed")]
    Signer(#[from] touchstone_identity::SignerError),
    /// The credential of the request could not be judged.
    #[error("the token cannot be judged")]
    Identity(#[source] touchstone_identity::Error),
    /// No randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Email(_)
            | Self::Password(_)
            | Self::Field { .. }
            | Self::Cursor
            | Self::IdempotencyKey
            | Self::IdempotencyReused => ErrorKind::Unprocessable,
            Self::AlreadyCreated | Self::EmailTaken => ErrorKind::Conflict,
            // An API key is no credential for what needs a login.
            Self::InvalidCredentials | Self::InvalidRefreshToken | Self::LoginRequired => {
                ErrorKind::Unauthenticated
            }
            Self::Throttled(_) => ErrorKind::TooManyRequests,
            Self::UnknownUser | Self::UnknownApiKey => ErrorKind::NotFound,
            Self::WrongPassword | Self::AdminRequired | Self::DemoRefused => ErrorKind::Forbidden,
            Self::Hasher(HasherError::Busy) => ErrorKind::Unavailable,
            Self::Hasher(_) | Self::Signer(_) | Self::Randomness(_) => ErrorKind::Internal,
            Self::Demo(source) => source.kind(),
            Self::Store(source) => source.kind(),
            Self::Identity(source) => source.kind(),
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Email(_) => "auth.invalid_email",
            Self::Password(PasswordRule::TooShort) => "auth.password_too_short",
            Self::Password(PasswordRule::TooLong) => "auth.password_too_long",
            Self::Password(PasswordRule::Common) => "auth.password_common",
            Self::Field { .. } => "auth.invalid_field",
            Self::Cursor => "request.invalid_cursor",
            Self::IdempotencyKey => "auth.invalid_idempotency_key",
            Self::IdempotencyReused => "auth.idempotency_key_reused",
            Self::AlreadyCreated => "auth.already_created",
            Self::EmailTaken => "auth.email_taken",
            Self::InvalidCredentials => "auth.invalid_credentials",
            Self::WrongPassword => "auth.wrong_password",
            Self::Throttled(_) => "auth.throttled",
            Self::InvalidRefreshToken => "auth.invalid_refresh_token",
            Self::UnknownUser => "auth.unknown_user",
            Self::UnknownApiKey => "auth.unknown_api_key",
            Self::AdminRequired => "auth.admin_required",
            Self::LoginRequired => "auth.login_required",
            Self::DemoRefused => "auth.demo_refused",
            Self::Demo(_) => "auth.demo_failed",
            Self::Hasher(HasherError::Busy) => "auth.busy",
            Self::Store(source) => match source.kind() {
                ErrorKind::StorageFull => "auth.storage_full",
                ErrorKind::Unavailable | ErrorKind::Timeout => "auth.store_unavailable",
                _ => "auth.internal",
            },
            Self::Identity(source) => source.code(),
            Self::Hasher(_) | Self::Signer(_) | Self::Randomness(_) => "auth.internal",
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Throttled(wait) => Some(*wait),
            Self::Hasher(HasherError::Busy) => Some(BUSY_RETRY),
            Self::Store(source) => source.retry_after(),
            Self::Demo(source) => source.retry_after(),
            Self::Identity(source) => source.retry_after(),
            _ => None,
        }
    }
}

/// Auth cannot start.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store does not open.
    #[error("the account store cannot be opened")]
    Store(#[from] touchstone_store::Error),
    /// There is no key to sign with.
    #[error("there is no key to sign tokens with")]
    Keys(#[from] KeyError),
    /// The password hasher does not work.
    #[error("the password hasher cannot be set up")]
    Hasher(#[from] HasherError),
}
