//! Whether and for how long an answer may be used again (RFC 9111).

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, SystemTime};

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{
    AGE, AUTHORIZATION, CACHE_CONTROL, COOKIE, DATE, ETAG, EXPIRES, HOST, IF_NONE_MATCH, PRAGMA,
    RANGE, SET_COOKIE, VARY,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_cache_semantics::{BeforeRequest, CacheOptions, CachePolicy};
use sha2::{Digest, Sha256};
use touchstone_api::headers::{API_KEY, DEADLINE, DEGRADED, REQUEST_ID, TRACEPARENT};

use crate::headers::{is_event_stream, of_response};

/// Each entry belongs to one scope of authorization, so that it is a private cache, not a shared
/// one: `private` may be kept, and `s-maxage` means others.
const OPTIONS: CacheOptions = CacheOptions {
    shared: false,
    cache_heuristic: 0.0,
    immutable_min_time_to_live: Duration::from_secs(0),
    ignore_cargo_cult: false,
};

/// Memory of a header without its value: hash, name, value and links of the map.
const HEADER: usize = size_of::<(u64, HeaderName, HeaderValue, [usize; 4])>();
/// Memory of a policy's own two maps, of a handful of headers each.
const POLICY: usize = 2 * 8 * HEADER;

/// How long an answer that is kept for bad times stands for equal ones that come after it.
const RENEW: Duration = Duration::from_secs(5);

/// A whole answer. It owns what it keeps: a header as it was parsed is a piece of the buffer that a
/// connection was read into, and would keep all of that.
#[derive(Debug)]
pub(crate) struct Entry {
    status: StatusCode,
    /// As clients are told them.
    headers: HeaderMap,
    /// Digest of those of the service that do not differ from answer to answer.
    said: u64,
    body: Bytes,
    /// By which rules it may be used again; `None` when it may not.
    policy: Option<CachePolicy>,
    /// How long it is fresh.
    lifetime: Duration,
    stored: SystemTime,
}

/// What an entry says to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fitness {
    /// It may be used.
    Fresh,
    /// It may be used if there is nothing better.
    Stale,
    /// It may not be used.
    Unfit,
}

impl Entry {
    /// An answer to `request`, of which `ttl` is the default lifetime.
    pub fn new(
        request: &Request<()>,
        head: &http::response::Parts,
        body: Bytes,
        ttl: Duration,
        now: SystemTime,
    ) -> Self {
        // With room for what may be added below.
        let mut headers = HeaderMap::with_capacity(head.headers.keys_len() + 2);
        for (name, value) in &head.headers {
            headers.append(name, owned(value));
        }
        let policy = may_be_kept(head)
            .then(|| policy(request, head, ttl, now))
            .filter(CachePolicy::is_storable);
        if request.method() == Method::GET && head.status == StatusCode::OK {
            if !headers.contains_key(ETAG) {
                headers.insert(ETAG, tag_of(&body));
            }
            // Ask again, and be told quickly that nothing changed.
            headers
                .entry(CACHE_CONTROL)
                .or_insert(HeaderValue::from_static("private, no-cache"));
        }
        of_response(&mut headers);
        let lifetime = policy.as_ref().map(|policy| policy.time_to_live(now));
        Self {
            status: head.status,
            headers,
            said: said(&head.headers),
            body,
            policy,
            lifetime: lifetime.unwrap_or_default(),
            stored: now,
        }
    }

    /// Whether it may be kept.
    pub const fn is_storable(&self) -> bool {
        self.policy.is_some()
    }

    /// Whether its upstream failed.
    pub fn is_failure(&self) -> bool {
        matches!(self.status.as_u16(), 500 | 502..=504)
    }

    /// Whether its time is over; then it is fresh for no request, and a closer look is spared.
    pub fn is_over(&self, now: SystemTime) -> bool {
        self.age(now) >= self.lifetime
    }

    /// Whether a service says the same again, so that this one, which is never fresh, can stand for
    /// the new answer for a while.
    pub fn is_said_again(
        &self,
        head: &http::response::Parts,
        body: &[u8],
        now: SystemTime,
    ) -> bool {
        self.lifetime.is_zero()
            && self.age(now) < RENEW
            && self.status == head.status
            && self.body == body
            && self.said == said(&head.headers)
    }

    /// How long ago it was told.
    pub fn age(&self, now: SystemTime) -> Duration {
        now.duration_since(self.stored).unwrap_or_default()
    }

    /// Whether it may answer `request`; `stale` is how long it may after its lifetime.
    pub fn fitness(&self, request: &Request<()>, stale: Duration, now: SystemTime) -> Fitness {
        let Some(policy) = &self.policy else {
            return Fitness::Unfit;
        };
        match policy.before_request(request, now) {
            BeforeRequest::Fresh(_) => Fitness::Fresh,
            BeforeRequest::Stale { matches: true, .. } if self.may_be_stale(request) => {
                let over = self.age(now).saturating_sub(self.lifetime);
                if over <= stale {
                    Fitness::Stale
                } else {
                    Fitness::Unfit
                }
            }
            BeforeRequest::Stale { .. } => Fitness::Unfit,
        }
    }

