use std::convert::Infallible;
use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header::AUTHORIZATION;
use http::request::Parts;
use touchstone_api::headers::API_KEY;
use touchstone_error::ErrorKind;
use touchstone_identity::{Error, RequestContext, Verifier};

use crate::Problem;

/// The verified caller of a request; 401 without a credential that holds.
#[derive(Clone, Debug)]
pub struct Caller(pub touchstone_identity::Caller);

impl Deref for Caller {
    type Target = touchstone_identity::Caller;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let credential = credential(parts).ok_or(Error::Missing)??;
        let (Some(verifier), Some(context)) = (
            parts.extensions.get::<Arc<Verifier>>(),
            parts.extensions.get::<RequestContext>(),
        ) else {
            let detail = "the route is not behind a `Surface`";
            return Err(Problem::new(ErrorKind::Internal, "web.no_surface", detail));
        };
        Ok(Self(verifier.verify(&credential, context.clone()).await?))
    }
}

/// The caller, if there is one whose credential holds.
#[derive(Clone, Debug)]
pub struct OptionalCaller(pub Option<touchstone_identity::Caller>);

impl<S: Send + Sync> FromRequestParts<S> for OptionalCaller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Infallible> {
        let caller = Caller::from_request_parts(parts, state).await;
        Ok(Self(caller.ok().map(|Caller(caller)| caller)))
    }
}

/// The credential of a request: a bearer token, else an API key.
fn credential(parts: &Parts) -> Option<Result<String, Error>> {
    if let Some(value) = parts.headers.get(AUTHORIZATION) {
        let token = value.to_str().ok().and_then(|value| {
            let (scheme, token) = value.split_once(' ')?;
            scheme
                .eq_ignore_ascii_case("bearer")
                .then(|| token.trim().to_owned())
        });
        return Some(token.ok_or(Error::Invalid));
    }
    let key = parts.headers.get(API_KEY)?;
    Some(key.to_str().map(str::to_owned).map_err(|_| Error::Invalid))
}
