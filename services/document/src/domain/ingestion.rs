//! The life of a document: which state may follow which.

use touchstone_types::DocumentStatus;

/// What happens to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Its text was extracted.
    Parsed,
    /// Its text was cut into chunks.
    Chunked,
    /// Every chunk was given its vectors.
    Embedded,
    /// Every point was counted back.
    Indexed,
    /// Given up.
    Failed,
    /// Stopped on request.
    Cancelled,
    /// Started again on request, after it failed or was cancelled.
    Retried,
    /// A new version was accepted.
    Replaced,
    /// The index is rebuilt from the stored documents.
    Rebuilt,
}

impl Change {
    /// Every change.
    pub const ALL: &'static [Self] = &[
        Self::Parsed,
        Self::Chunked,
        Self::Embedded,
        Self::Indexed,
        Self::Failed,
        Self::Cancelled,
        Self::Retried,
        Self::Replaced,
        Self::Rebuilt,
    ];

    /// Whether a worker makes this change, under a lease.
    pub const fn is_workers(self) -> bool {
        matches!(
            self,
            Self::Parsed | Self::Chunked | Self::Embedded | Self::Indexed | Self::Failed
        )
    }
}

/// The present state forbids the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a document that is {status} does not take the change {change:?}")]
pub struct Refused {
    /// Present state.
    pub status: DocumentStatus,
    /// Change that was asked for.
    pub change: Change,
}

/// The state after a change.
///
/// A worker's step may be repeated from any state at or after the step's own (a restart between
/// two steps, a lost lease), but the state never goes back by a worker's hand: only a request
/// ([`Change::Retried`], [`Change::Replaced`], [`Change::Rebuilt`]) leads back to `queued`.
///
/// # Errors
/// [`Refused`] when the present state forbids it.
pub fn apply(status: DocumentStatus, change: Change) -> Result<DocumentStatus, Refused> {
    use Change as C;
    use DocumentStatus as S;
    match (status, change) {
        (S::Queued | S::Parsed, C::Parsed) => Ok(S::Parsed),
        (S::Parsed | S::Chunked, C::Chunked) => Ok(S::Chunked),
        (S::Chunked | S::Embedded, C::Embedded) => Ok(S::Embedded),
        (S::Embedded, C::Indexed) => Ok(S::Indexed),
        (S::Queued | S::Parsed | S::Chunked | S::Embedded, C::Failed) => Ok(S::Failed),
        (S::Queued | S::Parsed | S::Chunked | S::Embedded, C::Cancelled) => Ok(S::Cancelled),
        (S::Failed | S::Cancelled, C::Retried)
        | (_, C::Replaced)
        | (S::Queued | S::Parsed | S::Chunked | S::Embedded | S::Indexed | S::Failed, C::Rebuilt) => {
            Ok(S::Queued)
        }
        (status, change) => Err(Refused { status, change }),
    }
}

/// Applies several changes in a row; none is applied when one is refused.
///
/// # Errors
/// [`Refused`] with the state and the change that did not fit.
pub fn apply_all(
    status: DocumentStatus,
    changes: impl IntoIterator<Item = Change>,
) -> Result<DocumentStatus, Refused> {
    changes.into_iter().try_fold(status, apply)
}

/// Whether text and chunks of the version are stored already, so that work goes on with the
/// vectors.
pub const fn has_chunks(status: DocumentStatus) -> bool {
    matches!(status, DocumentStatus::Chunked | DocumentStatus::Embedded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn status() -> impl Strategy<Value = DocumentStatus> {
        proptest::sample::select(DocumentStatus::ALL)
    }

    fn change() -> impl Strategy<Value = Change> {
        proptest::sample::select(Change::ALL)
    }

    fn rank(status: DocumentStatus) -> usize {
        match status {
            DocumentStatus::Queued => 0,
            DocumentStatus::Parsed => 1,
            DocumentStatus::Chunked => 2,
            DocumentStatus::Embedded => 3,
            DocumentStatus::Indexed | DocumentStatus::Failed | DocumentStatus::Cancelled => 4,
        }
    }

    #[test]
    fn the_straight_way_leads_from_queued_to_indexed() {
        let way = [
            Change::Parsed,
            Change::Chunked,
            Change::Embedded,
            Change::Indexed,
        ];
        assert_eq!(
            apply_all(DocumentStatus::Queued, way),
            Ok(DocumentStatus::Indexed)
        );
    }

    #[test]
    fn no_step_can_be_left_out() {
        for (from, change) in [
            (DocumentStatus::Queued, Change::Chunked),
            (DocumentStatus::Queued, Change::Indexed),
            (DocumentStatus::Parsed, Change::Embedded),
            (DocumentStatus::Chunked, Change::Indexed),
        ] {
            assert_eq!(
                apply(from, change),
                Err(Refused {
                    status: from,
                    change
                })
            );
        }
    }

    #[test]
    fn the_whole_table_is_as_written_down() {
        let mut table = Vec::new();
        for status in DocumentStatus::ALL {
            for change in Change::ALL {
                let to = apply(*status, *change).map_or("-", DocumentStatus::as_str);
                table.push(format!("{status} {change:?} {to}"));
            }
        }
        insta::assert_snapshot!("ingestion_table", table.join("\n"));
    }

    proptest! {
        #[test]
        fn workers_never_touch_a_settled_document(status in status(), change in change()) {
            if status.is_settled() && change.is_workers() {
                prop_assert!(apply(status, change).is_err());
            }
        }

        #[test]
        fn workers_never_lead_back(status in status(), change in change()) {
            if let (true, Ok(next)) = (change.is_workers(), apply(status, change)) {
                prop_assert!(rank(next) >= rank(status));
            }
        }

        #[test]
        fn indexed_is_reached_only_after_every_step(
            changes in proptest::collection::vec(change(), 0..40)
        ) {
            let (mut status, mut seen) = (DocumentStatus::Queued, Vec::new());
            for change in changes {
                if let Ok(next) = apply(status, change) {
                    if next == DocumentStatus::Queued { seen.clear() } else { seen.push(change) }
                    status = next;
                }
            }
            if status == DocumentStatus::Indexed {
                for step in [Change::Parsed, Change::Chunked, Change::Embedded, Change::Indexed] {
                    prop_assert!(seen.contains(&step));
                }
            }
        }

        #[test]
        fn every_unfinished_document_can_be_cancelled_failed_and_finished(
            changes in proptest::collection::vec(change(), 0..40)
        ) {
            let status = changes.into_iter().fold(DocumentStatus::Queued, |status, change| {
                apply(status, change).unwrap_or(status)
            });
            if !status.is_settled() {
                prop_assert_eq!(apply(status, Change::Cancelled), Ok(DocumentStatus::Cancelled));
                prop_assert_eq!(apply(status, Change::Failed), Ok(DocumentStatus::Failed));
                let way = [Change::Parsed, Change::Chunked, Change::Embedded, Change::Indexed];
                let rest = &way[rank(status)..];
                prop_assert_eq!(
                    apply_all(status, rest.iter().copied()), Ok(DocumentStatus::Indexed)
                );
            }
        }
    }
}
