//! Quotas in headers, as draft-ietf-httpapi-ratelimit-headers-10 has them, and as problems.

use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use touchstone_cache::quota::{Decision, Policy, Verdict};
use touchstone_error::ErrorKind;
use touchstone_web::Problem;

/// What is allowed.
pub(crate) const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// What is left.
pub(crate) const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");

/// Kind of a problem with a quota.
const QUOTA_EXCEEDED: &str = "https://iana.org/assignments/http-problem-types#quota-exceeded";
/// Kind of a problem while quotas cannot be counted.
const REDUCED: &str = "https://iana.org/assignments/http-problem-types#temporary-reduced-capacity";

/// Adds what the policy allows and where the caller stands.
pub(crate) fn add(headers: &mut HeaderMap, policy: &Policy, decision: &Decision) {
    let (mut limits, mut rest) = (String::with_capacity(96), String::with_capacity(96));
    let windows = policy.windows().zip(decision.standings.iter());
    for (position, (window, standing)) in windows.enumerate() {
        if position > 0 {
            limits.push_str(", ");
            rest.push_str(", ");
        }
        let limit = u64::from(window.limit);
        item(
            &mut limits,
            &window.name,
            [("q", limit), ("w", window.period.as_secs())],
        );
        let reset = match decision.verdict {
            // The same moment as in `Retry-After`.
            Verdict::Denied {
                window: violated,
                retry_after: Some(wait),
            } if violated == position => wait,
            _ => standing.reset,
        };
        let standing = [("r", standing.remaining), ("t", seconds(reset))];
        item(&mut rest, &window.name, standing);
    }
    for (name, value) in [(RATELIMIT_POLICY, limits), (RATELIMIT, rest)] {
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
}

/// Appends a name with its parameters. Every answer has half a dozen of them, and formatting macros
/// take several times as long.
fn item(text: &mut String, name: &str, parameters: [(&str, u64); 2]) {
    // Names are made of lower-case letters and `-`: nothing to escape.
    text.push('"');
    text.push_str(name);
    text.push('"');
    for (key, value) in parameters {
        text.push(';');
        text.push_str(key);
        text.push('=');
        text.push_str(itoa::Buffer::new().format(value));
    }
}

/// The 429 of a request that its quota denies.
pub(crate) fn denied(policy: &Policy, decision: &Decision, cost: u64) -> Problem {
    let Verdict::Denied {
        window,
        retry_after,
    } = decision.verdict
    else {
        return exceeded("the quota", None);
    };
    let Some(window) = policy.window(window) else {
        return exceeded("the quota", retry_after);
    };
    let (name, limit) = (&window.name, window.limit);
    let detail = match retry_after {
        Some(_) => format!("the quota `{name}` of {limit} is used up"),
        None => format!("this request counts {cost} times, and the quota `{name}` is {limit}"),
    };
    exceeded_with(detail, retry_after, name)
}

/// The 429 of a limit without a policy of the store.
pub(crate) fn exceeded(name: &str, retry_after: Option<Duration>) -> Problem {
    exceeded_with(format!("the quota `{name}` is used up"), retry_after, name)
}

fn exceeded_with(detail: String, retry_after: Option<Duration>, name: &str) -> Problem {
    Problem::new(ErrorKind::TooManyRequests, "gateway.quota_exceeded", detail)
        .of_type(QUOTA_EXCEEDED)
        .with("violated-policies", vec![name])
        .retry_after(retry_after)
}

/// The 503 of a class that is closed while quotas cannot be counted.
pub(crate) fn closed(retry_after: Duration) -> Problem {
    let detail = "quotas cannot be counted at the moment";
    Problem::new(ErrorKind::Unavailable, "gateway.quota_unavailable", detail)
        .of_type(REDUCED)
        .retry_after(Some(retry_after))
}

/// Whole seconds, never too few.
pub(crate) fn seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
