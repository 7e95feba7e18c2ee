//! What is recorded of each forwarded request for statistics. Never waits, never fails.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::extract::Request;
use axum::response::Response;
use touchstone_api::analytics::{Record, RequestRecord};
use touchstone_types::TenantId;
use touchstone_web::method_name;

use crate::chain::Next;
use crate::gateway::Gateway;
use crate::routes::table;

/// Longest name of a channel that is recorded.
const MAX_CHANNEL: usize = 64;

/// Where the layer that knows the caller leaves whose request it is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Owner(Arc<OnceLock<TenantId>>);

impl Owner {
    pub fn set(&self, tenant: TenantId) {
        // Set once per request.
        let _ = self.0.set(tenant);
    }
}

/// Records how a request was answered.
pub(crate) async fn observe(gateway: &Gateway, mut request: Request, next: Next<'_>) -> Response {
    let found = table::find(request.uri().path()).filter(|_| gateway.recorder().is_on());
    let Some((route, path)) = found else {
        return next.run(request).await;
    };
    let channel = channel(path);
    let method = method_name(request.method());
    let owner = Owner::default();
    request.extensions_mut().insert(owner.clone());
    let started = Instant::now();
    let response = next.run(request).await;
    let duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    gateway.recorder().record(Record::Request(RequestRecord {
        at: gateway.clock().now(),
        tenant_id: owner.0.get().copied(),
        service: route.service.to_owned(),
        route: route.prefix.to_owned(),
        method: method.to_owned(),
        status: response.status().as_u16(),
        duration_us,
        channel,
    }));
    response
}

/// The channel that a path is about, when its name looks like one.
fn channel(path: &str) -> Option<String> {
    let name = path.strip_prefix("/channels/")?.split('/').next()?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-".contains(&b);
    (1..=MAX_CHANNEL)
        .contains(&name.len())
        .then_some(name)
        .filter(|name| name.trim_start_matches('@').bytes().all(plain))
        .map(|name| name.trim_start_matches('@').to_lowercase())
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_looks_like_a_channel_is_recorded() {
        assert_eq!(
            channel("/channels/@Rust_News/posts").as_deref(),
            Some("rust_news")
        );
        assert_eq!(channel("/channels/durov").as_deref(), Some("durov"));
        for other in [
            "/channels",
            "/channels/",
            "/channels/@",
            "/channels/a%20b",
            "/search",
        ] {
            assert_eq!(channel(other), None, "{other}");
        }
        assert_eq!(channel(&format!("/channels/{}", "x".repeat(65))), None);
    }
}
