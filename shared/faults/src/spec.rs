use std::time::Duration;

use http::Method;
use serde::{Deserialize, Serialize};

use crate::{Kind, Point};

/// The longest wait of a fault, milliseconds.
const LONGEST_MS: i64 = 10 * 60 * 1000;
/// Most memory that a request may be made to hold.
const MOST_BYTES: u64 = 256 * 1024 * 1024;
/// Most time of a processor that a request may be made to take, milliseconds.
const LONGEST_BURN_MS: i64 = 10_000;

/// On which side of a call a fault strikes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Requests that the service gets.
    #[default]
    Server,
    /// Calls that it makes.
    Client,
}

impl Side {
    /// Its name on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// A fault as it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    /// What goes wrong.
    pub kind: Kind,
    /// Requests that the service gets, or calls that it makes.
    #[serde(default)]
    pub side: Side,
    /// Calls of this service only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub callee: Option<String>,
    /// Requests of this method only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Requests whose path begins like this only; without it, those of operations (`/health`,
    /// `/ready`, `/live`, `/metrics`) are spared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Events of this topic only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// Which share of them, 0 to 1.
    #[serde(default = "all")]
    pub share: f64,
    /// Time in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ms: Option<i64>,
    /// Up to so many milliseconds more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<u64>,
    /// Bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Status of the answer, 400 to 599.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `Retry-After` in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Fixes which requests are struck.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Begins so many milliseconds after it was asked for.
    #[serde(default)]
    pub after_ms: u64,
    /// Ends so many milliseconds later; never by itself when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_ms: Option<u64>,
}

const fn all() -> f64 {
    1.0
}

impl Spec {
    /// A fault of every request, for good.
    pub const fn new(kind: Kind) -> Self {
        Self {
            kind,
            side: Side::Server,
            callee: None,
            method: None,
            path: None,
            topic: None,
            share: 1.0,
            ms: None,
            jitter_ms: None,
            bytes: None,
            status: None,
            retry_after: None,
            seed: None,
            after_ms: 0,
            for_ms: None,
        }
    }

