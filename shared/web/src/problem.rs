use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};
use touchstone_api::headers::FAILED_BELOW;
use touchstone_error::{Classify, ErrorKind, chain};

/// Content type of a problem.
pub const PROBLEM_JSON: &str = "application/problem+json";
/// What callers read of an internal error; the rest is in the log.
const INTERNAL_DETAIL: &str =
    "something broke on our side; the log holds the reason under this request id";

/// An error on its way to the caller (RFC 9457). The boundary of the [`crate::Surface`] logs it
/// once and adds request id and path.
#[derive(Clone, Debug)]
pub struct Problem(Arc<Inner>);

#[derive(Clone, Debug)]
struct Inner {
    /// A URI that names the kind of problem, when there is a better one than `about:blank`.
    type_: Option<&'static str>,
    /// Headers of the response.
    headers: http::HeaderMap,
    /// Members beside the usual ones.
    extensions: serde_json::Map<String, serde_json::Value>,
    kind: ErrorKind,
    code: String,
    detail: String,
    retry_after: Option<Duration>,
    /// The service behind this one whose failure it is.
    failed_below: Option<String>,
    log: String,
}

impl Problem {
    /// A problem that stems from no error value.
    pub fn new(kind: ErrorKind, code: impl Into<String>, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self(Arc::new(Inner {
            type_: None,
            headers: http::HeaderMap::new(),
            extensions: serde_json::Map::new(),
            kind,
            code: code.into(),
            log: detail.clone(),
            detail,
            retry_after: None,
            failed_below: None,
        }))
    }

    /// With a URI that names its kind.
    pub fn of_type(mut self, type_: &'static str) -> Self {
        Arc::make_mut(&mut self.0).type_ = Some(type_);
        self
    }

    /// With a member beside the usual ones.
    pub fn with(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        let inner = Arc::make_mut(&mut self.0);
        inner.extensions.insert(name.to_owned(), value.into());
        self
    }

    /// With headers of its response.
    pub fn headers(mut self, headers: http::HeaderMap) -> Self {
        Arc::make_mut(&mut self.0).headers = headers;
        self
    }

    /// With the time after which the same request may succeed.
    pub fn retry_after(mut self, after: Option<Duration>) -> Self {
        Arc::make_mut(&mut self.0).retry_after = after;
        self
    }

    /// What it means.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Its stable code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// What the log shall say: the whole chain of the error.
    pub(crate) fn log(&self) -> &str {
        &self.0.log
    }

    /// The wire form.
    pub fn to_wire(&self, request_id: &str, instance: Option<&str>) -> touchstone_api::Problem {
        let Inner {
            kind, code, detail, ..
        } = &*self.0;
        let detail = if *kind == ErrorKind::Internal {
            INTERNAL_DETAIL
        } else {
            detail
        };
        touchstone_api::Problem {
            type_: self.0.type_.unwrap_or("about:blank").into(),
            title: kind.title().into(),
            status: kind.status(),
            detail: detail.into(),
            instance: instance.map(Into::into),
            code: code.clone(),
            request_id: request_id.into(),
        }
    }

    /// The finished response.
    pub fn render(&self, request_id: &str, instance: Option<&str>) -> Response {
        let mut body = serde_json::to_value(self.to_wire(request_id, instance)).unwrap_or_default();
        if let Some(members) = body.as_object_mut() {
            let own = self.0.extensions.iter();
            members.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        }
        let body = body.to_string();
        let status =
            StatusCode::from_u16(self.0.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, body).into_response();
        response.headers_mut().extend(self.0.headers.clone());
        response
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer");
            response
                .headers_mut()
                .insert(http::header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(after) = self.0.retry_after {
            let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
            response
                .headers_mut()
                .insert(RETRY_AFTER, seconds.max(1).into());
        }
        if let Some(service) = &self.0.failed_below
            && status.is_server_error()
            && let Ok(service) = HeaderValue::from_str(service)
        {
            let name = HeaderName::from_static(FAILED_BELOW);
            response.headers_mut().insert(name, service);
        }
        response
    }
}

impl<E: Classify + 'static> From<E> for Problem {
    fn from(error: E) -> Self {
        Self(Arc::new(Inner {
            type_: None,
            headers: http::HeaderMap::new(),
            extensions: serde_json::Map::new(),
            kind: error.kind(),
            code: error.code().to_owned(),
            detail: error.detail(),
            retry_after: error.retry_after(),
            failed_below: error.failed_below().map(str::to_owned),
            log: chain(&error as &dyn Error).to_string(),
        }))
    }
}

impl IntoResponse for Problem {
    /// A response for the boundary, which renders it.
    fn into_response(self) -> Response {
        let mut response = self.render("", None);
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("no answer")]
    struct Below(ErrorKind);

    impl Classify for Below {
        fn kind(&self) -> ErrorKind {
            self.0
        }

        fn code(&self) -> &'static str {
            "sample.below"
        }

        fn failed_below(&self) -> Option<&str> {
            Some("vector")
        }
    }

    #[test]
    fn failures_of_the_service_name_the_one_behind_it_whose_they_are() {
        let told = |problem: Problem| {
            problem
                .render("", None)
                .headers()
                .get(FAILED_BELOW)
                .cloned()
        };
        for kind in [
            ErrorKind::Unavailable,
            ErrorKind::Timeout,
            ErrorKind::Internal,
        ] {
            assert_eq!(told(Below(kind).into()).unwrap(), "vector");
        }
        // What the caller did wrong is nobody's failure.
        assert_eq!(told(Below(ErrorKind::Unprocessable).into()), None);
        assert_eq!(told(Problem::new(ErrorKind::Unavailable, "x", "y")), None);
    }
}
