//! Question collections with known answers, and the metrics that say how well they were found.
//!
//! [`load`] reads SQuAD files (XQuAD and XQuAD-R included) and BEIR folders; [`Ranking`] metrics
//! follow `trec_eval`. Nothing here knows how the ranking was made.

mod beir;
mod collection;
mod metrics;
mod squad;

pub use collection::{Collection, Document, Error, Gold, Granularity, Query, load};
pub use metrics::{Ranking, Summary, ndcg, precision_at_1, recall, reciprocal_rank};
