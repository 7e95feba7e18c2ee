use std::borrow::Cow;

use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use touchstone_error::{Classify, ErrorKind};

use crate::Problem;
use crate::strict::Strict;

/// A request that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The body is not JSON.
    #[error("the body is not valid JSON: {0}")]
    Malformed(String),
    /// The body or the query is of the wrong shape.
    #[error("{0}")]
    Invalid(String),
    /// The `Content-Type` is missing or wrong.
    #[error("send `Content-Type: {expected}`")]
    MediaType {
        /// What the route reads.
        expected: Cow<'static, str>,
    },
    /// The body is larger than the route allows.
    #[error("the body is larger than this path allows")]
    TooLarge,
    /// The body did not arrive.
    #[error("the body ended early")]
    Incomplete,
    /// The path names nothing.
    #[error("there is nothing at this path")]
    UnknownId,
}

impl Classify for RequestError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed(_) | Self::Incomplete => ErrorKind::BadRequest,
            Self::Invalid(_) => ErrorKind::Unprocessable,
            Self::MediaType { .. } => ErrorKind::UnsupportedMediaType,
            Self::TooLarge => ErrorKind::PayloadTooLarge,
            Self::UnknownId => ErrorKind::NotFound,
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Malformed(_) => "request.malformed",
            Self::Incomplete => "request.incomplete",
            Self::Invalid(_) => "request.invalid",
            Self::MediaType { .. } => "request.unsupported_media_type",
            Self::TooLarge => "request.too_large",
            Self::UnknownId => "request.unknown_id",
        }
    }
}

impl From<BytesRejection> for RequestError {
    fn from(rejection: BytesRejection) -> Self {
        match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge,
            _ => Self::Incomplete,
        }
    }
}

/// JSON in and out.
#[derive(Clone, Copy, Debug)]
pub struct AppJson<T>(pub T);

impl<T: DeserializeOwned> AppJson<T> {
    /// Reads a body that is known to be JSON.
    pub fn parse(bytes: &[u8]) -> Result<T, RequestError> {
        let deserializer = &mut serde_json::Deserializer::from_slice(bytes);
        let strict = Strict(&mut *deserializer);
        let value = serde_path_to_error::deserialize(strict).map_err(|error| {
            let path = error.path().to_string();
            let inner = error.into_inner();
            if inner.is_data() {
                let field = if path == "." {
                    String::new()
                } else {
                    format!("`{path}`: ")
                };
                RequestError::Invalid(format!("{field}{}", without_position(&inner)))
            } else {
                RequestError::Malformed(inner.to_string())
            }
        })?;
        deserializer
            .end()
            .map_err(|error| RequestError::Malformed(error.to_string()))?;
        Ok(value)
    }
}

/// The message of a data error without ` at line 1 column 5`.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ")
        .map_or(text.clone(), |(message, _)| message.to_owned())
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for AppJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(RequestError::MediaType {
                expected: "application/json".into(),
            }
            .into());
        }
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(RequestError::from)?;
        Ok(Self(Self::parse(&bytes)?))
    }
}

impl<T: Serialize> IntoResponse for AppJson<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => {
                let json = HeaderValue::from_static("application/json");
                ([(CONTENT_TYPE, json)], body).into_response()
            }
            Err(error) => Problem::new(
                ErrorKind::Internal,
                "response.unwritable",
                format!("the response cannot be written as JSON: {error}"),
            )
            .into_response(),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
    else {
        return false;
    };
    let essence = value
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json"
        || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// The query string.
#[derive(Clone, Copy, Debug)]
pub struct AppQuery<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for AppQuery<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Query::<T>::from_request_parts(parts, state)
            .await
            .map(|Query(value)| Self(value))
            .map_err(|rejection| {
                let text = rejection.body_text();
                let message = text
                    .rsplit_once("query string: ")
                    .map_or(&*text, |(_, tail)| tail);
                RequestError::Invalid(format!("query: {message}")).into()
            })
    }
}

/// Parameters in the path. What cannot be read names nothing: 404.
#[derive(Clone, Copy, Debug)]
pub struct AppPath<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for AppPath<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Path::<T>::from_request_parts(parts, state)
            .await
            .map(|Path(value)| Self(value))
            .map_err(|_| RequestError::UnknownId.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only its type matters")]
        limit: u32,
    }

    fn parse(body: &str) -> RequestError {
        AppJson::<Sample>::parse(body.as_bytes()).unwrap_err()
    }

    #[test]
    fn tells_broken_syntax_from_wrong_shape() {
        assert!(matches!(parse("{"), RequestError::Malformed(_)));
        assert!(matches!(
            parse("{\"limit\":1} x"),
            RequestError::Malformed(_)
        ));
        assert!(matches!(
            parse(&"[".repeat(10_000)),
            RequestError::Invalid(_) | RequestError::Malformed(_)
        ));
        for number in ["7.0", "0.7e1"] {
            AppJson::<Sample>::parse(format!("{{\"limit\":{number}}}").as_bytes()).unwrap();
        }
        for number in ["7.5", "-1.0", "1e10", "1e30"] {
            assert!(matches!(
                parse(&format!("{{\"limit\":{number}}}")),
                RequestError::Invalid(_)
            ));
        }
        let wrong = parse("{\"limit\":\"x\"}").to_string();
        assert!(wrong.starts_with("`limit`: invalid type"), "{wrong}");
        assert!(
            parse("{\"limit\":1,\"extra\":2}")
                .to_string()
                .contains("extra")
        );
    }
}
