use std::fmt;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use futures_util::{Stream, StreamExt};
use reqwest::header::RETRY_AFTER;
use reqwest::{Method, RequestBuilder, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use touchstone_api::Problem;
use touchstone_api::auth::{LoginRequest, TokenResponse};
use touchstone_api::generation::{AskEvent, AskRequest};
use touchstone_client::sse;

use super::args::{Cli, Target};
use super::patience::Patience;
use crate::StackConfig;

/// File in the data directory with an API key of the demo user, for commands on this machine.
pub(crate) const KEY_FILE: &str = "cli-key";

/// Code of a path that does not exist; what the commands ask for exists in every gateway.
const UNKNOWN_PATH: &str = "request.unknown_path";

/// A running stack, spoken to through its gateway.
#[derive(Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
    credential: String,
}

/// A refusal of the stack.
#[derive(Debug)]
pub(crate) struct Refusal(pub Problem);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Problem {
            status,
            detail,
            code,
            request_id,
            ..
        } = &self.0;
        write!(f, "{detail} ({status} {code}")?;
        // Of a caller's own mistake the log tells nothing more.
        if *status >= 500 {
            write!(f, ", request {request_id}")?;
        }
        f.write_str(")")
    }
}

impl std::error::Error for Refusal {}

impl Api {
    /// Connects as the target says: API key, login, or the key in the data directory.
    pub async fn connect(target: &Target, cli: &Cli) -> anyhow::Result<Self> {
        let mut api = Self::anonymous(&target.url)?;
        api.credential = if let Some(key) = &target.api_key {
            key.clone()
        } else if let Some(email) = &target.email {
            let password = match touchstone_config::variable("TOUCHSTONE_PASSWORD") {
                Some(password) => password,
                None => rpassword::prompt_password(format!("password of {email}: ")).context(
                    "there is no terminal to ask for the password; set TOUCHSTONE_PASSWORD",
                )?,
            };
            let request = LoginRequest {
                email: email.clone(),
                password,
            };
            let tokens: TokenResponse = api.post("/auth/login", &request).await?;
            tokens.access_token
        } else {
            let stack: StackConfig = cli.loader(&cli.up)?.section()?;
            key_of(&stack.data_dir)?
        };
        Ok(api)
    }

    /// Without a credential.
    pub fn anonymous(url: &str) -> anyhow::Result<Self> {
        let is_web = reqwest::Url::parse(url)
            .is_ok_and(|url| url.has_host() && ["http", "https"].contains(&url.scheme()));
        anyhow::ensure!(
            is_web,
            "`{url}` is no URL of a stack; write one like http://127.0.0.1:8000"
        );
        let http = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(5))
            .build()?;
        Ok(Self {
            http,
            base: url.trim_end_matches('/').to_owned(),
            credential: String::new(),
        })
    }

    /// The same stack, with another credential.
    pub fn with_credential(&self, credential: String) -> Self {
        Self {
            credential,
            ..self.clone()
        }
    }

    /// Whether a stack answers.
    pub async fn answers(&self) -> bool {
        self.http
            .get(format!("{}/ready", self.base))
            .send()
            .await
            .is_ok()
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<T> {
        self.read(|| self.request(Method::GET, path)).await
    }

    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &(impl Serialize + Sync),
    ) -> anyhow::Result<T> {
        self.read(|| self.request(Method::POST, path).json(body))
            .await
    }

    /// Uploads a file as multipart; the idempotency key makes a repeat harmless.
    pub async fn upload<T: DeserializeOwned>(
        &self,
        filename: &str,
        content: bytes::Bytes,
        idempotency_key: &str,
    ) -> anyhow::Result<T> {
        let request = || {
            let length = content.len() as u64;
            let body = reqwest::Body::from(content.clone());
            let part = reqwest::multipart::Part::stream_with_length(body, length);
            let part = part.file_name(filename.to_owned());
            let form = reqwest::multipart::Form::new().part("file", part);
            let request = self.request(Method::POST, "/documents").multipart(form);
            request.header("Idempotency-Key", idempotency_key)
        };
        self.read(request).await
    }

    /// Streams an answer; dropping the stream cancels it.
    pub async fn ask_stream(
        &self,
        request: &AskRequest,
    ) -> anyhow::Result<impl Stream<Item = anyhow::Result<AskEvent>> + use<>> {
        let request = AskRequest {
            stream: true,
            ..request.clone()
        };
        let response = self
            .send(|| self.request(Method::POST, "/ask").json(&request))
            .await?;
        Ok(sse::events(response.bytes_stream()).map(|event| {
            let event = event?;
            touchstone_client::decode_ask_event(&event)
                .with_context(|| format!("cannot read the event `{}`", event.event))
        }))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self
            .http
            .request(method, format!("{}/api/v1{path}", self.base));
        if self.credential.is_empty() {
            request
        } else {
            request.bearer_auth(&self.credential)
        }
    }

    async fn read<T: DeserializeOwned>(
        &self,
        request: impl Fn() -> RequestBuilder,
    ) -> anyhow::Result<T> {
        let bytes = self
            .send(request)
            .await?
            .bytes()
            .await
            .context("the answer broke off")?;
        serde_json::from_slice(&bytes).context("the answer is not what was expected")
    }

    /// Sends a request; one that the stack has no room for now is sent again when the stack says so.
    async fn send(&self, request: impl Fn() -> RequestBuilder) -> anyhow::Result<Response> {
        let mut patience = Patience::default();
        let response = loop {
            let response = request()
                .send()
                .await
                .map_err(|error| self.unreachable(&error))?;
            let retry_after = response.headers().get(RETRY_AFTER);
            let retry_after = retry_after.and_then(|value| value.to_str().ok());
            let Some((wait, why)) = patience.wait(response.status(), retry_after) else {
                break response;
            };
            eprintln!("{why}; going on in {} s", wait.as_secs());
            tokio::time::sleep(wait).await;
        };
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = response.bytes().await.unwrap_or_default();
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if problem.code != UNKNOWN_PATH => Err(Refusal(problem).into()),
            _ => anyhow::bail!(
                "what answers at {} ({status}) is no gateway of a stack; name it with --url",
                self.base
            ),
        }
    }

    /// Why nothing answers, without the layers between the reason and us.
    fn unreachable(&self, error: &reqwest::Error) -> anyhow::Error {
        let reasons = std::iter::successors(Some(error as &dyn std::error::Error), |error| {
            error.source()
        });
        let reason = reasons.last().map(ToString::to_string).unwrap_or_default();
        if error.is_connect() {
            anyhow::anyhow!(
                "no stack answers at {}; start one with `touchstone` or name it with --url ({reason})",
                self.base
            )
        } else {
            anyhow::anyhow!("{} broke off: {reason}", self.base)
        }
    }
}

/// The API key that the stack left in its data directory.
fn key_of(data_dir: &Path) -> anyhow::Result<String> {
    let path = data_dir.join(KEY_FILE);
    let key = std::fs::read_to_string(&path).with_context(|| {
        format!(
            "no credential: give --api-key, --email, or the stack's --data-dir; cannot read `{}`",
            path.display()
        )
    })?;
    Ok(key.trim().to_owned())
}
