//! How often what a tenant sees has changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use moka::sync::Cache;
use touchstone_types::TenantId;

/// Tenants and areas that are remembered; whoever is forgotten begins anew.
const REMEMBERED: u64 = 200_000;
/// Longer than anything is kept that carries an epoch.
const IDLE: Duration = Duration::from_hours(1);

/// Answers to questions depend on more than generation's own data.
pub(crate) const ANSWERS: &str = "answers";

/// An epoch per tenant and area. No epoch is ever given out twice.
#[derive(Clone, Debug)]
pub(crate) struct Epochs {
    next: Arc<AtomicU64>,
    present: Cache<(TenantId, &'static str), u64>,
}

impl Epochs {
    pub fn new() -> Self {
        Self {
            next: Arc::default(),
            present: Cache::builder()
                .max_capacity(REMEMBERED)
                .time_to_idle(IDLE)
                .build(),
        }
    }

    /// The present epoch of what `tenant` sees in `area`.
    pub fn of(&self, tenant: TenantId, area: &'static str) -> u64 {
        self.present.get_with((tenant, area), || self.fresh())
    }

    /// What `tenant` sees changes while the guard lives: new epochs begin at once and when it is
    /// dropped, so that nothing that was read in between outlasts the change.
    pub fn write(&self, tenant: TenantId, service: &str) -> Writing {
        let writing = Writing {
            epochs: self.clone(),
            tenant,
            areas: touched_by(service),
        };
        writing.advance();
        writing
    }

    fn fresh(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

/// A change that is under way.
#[derive(Debug)]
pub(crate) struct Writing {
    epochs: Epochs,
    tenant: TenantId,
    areas: &'static [&'static str],
}

impl Writing {
    fn advance(&self) {
        for area in self.areas {
            let fresh = self.epochs.fresh();
            self.epochs.present.insert((self.tenant, area), fresh);
        }
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.advance();
    }
}

/// Whether a request to `service` may change what the tenant sees.
pub(crate) fn is_write(service: &str, method: &Method) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    // What is posted to these is a question.
    !reads && !matches!(service, "retrieval" | "embedding" | "auth")
}

/// The areas whose answers a change in `service` may change.
fn touched_by(service: &str) -> &'static [&'static str] {
    match service {
        "document" => &["document", "retrieval", ANSWERS],
        "vector" => &["vector", "retrieval", ANSWERS],
        "telegram" => &["telegram", "document", "retrieval", ANSWERS],
        "generation" => &["generation"],
        "model" => &["model", "retrieval"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn tenant(number: u128) -> TenantId {
        TenantId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn a_write_ends_the_epochs_of_its_tenant_at_its_begin_and_at_its_end() {
        let epochs = Epochs::new();
        let of = |area| epochs.of(tenant(1), area);
        let (before, models) = (of("retrieval"), of("model"));
        let other = epochs.of(tenant(2), "retrieval");
        let writing = epochs.write(tenant(1), "document");
        let during = of("retrieval");
        drop(writing);
        let after = of("retrieval");
        assert!(before != during && during != after && before != after);
        assert_eq!((of("retrieval"), of("model")), (after, models));
        assert_eq!(epochs.of(tenant(2), "retrieval"), other);
    }

    #[test]
    fn searches_are_no_writes() {
        assert!(is_write("document", &Method::POST) && is_write("vector", &Method::DELETE));
        assert!(!is_write("retrieval", &Method::POST) && !is_write("document", &Method::GET));
    }
}
