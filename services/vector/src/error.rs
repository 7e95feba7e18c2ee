use std::borrow::Cow;
use std::time::Duration;

use touchstone_error::{Classify, ErrorKind};
use touchstone_types::ChunkId;

use crate::store::{Verdict, verdict};

/// Everything that can go wrong in vector.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field breaks a rule of the request's form.
    #[error("`{field}`: {reason}")]
    Invalid {
        /// Which field.
        field: &'static str,
        /// Which rule.
        reason: Cow<'static, str>,
    },
    /// No such collection.
    #[error("collection `{0}` does not exist")]
    UnknownCollection(String),
    /// The caller may not do that.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The collection was built with another model.
    #[error(
        "collection `{collection}` was built with model `{built}` ({built_dimension} dimensions), not `{wanted}` ({wanted_dimension}); run `touchstone reindex` to rebuild it"
    )]
    ModelMismatch {
        /// Which collection.
        collection: String,
        /// The model that made its vectors.
        built: String,
        /// Their length.
        built_dimension: usize,
        /// The model that was asked for.
        wanted: String,
        /// The length of its vectors.
        wanted_dimension: usize,
    },
    /// The collection was built with other sparse vectors.
    #[error("collection `{collection}` holds the sparse vectors `{built}`, not `{wanted}`")]
    SparseMismatch {
        /// Which collection.
        collection: String,
        /// What it holds.
        built: String,
        /// What was asked for.
        wanted: String,
    },
    /// The collection has no sparse vectors of that name.
    #[error("{place}: collection `{collection}` has no sparse vectors named `{name}`")]
    UnknownSparse {
        /// Where in the request.
        place: String,
        /// Which collection.
        collection: String,
        /// The unknown name.
        name: String,
    },
    /// The collection has no dense side.
    #[error("{place}: collection `{collection}` holds no dense vectors")]
    NoDense {
        /// Where in the request.
        place: String,
        /// Which collection.
        collection: String,
    },
    /// A dense vector of the wrong length.
    #[error("{place}: expected {expected} dimensions, got {got}")]
    Dimension {
        /// Where in the request.
        place: String,
        /// The collection's length.
        expected: usize,
        /// The vector's length.
        got: usize,
    },
    /// A vector that cannot be scored.
    #[error("{place}: {reason}")]
    BadVector {
        /// Where in the request.
        place: String,
        /// Why not.
        reason: String,
    },
    /// One request writes one point twice.
    #[error("point `{0}` stands twice in one request")]
    DuplicatePoint(ChunkId),
    /// A deletion that names no documents.
    #[error("a deletion must name documents in `filter.document_ids`")]
    UnboundedDeletion,
    /// The index is still being built from the rows.
    #[error("the index is being loaded")]
    Loading,
    /// The rows could not be loaded at start.
    #[error(
        "the index could not be loaded, see the log of the start; `touchstone reindex` rebuilds it"
    )]
    LoadFailed,
    /// Too many requests wait for a processor.
    #[error("too many requests wait for a processor")]
    Overloaded,
    /// The process is going down.
    #[error("the service is stopping")]
    Stopping,
    /// A row does not decode.
    #[error("row `{key}` of the point store is damaged: {reason}")]
    Corrupt {
        /// Its key.
        key: i64,
        /// What does not fit.
        reason: &'static str,
    },
    /// A defect: a computation died.
    #[error("a computation panicked")]
    Panicked,
    /// The URI of the store does not parse; configuration is checked before.
    #[error("the URI of the store does not parse")]
    Uri,
    /// Qdrant does not hold a collection any more that it held.
    #[error(
        "collection `{0}` is gone from Qdrant; `touchstone reindex` rebuilds it from the documents"
    )]
    CollectionLost(String),
    /// Qdrant holds a collection of that name that is not ours.
    #[error(
        "collection `{0}` in Qdrant was not made by this service; remove it or set another prefix"
    )]
    ForeignCollection(String),
    /// Qdrant did not answer in time.
    #[error("Qdrant did not answer in time ({operation})")]
    QdrantTimeout {
        /// What was asked for.
        operation: &'static str,
    },
    /// Qdrant answered with an error, or not at all.
    #[error("Qdrant did not do what was asked ({operation})")]
    Qdrant {
        /// What was asked for.
        operation: &'static str,
        /// Its words.
        #[source]
        source: Box<qdrant_client::QdrantError>,
    },
    /// The relational store failed.
    #[error("the point store failed")]
    Store(#[source] touchstone_store::Error),
}

