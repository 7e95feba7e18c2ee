use std::io::{ErrorKind as IoErrorKind, Write};
use std::path::Path;

use http::Method;
use rand::Rng;
use touchstone_api::auth::{
    CreateApiKeyRequest, CreatedApiKey, LoginRequest, RegisterRequest, SeedDemoResponse,
    TokenResponse,
};
use touchstone_client::{ClientError, Common, ServiceClient};
use touchstone_error::{Classify, ErrorKind};
use touchstone_identity::{Caller, RequestContext};

use crate::cli::KEY_FILE;

/// Holds the password while the demo is being set up: a start that was interrupted is finished by
/// the next one, which can then still show the login.
const PENDING_FILE: &str = "demo-pending";
/// Length of the generated password.
const PASSWORD_CHARACTERS: usize = 16;
/// Letters and digits that cannot be mistaken for each other.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";

/// What the banner shows once.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub email: String,
    pub password: String,
    pub api_key: String,
}

/// The demo could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// A service refused.
    #[error("the demo data could not be loaded")]
    Service(#[from] ClientError),
    /// The user's token does not hold.
    #[error("the demo user is not let in")]
    Identity(#[from] touchstone_identity::Error),
    /// The key or the password could not be kept.
    #[error("cannot keep the demo's key in the data directory")]
    Key(#[from] std::io::Error),
}

/// Makes the demo user and loads the corpus, unless an earlier start has done so: `None` then.
pub(crate) async fn seed(
    common: &Common,
    email: &str,
    data_dir: &Path,
) -> Result<Option<Credentials>, SeedError> {
    let auth = ServiceClient::new(common.mesh.clone(), "stack", "auth");
    let context = RequestContext::background("demo-seed");
    let pending = data_dir.join(PENDING_FILE);
    let interrupted = match std::fs::read_to_string(&pending) {
        Ok(password) => Some(password).filter(|password| !password.is_empty()),
        Err(error) if error.kind() == IoErrorKind::NotFound => None,
        Err(error) => return Err(error.into()),
    };
    let was_interrupted = interrupted.is_some();
    let password = interrupted.unwrap_or_else(password);
    if !was_interrupted {
        write_secret(&pending, &password)?;
    }
    let request = RegisterRequest {
        email: email.to_owned(),
        password: password.clone(),
        tenant_name: Some("Demo".into()),
    };
    let registered: Result<TokenResponse, _> = auth
        .call_anonymously(&context, Method::POST, "/auth/register", Some(&request))
        .await;
    let admitted = match registered {
        Err(error) if error.kind() == ErrorKind::Conflict && was_interrupted => {
            log_in(&auth, &context, email, &password).await
        }
        registered => registered,
    };
    let tokens = match admitted {
        Ok(tokens) => tokens,
        // The user is there, and has another password.
        Err(error) if [ErrorKind::Conflict, ErrorKind::Unauthenticated].contains(&error.kind()) => {
            std::fs::remove_file(&pending)?;
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let caller = common
        .verifier
        .verify(&tokens.access_token, context)
        .await?;
    let seeded: SeedDemoResponse = auth
        .call(&caller, Method::POST, "/auth/seed-demo", None::<&()>)
        .await?;
    tracing::info!(documents = seeded.documents, "loaded the demo corpus");
    let api_key = make_key(&auth, &caller).await?;
    write_secret(&data_dir.join(KEY_FILE), &api_key)?;
    std::fs::remove_file(&pending)?;
    Ok(Some(Credentials {
        email: email.to_owned(),
        password,
        api_key,
    }))
}

/// Whose the key in the data directory is, if it holds.
pub(crate) async fn operator(common: &Common, data_dir: &Path) -> Option<Caller> {
    let key = std::fs::read_to_string(data_dir.join(KEY_FILE)).ok()?;
    let context = RequestContext::background("operator");
    common.verifier.verify(key.trim(), context).await.ok()
}

async fn log_in(
    auth: &ServiceClient,
    context: &RequestContext,
    email: &str,
    password: &str,
) -> Result<TokenResponse, ClientError> {
    let request = LoginRequest {
        email: email.to_owned(),
        password: password.to_owned(),
    };
    auth.call_anonymously(context, Method::POST, "/auth/login", Some(&request))
        .await
}

async fn make_key(auth: &ServiceClient, caller: &Caller) -> Result<String, ClientError> {
    let request = CreateApiKeyRequest {
        name: "command line".into(),
        expires_in_days: None,
    };
    let created: CreatedApiKey = auth
        .call(caller, Method::POST, "/auth/api-keys", Some(&request))
        .await?;
    Ok(created.key)
}

/// Only the owner may read it.
fn write_secret(path: &Path, secret: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(secret.as_bytes())?;
    file.sync_all()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a password must come from the system's source"
)]
fn password() -> String {
    let mut rng: rand::rngs::StdRng = rand::make_rng();
    let mut password = String::with_capacity(PASSWORD_CHARACTERS);
    while password.len() < PASSWORD_CHARACTERS {
        // Rejection keeps every character equally likely.
        let index = (rng.next_u32() & 63) as usize;
        password.extend(ALPHABET.get(index).map(|&byte| char::from(byte)));
    }
    password
}
