//! Callers on this machine without a credential: what the older clients' `curl` lines are.

use std::sync::{Arc, OnceLock};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{AUTHORIZATION, FORWARDED, HOST, HeaderValue, ORIGIN};
use http::{HeaderMap, HeaderName, Uri};
use touchstone_api::headers::API_KEY;
use touchstone_identity::{Caller, ServiceKey};
use touchstone_types::Clock;

/// A proxy adds it: then the caller is elsewhere.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whom callers without a credential are taken for; nobody, until somebody is named.
#[derive(Clone, Debug, Default)]
pub struct Guests(Arc<OnceLock<Caller>>);

impl Guests {
    /// Names the host of the guests; only the first one counts.
    pub fn are(&self, host: Caller) {
        let _ = self.0.set(host);
    }

    /// Whether guests are let in now.
    pub fn are_welcome(&self) -> bool {
        self.0.get().is_some()
    }
}

/// What letting guests in takes.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub guests: Guests,
    pub key: ServiceKey,
    pub clock: Arc<dyn Clock>,
}

/// Gives a guest a credential of a minute; everybody else passes as they came.
pub(crate) async fn admit(State(door): State<Door>, mut request: Request, next: Next) -> Response {
    if is_guest(request.headers(), request.uri())
        && let Some(host) = door.guests.0.get()
        && let Ok(token) = door.key.mint("telegram", host, door.clock.now())
        && let Ok(value) = HeaderValue::from_str(&format!("Bearer {token}"))
    {
        request.headers_mut().insert(AUTHORIZATION, value);
    }
    next.run(request).await
}

/// Whether a request comes from a program on this machine that shows nothing.
///
/// The socket is bound to loopback, so the peer is on this machine; but it may be a browser with a
/// page from elsewhere (which names its `Origin`), one whose page's name was pointed here (which
/// names it as `Host`), or a proxy (which says for whom).
fn is_guest(headers: &HeaderMap, uri: &Uri) -> bool {
    let shown = [&AUTHORIZATION, &ORIGIN, &FORWARDED, &FORWARDED_FOR];
    let shows_nothing =
        shown.iter().all(|name| !headers.contains_key(*name)) && !headers.contains_key(API_KEY);
    let host = headers.get(HOST).and_then(|host| host.to_str().ok());
    shows_nothing && host.or_else(|| uri.host()).is_some_and(is_loopback)
}

fn is_loopback(host: &str) -> bool {
    // An address of IPv6 stands in brackets, with or without a port behind them.
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(headers: &[(&'static str, &'static str)]) -> bool {
        let headers = headers.iter().map(|(name, value)| {
            let name = HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        });
        is_guest(&headers.collect(), &Uri::from_static("/files"))
    }

    #[test]
    fn only_programs_on_this_machine_are_guests() {
        for host in [
            "localhost:8008",
            "127.0.0.1:8008",
            "127.9.0.1",
            "[::1]:8008",
            "LOCALHOST",
        ] {
            assert!(guest(&[("host", host)]), "{host}");
        }
        for host in [
            "example.com",
            "127.0.0.1.example.com",
            "localhost.example.com",
            "10.0.0.1",
            "",
        ] {
            assert!(!guest(&[("host", host)]), "{host}");
        }
        for (name, value) in [
            ("origin", "http://localhost:8000"),
            ("origin", "null"),
            ("x-forwarded-for", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
            ("authorization", "Bearer wrong"),
            ("x-api-key", "wrong"),
        ] {
            assert!(!guest(&[("host", "localhost"), (name, value)]), "{name}");
        }
        assert!(!guest(&[]), "without a host");
    }
}