    /// The answer itself; 304 when the client has it already. Without an `age` the service has said
    /// it just now.
    pub fn respond(&self, request: &Parts, age: Option<Duration>) -> Response {
        let mut response = Response::new(Body::empty());
        let known = self.status == StatusCode::OK && is_known(&self.headers, request);
        *response.headers_mut() = self.headers.clone();
        if known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response.headers_mut().remove(http::header::CONTENT_LENGTH);
            response.headers_mut().remove(http::header::CONTENT_TYPE);
        } else {
            *response.status_mut() = self.status;
            *response.body_mut() = Body::from(self.body.clone());
        }
        match age {
            // The date is that of the answer that was kept.
            None => drop(response.headers_mut().remove(DATE)),
            Some(Duration::ZERO) => {}
            Some(age) => drop(response.headers_mut().insert(AGE, age.as_secs().into())),
        }
        response
    }

    /// Roughly what it takes in memory.
    pub fn size(&self) -> usize {
        let values: usize = self.headers.values().map(HeaderValue::len).sum();
        let places = self.headers.capacity() * HEADER;
        size_of::<Self>() + POLICY + places + values + self.body.len()
    }

    fn may_be_stale(&self, request: &Request<()>) -> bool {
        let says = |headers: &HeaderMap, words: &[&str]| {
            let values = headers.get_all(CACHE_CONTROL).iter();
            values
                .filter_map(|value| value.to_str().ok())
                .flat_map(|value| value.split(','))
                .any(|word| words.contains(&word.trim()))
        };
        let strict = ["must-revalidate", "proxy-revalidate"];
        !says(&self.headers, &strict) && !says(request.headers(), &["no-cache", "no-store"])
    }
}

/// A request as the rules see it: without what is in the key (the path, the query, who asks) and what
/// differs from request to request. A search is a read whose parameters are in its body.
pub(crate) fn view(parts: &Parts) -> Request<()> {
    let mut request = Request::new(());
    let headers = request.headers_mut();
    *headers = parts.headers.clone();
    // By which name the gateway was called makes no difference.
    for name in [AUTHORIZATION, COOKIE, HOST, IF_NONE_MATCH] {
        headers.remove(name);
    }
    for name in [API_KEY, DEADLINE, REQUEST_ID, TRACEPARENT] {
        headers.remove(HeaderName::from_static(name));
    }
    request
}

/// Whether the client insists on an answer of the service itself.
pub(crate) fn insists(parts: &Parts) -> bool {
    let mut words = parts
        .headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    words.any(|word| matches!(word.trim(), "no-cache" | "no-store"))
        || parts.headers.contains_key(RANGE)
}

/// Whether anybody but the one who asked may see an answer, were it only at the same moment.
pub(crate) fn may_be_shared(head: &http::response::Parts) -> bool {
    let never = head
        .headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.to_ascii_lowercase().contains("no-store"));
    !never && !head.headers.contains_key(SET_COOKIE) && !is_event_stream(&head.headers)
}

fn may_be_kept(head: &http::response::Parts) -> bool {
    head.status == StatusCode::OK
        && may_be_shared(head)
        // The next answer may be a whole one.
        && !head.headers.contains_key(DEGRADED)
        && head.headers.get(VARY).is_none_or(|vary| vary != "*")
}

fn policy(
    request: &Request<()>,
    head: &http::response::Parts,
    ttl: Duration,
    now: SystemTime,
) -> CachePolicy {
    let mut response = http::Response::new(());
    *response.status_mut() = head.status;
    let headers = response.headers_mut();
    // Only what the rules look at: every entry keeps it. Not the date: times are measured here, and a
    // service's clock may differ.
    for name in [CACHE_CONTROL, EXPIRES, PRAGMA, VARY, AGE] {
        for value in head.headers.get_all(&name) {
            headers.append(&name, owned(value));
        }
    }
    if !headers.contains_key(CACHE_CONTROL) && !headers.contains_key(EXPIRES) {
        let lifetime = format!("private, max-age={}", ttl.as_secs());
        if let Ok(lifetime) = HeaderValue::from_str(&lifetime) {
            headers.insert(CACHE_CONTROL, lifetime);
        }
    }
    let mut view = Request::new(());
    *view.method_mut() = request.method().clone();
    let mut kept = named_by(&response);
    kept.push(CACHE_CONTROL);
    kept.dedup();
    for name in kept {
        for value in request.headers().get_all(&name) {
            view.headers_mut().append(&name, owned(value));
        }
    }
    CachePolicy::new_options(&view, &response, now, OPTIONS)
}

/// Headers of the request that the answer names in `Vary`.
fn named_by(response: &http::Response<()>) -> Vec<HeaderName> {
    let values = response.headers().get_all(VARY).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect()
}

/// The same value in memory of its own.
fn owned(value: &HeaderValue) -> HeaderValue {
    let mut copy = HeaderValue::from_bytes(value.as_bytes()).unwrap_or_else(|_| value.clone());
    copy.set_sensitive(value.is_sensitive());
    copy
}

/// A digest of what a service's headers say besides when, and to which request.
fn said(headers: &HeaderMap) -> u64 {
    let varies =
        |name: &HeaderName| [DATE.as_str(), REQUEST_ID, TRACEPARENT].contains(&name.as_str());
    let mut hasher = DefaultHasher::new();
    for (name, value) in headers.iter().filter(|(name, _)| !varies(name)) {
        (name, value.as_bytes()).hash(&mut hasher);
    }
    hasher.finish()
}

fn tag_of(body: &[u8]) -> HeaderValue {
    use std::fmt::Write;
    let digest = Sha256::digest(body);
    let mut tag = String::with_capacity(34);
    tag.push('"');
    for byte in &digest[..16] {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    HeaderValue::from_str(&tag).unwrap_or(HeaderValue::from_static("\"\""))
}

/// Whether the client's `If-None-Match` names the answer (weak comparison, RFC 9110 13.1.2).
fn is_known(headers: &HeaderMap, request: &Parts) -> bool {
    let Some(own) = headers.get(ETAG).and_then(|tag| tag.to_str().ok()) else {
        return false;
    };
    if request.method != Method::GET && request.method != Method::HEAD {
        return false;
    }
    let strong = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let own = strong(own);
    request
        .headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|tag| tag.trim() == "*" || strong(tag) == own)
}

#[cfg(test)]
mod tests;
