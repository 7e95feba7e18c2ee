use std::convert::Infallible;

use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request::Parts;
use serde::de::DeserializeOwned;
use touchstone_api::headers::{CLIENT_ADDRESS, IDEMPOTENCY_KEY};
use touchstone_error::ErrorKind;
use touchstone_web::{AppJson, Problem};

use crate::Error;
use crate::domain::ClientAddress;

/// JSON that may hold a secret: the refusal of a wrong shape repeats nothing of the body, because
/// it would reach the log.
pub(super) struct SecretJson<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for SecretJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        match AppJson::from_request(request, state).await {
            Ok(AppJson(value)) => Ok(Self(value)),
            Err(problem) if problem.kind() == ErrorKind::Unprocessable => Err(Problem::new(
                ErrorKind::Unprocessable,
                problem.code(),
                "a field is missing, unknown or of the wrong type; see /openapi.json",
            )),
            Err(problem) => Err(problem),
        }
    }
}

/// Where the request comes from.
pub(super) struct From(pub ClientAddress);

impl<S: Send + Sync> FromRequestParts<S> for From {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let header = parts
            .headers
            .get(CLIENT_ADDRESS)
            .and_then(|value| value.to_str().ok());
        Ok(Self(ClientAddress::from_header(header)))
    }
}

/// The `Idempotency-Key`, if there is one.
pub(super) struct IdempotencyKey(pub Option<String>);

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let header = parts.headers.get(IDEMPOTENCY_KEY);
        let text = header
            .map(|value| value.to_str().map(str::to_owned))
            .transpose();
        Ok(Self(text.map_err(|_| Error::IdempotencyKey)?))
    }
}
