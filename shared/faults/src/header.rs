//! Faults that a request asks for itself.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::{Plane, Spec};

/// The fault: `kind; name=value; …; at=service`.
pub const FAULT: HeaderName = HeaderName::from_static("x-fault");
/// The fault-admin key.
pub const KEY: HeaderName = HeaderName::from_static("x-fault-key");
/// Which faults struck the request, in its answer.
pub const STRUCK: HeaderName = HeaderName::from_static("x-fault-struck");

/// What a request has asked for.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub spec: Arc<Spec>,
    /// The service that it is meant for.
    at: Option<String>,
    raw: HeaderValue,
}

impl Asked {
    /// Takes both headers out of a request, so that the key gets no further than it must. Without the
    /// key they are worth nothing.
    pub fn take(headers: &mut HeaderMap, plane: &Plane) -> Result<Option<Self>, String> {
        let known = plane.knows(headers);
        headers.remove(KEY);
        let Some(raw) = headers.remove(FAULT).filter(|_| known) else {
            return Ok(None);
        };
        let text = raw.to_str().map_err(|_| "the header is no text")?;
        let (spec, at) = Spec::of_header(text)?;
        let spec = Arc::new(spec);
        Ok(Some(Self { spec, at, raw }))
    }

    /// Whether it is meant for this service: the first one, unless it names another.
    pub fn is_for(&self, service: &str) -> bool {
        self.at.as_deref().is_none_or(|at| at == service)
    }

    /// Hands it on to the next service.
    pub fn hand_on(&self, plane: &Plane, headers: &mut HeaderMap) {
        if let (Some(_), Some(key)) = (&self.at, plane.key()) {
            headers.insert(FAULT, self.raw.clone());
            headers.insert(KEY, key);
        }
    }
}
