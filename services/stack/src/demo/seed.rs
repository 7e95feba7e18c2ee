use std::io::Write;
use std::path::Path;

use http::Method;
use rand::Rng;
use touchstone_api::auth::{
    CreateApiKeyRequest, CreatedApiKey, RegisterRequest, SeedDemoResponse, TokenResponse,
};
use touchstone_client::{ClientError, Common, ServiceClient};
use touchstone_error::{Classify, ErrorKind};
use touchstone_identity::{Caller, RequestContext};

use crate::cli::KEY_FILE;

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
    /// The key could not be written.
    #[error("cannot write the command line's key")]
    Key(#[from] std::io::Error),
}

/// Makes the demo user and loads the corpus, unless the user is there already: `None` then.
pub(crate) async fn seed(
    common: &Common,
    email: &str,
    data_dir: &Path,
) -> Result<Option<Credentials>, SeedError> {
    let auth = ServiceClient::new(common.mesh.clone(), "stack", "auth");
    let context = RequestContext::background("demo-seed");
    let password = password();
    let request = RegisterRequest {
        email: email.to_owned(),
        password: password.clone(),
        tenant_name: Some("Demo".into()),
    };
    let registered: Result<TokenResponse, _> = auth
        .call_anonymously(&context, Method::POST, "/auth/register", Some(&request))
        .await;
    let tokens = match registered {
        Ok(tokens) => tokens,
        Err(error) if error.kind() == ErrorKind::Conflict => return Ok(None),
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
    write_key(data_dir, &api_key)?;
    Ok(Some(Credentials {
        email: email.to_owned(),
        password,
        api_key,
    }))
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
fn write_key(data_dir: &Path, key: &str) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(data_dir.join(KEY_FILE))?;
    file.write_all(key.as_bytes())?;
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
