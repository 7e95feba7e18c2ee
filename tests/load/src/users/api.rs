//! Calls beside the load: logins, uploads and limits, over the public API.

use std::time::Duration;

use http::header::{AUTHORIZATION, ETAG, IF_MATCH, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::client::{Answer, Client, Read};
use crate::steps::Call;

/// Longest time that a call waits for quotas and for services that are busy.
const PATIENCE: Duration = Duration::from_mins(5);

/// A call that did not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Nothing answered.
    #[error("{method} {path} got no answer: {reason}")]
    NoAnswer {
        /// How.
        method: Method,
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
    /// It was refused.
    #[error("{method} {path} was answered with {status}: {body}")]
    Refused {
        /// How.
        method: Method,
        /// Where.
        path: String,
        /// Status.
        status: StatusCode,
        /// The begin of the body.
        body: String,
    },
    /// The answer is not what it should be.
    #[error("{path} answered what was not expected: {reason}")]
    Strange {
        /// Where.
        path: String,
        /// Why.
        reason: String,
    },
}

impl ApiError {
    /// The status of a refusal.
    pub const fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// The API of a target.
#[derive(Debug)]
pub struct Api<'a>(pub &'a Client);

impl Api<'_> {
    /// Makes a call and reads its JSON. Waits as quotas and busy services ask for.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        credential: Option<&HeaderValue>,
        body: Option<&Value>,
    ) -> Result<T, ApiError> {
        let call = match body {
            Some(body) => Call::post(path, body),
            None => Call::get(path),
        };
        let answer = self.send(&method, path, call, credential).await?;
        parse(path, &answer)
    }

    /// The limits of the gateway, and the name of this state of theirs.
    pub async fn limits(&self, operator: &HeaderValue) -> Result<(Value, HeaderValue), ApiError> {
        let path = "/api/v1/config";
        let answer = self
            .send(&Method::GET, path, Call::get(path), Some(operator))
            .await?;
        Ok((parse(path, &answer)?, tag(path, &answer.headers)?))
    }

    /// Changes the limits, if their state is still the named one.
    pub async fn set_limits(
        &self,
        operator: &HeaderValue,
        tag_of_old: HeaderValue,
        limits: &Value,
    ) -> Result<HeaderValue, ApiError> {
        let path = "/api/v1/config";
        let call = Call::post(path, limits)
            .header(IF_MATCH, tag_of_old)
            .method(Method::PUT);
        let answer = self.send(&Method::PUT, path, call, Some(operator)).await?;
        tag(path, &answer.headers)
    }

    async fn send(
        &self,
        method: &Method,
        path: &str,
        call: Call,
        credential: Option<&HeaderValue>,
    ) -> Result<Answer, ApiError> {
        let call = match credential {
            Some(credential) => call.header(AUTHORIZATION, credential.clone()),
            None => call,
        };
        let no_answer = |reason: String| ApiError::NoAnswer {
            method: method.clone(),
            path: path.to_owned(),
            reason,
        };
        let mut waited = Duration::ZERO;
        loop {
            let request = call
                .request(self.0, None)
                .map_err(|error| no_answer(error.to_string()))?;
            let mut lane = self.0.lane();
            let exchange = self.0.exchange(&mut lane, request, Read::Keep).await;
            let answer = exchange.result.map_err(|failure| no_answer(failure.what))?;
            if answer.status.is_success() {
                return Ok(answer);
            }
            let is_busy = [
                StatusCode::TOO_MANY_REQUESTS,
                StatusCode::SERVICE_UNAVAILABLE,
            ]
            .contains(&answer.status);
            let wait = wait_asked_for(&answer.headers).filter(|_| is_busy);
            match wait {
                Some(wait) if waited + wait <= PATIENCE => {
                    tokio::time::sleep(wait).await;
                    waited += wait;
                }
                _ => {
                    let body = &answer.body[..answer.body.len().min(300)];
                    return Err(ApiError::Refused {
                        method: method.clone(),
                        path: path.to_owned(),
                        status: answer.status,
                        body: String::from_utf8_lossy(body).into_owned(),
                    });
                }
            }
        }
    }
}

fn wait_asked_for(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds).max(Duration::from_millis(100)))
}

fn tag(path: &str, headers: &HeaderMap) -> Result<HeaderValue, ApiError> {
    headers.get(ETAG).cloned().ok_or_else(|| ApiError::Strange {
        path: path.to_owned(),
        reason: "no ETag".into(),
    })
}

fn parse<T: DeserializeOwned>(path: &str, answer: &Answer) -> Result<T, ApiError> {
    serde_json::from_slice(&answer.body).map_err(|error| ApiError::Strange {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}
