use touchstone_types::TenantId;

use super::CollectionName;

/// One tenant's part of one collection: the only address that points have.
///
/// It cannot be built without a tenant, and every method of a store that touches points takes one
/// (or a [`ScopedFilter`](crate::store::ScopedFilter), which holds one), so that the tenant's wall
/// stands in a type and not in the memory of whoever writes a query.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TenantScope {
    tenant: TenantId,
    collection: CollectionName,
}

impl TenantScope {
    /// The part of `collection` that belongs to `tenant`.
    pub const fn new(tenant: TenantId, collection: CollectionName) -> Self {
        Self { tenant, collection }
    }

    /// Whose points.
    pub const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// In which collection.
    pub const fn collection(&self) -> &CollectionName {
        &self.collection
    }
}
