//! Pure rules: names, definitions, the tenant's wall, IDF and order. No I/O.

mod definition;
mod name;
mod order;
mod scope;
mod vectors;

pub use definition::{Definition, Dense};
pub use name::CollectionName;
pub use order::{best_first, idf};
pub use scope::TenantScope;
pub use vectors::{MAX_NON_ZEROS, MAX_WEIGHT, check_dense, check_sparse, normalised};