    /// What is wrong with it, everything at once.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let kind = self.kind;
        let mut rule = |holds: bool, text: &str| {
            if !holds {
                problems.push(text.replace("{kind}", kind.name()));
            }
        };
        let reads = kind.parameters();
        rule(
            self.share > 0.0 && self.share <= 1.0,
            "`share` must be above 0 and at most 1",
        );
        for (given, name) in [
            (self.ms.is_some(), "ms"),
            (self.jitter_ms.is_some(), "jitter_ms"),
            (self.bytes.is_some(), "bytes"),
            (self.status.is_some(), "status"),
            (self.retry_after.is_some(), "retry_after"),
        ] {
            let text = format!("`{{kind}}` has no `{name}`");
            rule(!given || reads.contains(&name), &text);
        }
        let longest = match kind {
            Kind::Cpu => LONGEST_BURN_MS,
            // A year.
            Kind::Clock => 366 * 24 * 60 * 60 * 1000,
            _ => LONGEST_MS,
        };
        let least = if kind == Kind::Clock { -longest } else { 0 };
        let ms = self.ms.unwrap_or_default();
        rule(
            (least..=longest).contains(&ms),
            &format!("`ms` must be {least} to {longest} for `{{kind}}`"),
        );
        rule(
            self.jitter_ms.unwrap_or_default() <= LONGEST_MS.unsigned_abs(),
            "`jitter_ms` is too long",
        );
        let bytes = self.bytes.unwrap_or(1);
        rule(
            bytes <= MOST_BYTES && (bytes > 0 || kind != Kind::Drip),
            "`bytes` must be 1 to 256 MiB",
        );
        let status = self.status.unwrap_or(500);
        rule((400..=599).contains(&status), "`status` must be 400 to 599");
        rule(self.for_ms != Some(0), "`for_ms` must be positive");
        match self.side {
            Side::Client => rule(kind.is_of_calls(), "calls cannot have `{kind}`"),
            Side::Server => {
                rule(
                    kind.is_of_servers(),
                    "only calls can have `{kind}`: `\"side\": \"client\"`",
                );
                rule(
                    self.callee.is_none(),
                    "`callee` is for calls: `\"side\": \"client\"`",
                );
            }
        }
        let of_events = kind.point() == Point::Event;
        rule(of_events || self.topic.is_none(), "`{kind}` has no `topic`");
        rule(
            !of_events || (self.path.is_none() && self.method.is_none()),
            "events have neither `path` nor `method`",
        );
        rule(
            self.path.as_ref().is_none_or(|path| path.starts_with('/')),
            "`path` must begin with `/`",
        );
        let known = |method: &String| {
            method
                .parse::<Method>()
                .is_ok_and(|m| m.as_str().chars().all(|c| c.is_ascii_uppercase()))
        };
        rule(
            self.method.as_ref().is_none_or(known),
            "`method` must be one, in capitals",
        );
        problems
    }

    /// Reads `kind; name=value; …`, as in the header; `at` is told apart.
    pub(crate) fn of_header(text: &str) -> Result<(Self, Option<String>), String> {
        let mut parts = text
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let kind = parts.next().ok_or("the header names no kind")?;
        let kind = serde_json::from_value(kind.into())
            .map_err(|_| format!("there is no fault `{kind}`"))?;
        let (mut spec, mut at) = (Self::new(kind), None);
        for part in parts {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| format!("`{part}` is not `name=value`"))?;
            let (name, value) = (name.trim(), value.trim());
            let wrong = |_| format!("`{value}` is no value of `{name}`");
            match name {
                "at" => at = Some(value.to_owned()),
                "callee" => {
                    spec.callee = Some(value.to_owned());
                    spec.side = Side::Client;
                }
                "side" => {
                    let side = serde_json::from_value(value.into());
                    spec.side = side.map_err(|_| format!("`{value}` is no value of `{name}`"))?;
                }
                "ms" => spec.ms = Some(value.parse().map_err(wrong)?),
                "jitter_ms" => spec.jitter_ms = Some(value.parse().map_err(wrong)?),
                "bytes" => spec.bytes = Some(value.parse().map_err(wrong)?),
                "status" => spec.status = Some(value.parse().map_err(wrong)?),
                "retry_after" => spec.retry_after = Some(value.parse().map_err(wrong)?),
                "seed" => spec.seed = Some(value.parse().map_err(wrong)?),
                name => return Err(format!("a header has no `{name}`")),
            }
        }
        if spec.kind.point() == Point::Event {
            return Err(format!("`{kind}` strikes events, not requests"));
        }
        let problems = spec.problems();
        if problems.is_empty() {
            Ok((spec, at))
        } else {
            Err(problems.join("; "))
        }
    }

    /// Its time, or `otherwise`.
    pub(crate) fn time(&self, otherwise: Duration) -> Duration {
        self.ms
            .map_or(otherwise, |ms| Duration::from_millis(ms.unsigned_abs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_the_same_as_the_api() {
        let (spec, at) = Spec::of_header("delay; ms=200;at=document").unwrap();
        assert_eq!((spec.kind, spec.ms), (Kind::Delay, Some(200)));
        assert_eq!(at.as_deref(), Some("document"));
        let (spec, _) = Spec::of_header("refuse;callee=vector").unwrap();
        assert_eq!(spec.side, Side::Client);
        let (spec, at) = Spec::of_header(" hang ;side = server; at = vector ").unwrap();
        assert_eq!((spec.kind, spec.side), (Kind::Hang, Side::Server));
        assert_eq!(at.as_deref(), Some("vector"));
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (text, told) in [
            ("", "no kind"),
            ("explode", "no fault `explode`"),
            ("delay;ms=soon", "`soon` is no value of `ms`"),
            ("delay;ms=-1", "`ms` must be"),
            ("delay;bytes=3", "`delay` has no `bytes`"),
            ("error;status=200", "400 to 599"),
            ("refuse", "only calls"),
            ("lose_event", "strikes events"),
            ("delay;share=0.5", "no `share`"),
            ("delay;side=both", "`both` is no value of `side`"),
            ("cpu;side=client", "calls cannot"),
        ] {
            let error = Spec::of_header(text).unwrap_err();
            assert!(error.contains(told), "{text}: {error}");
        }
        let mut spec = Spec::new(Kind::Error);
        spec.share = 0.0;
        spec.callee = Some("vector".into());
        spec.for_ms = Some(0);
        assert_eq!(spec.problems().len(), 3);
    }
}