impl Error {
    /// A broken rule of the request's form.
    pub fn invalid(field: &'static str, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Invalid {
            field,
            reason: reason.into(),
        }
    }
}

impl From<touchstone_store::Error> for Error {
    fn from(error: touchstone_store::Error) -> Self {
        Self::Store(error)
    }
}

impl Classify for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Invalid { .. }
            | Self::UnknownSparse { .. }
            | Self::NoDense { .. }
            | Self::Dimension { .. }
            | Self::BadVector { .. }
            | Self::DuplicatePoint(_)
            | Self::UnboundedDeletion => ErrorKind::Unprocessable,
            Self::UnknownCollection(_) => ErrorKind::NotFound,
            Self::Forbidden(_) => ErrorKind::Forbidden,
            Self::ModelMismatch { .. } | Self::SparseMismatch { .. } => ErrorKind::Conflict,
            Self::Loading
            | Self::LoadFailed
            | Self::Overloaded
            | Self::Stopping
            | Self::CollectionLost(_)
            | Self::ForeignCollection(_) => ErrorKind::Unavailable,
            Self::QdrantTimeout { .. } => ErrorKind::Timeout,
            Self::Qdrant { source, .. } => match verdict(source) {
                Verdict::Away | Verdict::Refused | Verdict::Busy | Verdict::Broken => {
                    ErrorKind::Unavailable
                }
                Verdict::Late => ErrorKind::Timeout,
                Verdict::Full => ErrorKind::StorageFull,
                Verdict::Rejected => ErrorKind::Internal,
            },
            Self::Corrupt { .. } | Self::Panicked | Self::Uri => ErrorKind::Internal,
            Self::Store(error) => error.kind(),
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::Invalid { .. } => "request.invalid",
            Self::UnknownCollection(_) => "vector.unknown_collection",
            Self::Forbidden(_) => "vector.forbidden",
            Self::ModelMismatch { .. } => "vector.model_mismatch",
            Self::SparseMismatch { .. } => "vector.sparse_mismatch",
            Self::UnknownSparse { .. } => "vector.unknown_sparse",
            Self::NoDense { .. } => "vector.no_dense",
            Self::Dimension { .. } => "vector.dimension_mismatch",
            Self::BadVector { .. } => "vector.bad_vector",
            Self::DuplicatePoint(_) => "vector.duplicate_point",
            Self::UnboundedDeletion => "vector.unbounded_deletion",
            Self::Loading => "vector.loading",
            Self::LoadFailed => "vector.load_failed",
            Self::Overloaded => "vector.overloaded",
            Self::Stopping => "vector.stopping",
            Self::Corrupt { .. } => "vector.corrupt_row",
            Self::Panicked | Self::Uri => "vector.internal",
            Self::CollectionLost(_) => "vector.collection_lost",
            Self::ForeignCollection(_) => "vector.foreign_collection",
            Self::QdrantTimeout { .. } => "vector.qdrant_timeout",
            Self::Qdrant { source, .. } => match verdict(source) {
                Verdict::Away => "vector.qdrant_unavailable",
                Verdict::Late => "vector.qdrant_timeout",
                Verdict::Refused => "vector.qdrant_refused",
                Verdict::Busy => "vector.qdrant_busy",
                Verdict::Full => "vector.qdrant_full",
                Verdict::Broken => "vector.qdrant_broken",
                Verdict::Rejected => "vector.qdrant_rejected",
            },
            Self::Store(error) => error.code(),
        }
    }

    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Loading | Self::Overloaded | Self::Stopping => Some(Duration::from_secs(1)),
            Self::Qdrant { .. } | Self::QdrantTimeout { .. } => {
                self.kind().is_transient().then_some(Duration::from_secs(1))
            }
            Self::Store(error) => error.retry_after(),
            _ => None,
        }
    }
}
