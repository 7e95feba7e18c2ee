use std::time::Duration;

use bytesize::ByteSize;
use http::{HeaderValue, Uri};
use serde::{Deserialize, Serialize};
use touchstone_config::{Problems, Section};

use crate::edge::EdgeConfig;
use crate::quota::QuotaConfig;
use crate::traffic::{CacheConfig, UpstreamsConfig};
use crate::websocket::WebSocketConfig;

/// Configuration; `config.default.toml` is the reference.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Serve the console page.
    pub console: bool,
    /// Serve Swagger UI.
    pub docs: bool,
    /// How long a merged specification is kept.
    #[serde(with = "humantime_serde")]
    pub specification_keep: Duration,
    /// How long one service may take to tell its health or its specification.
    #[serde(with = "humantime_serde")]
    pub probe_timeout: Duration,
    /// How long an answer about the health of all services is kept.
    #[serde(with = "humantime_serde")]
    pub health_keep: Duration,
    /// Limits on headers.
    pub headers: HeaderLimits,
    /// Pages of other origins.
    pub cors: Cors,
    /// Limits on responses.
    pub streams: Streams,
    /// Limits by class of route.
    pub classes: Classes,
    /// Answers that are used again.
    pub cache: CacheConfig,
    /// Calls to services.
    pub upstreams: UpstreamsConfig,
    /// WebSockets.
    pub websocket: WebSocketConfig,
    /// Connections.
    pub edge: EdgeConfig,
    /// Quotas.
    pub quota: QuotaConfig,
}

/// Limits on headers.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HeaderLimits {
    /// Largest sum of names and values.
    pub bytes: ByteSize,
    /// Most of them.
    pub count: usize,
}

/// Pages of other origins.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cors {
    /// Origins that may call.
    pub origins: Vec<String>,
    /// Whether they may send cookies.
    pub credentials: bool,
}

/// Limits on responses.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Streams {
    /// Longest silence inside a response.
    #[serde(with = "humantime_serde")]
    pub idle: Duration,
    /// Silence after which a comment is sent between two events; 0 sends none.
    #[serde(with = "humantime_serde")]
    pub heartbeat: Duration,
    /// Longest stream of events.
    #[serde(with = "humantime_serde")]
    pub longest: Duration,
}

/// Limits by class of route.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    /// Login and what belongs to it.
    pub auth: Limits,
    /// Reading and small changes.
    pub read: Limits,
    /// Searches.
    pub search: Limits,
    /// Answers.
    pub generate: Limits,
    /// Documents.
    pub upload: Limits,
    /// Vectors and embeddings.
    pub vectors: Limits,
}

/// What one request may take.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Longest time to the head of the response.
    #[serde(with = "humantime_serde")]
    pub deadline: Duration,
    /// Largest body.
    pub body: ByteSize,
}

impl Classes {
    /// All of them, by name.
    pub fn all(&self) -> [(&'static str, Limits); 6] {
        [
            ("auth", self.auth),
            ("read", self.read),
            ("search", self.search),
            ("generate", self.generate),
            ("upload", self.upload),
            ("vectors", self.vectors),
        ]
    }

    /// The longest deadline.
    pub fn longest(&self) -> Duration {
        self.all()
            .iter()
            .map(|(_, limits)| limits.deadline)
            .max()
            .unwrap_or_default()
    }
}

impl Section for Config {
    const NAME: &'static str = "gateway";
    const DEFAULTS: &'static str = include_str!("../config.default.toml");
    const PLAIN: &'static [(&'static str, &'static str)] = &[
        ("TLS_CERT_FILE", "edge.certificate_file"),
        ("TLS_KEY_FILE", "edge.key_file"),
        ("REDIS_URL", "quota.store"),
        ("TRUSTED_PROXIES", "quota.trusted_proxies"),
        ("OPERATOR_TENANTS", "quota.operators"),
        (
            "RATE_LIMIT_PER_MINUTE",
            "quota.limits.plans.standard.minute",
        ),
        ("RATE_LIMIT_PER_HOUR", "quota.limits.plans.standard.hour"),
        ("RATE_LIMIT_PER_DAY", "quota.limits.plans.standard.day"),
    ];

    fn validate(&self, problems: &mut Problems) {
        for (name, limits) in self.classes.all() {
            let key = format!("classes.{name}");
            problems.check(
                !limits.deadline.is_zero(),
                &key,
                "`deadline` must be positive",
            );
            problems.check(limits.body.as_u64() > 0, &key, "`body` must be positive");
        }
        self.quota.check(problems);
        problems.check(
            self.headers.bytes.as_u64() >= 1024,
            "headers.bytes",
            "must be >= 1 KiB",
        );
        problems.check(
            self.headers.count >= 16,
            "headers.count",
            "must be at least 16",
        );
        problems.check(
            !self.streams.idle.is_zero(),
            "streams.idle",
            "must be positive",
        );
        problems.check(
            !self.streams.longest.is_zero(),
            "streams.longest",
            "must be positive",
        );
        problems.check(
            !self.probe_timeout.is_zero(),
            "probe_timeout",
            "must be positive",
        );
        self.cache.check(problems);
        self.upstreams.check(problems);
        self.websocket.check(problems);
        self.edge.check(problems);
        for origin in &self.cors.origins {
            if origin == "*" {
                problems.check(
                    !self.cors.credentials,
                    "cors.origins",
                    "`*` together with `cors.credentials` would open every session to every page",
                );
            } else {
                problems.check(
                    is_origin(origin),
                    "cors.origins",
                    &format!("`{origin}` is no origin; expected e.g. `https://app.example.com`"),
                );
            }
        }
    }
}

/// Scheme, host and maybe port, exactly as a browser sends them.
fn is_origin(text: &str) -> bool {
    let Ok(uri) = text.parse::<Uri>() else {
        return false;
    };
    let shaped = matches!(uri.scheme_str(), Some("http" | "https"))
        && uri
            .authority()
            .is_some_and(|authority| !authority.as_str().contains('@'));
    shaped
        && !text.ends_with('/')
        && text.matches('/').count() == 2
        && HeaderValue::from_str(text).is_ok()
}

#[cfg(test)]
mod tests {
    use touchstone_config::Loader;

    use super::*;

    #[test]
    fn every_mistake_is_told_at_once() {
        let error = Loader::new()
            .set(
                "gateway.cors.origins",
                r#"["*", "example.com", "https://a.example/"]"#,
            )
            .set("gateway.cors.credentials", "true")
            .set("gateway.headers.count", "1")
            .set("gateway.classes.auth.deadline", "0s")
            .section::<Config>()
            .unwrap_err();
        assert_eq!(error.problems.len(), 5, "{error}");
    }

    #[test]
    fn origins_are_what_browsers_send() {
        for origin in [
            "https://a.example",
            "http://localhost:3000",
            "http://[::1]:8080",
        ] {
            assert!(is_origin(origin), "{origin}");
        }
        for other in [
            "null",
            "a.example",
            "https://",
            "ftp://a",
            "https://u@a",
            "https://a/b",
        ] {
            assert!(!is_origin(other), "{other}");
        }
    }
}
