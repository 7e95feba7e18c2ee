use touchstone_api::analytics::Record;
use uuid::Uuid;

/// A record with the id by which the store knows it when it comes again.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Derived from the event that brought it.
    pub event_id: Uuid,
    /// What happened.
    pub record: Record,
}

impl Row {
    /// The records of an event: the first gets the event's id, the next ones those behind it.
    pub fn of_event(event: Uuid, records: Vec<Record>) -> impl Iterator<Item = Self> {
        records
            .into_iter()
            .zip(0_u128..)
            .map(move |(record, n)| Self {
                event_id: Uuid::from_u128(event.as_u128().wrapping_add(n)),
                record,
            })
    }
}

/// Rows that are written together; sent again, they are the same batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch(Vec<Row>);

impl Batch {
    /// `None` without rows.
    pub fn new(rows: Vec<Row>) -> Option<Self> {
        (!rows.is_empty()).then_some(Self(rows))
    }

    /// The rows.
    pub fn rows(&self) -> &[Row] {
        &self.0
    }

    /// Names the batch: the same rows, the same name.
    pub fn token(&self) -> String {
        let id = |row: Option<&Row>| row.map(|row| row.event_id).unwrap_or_default();
        let (first, last) = (id(self.0.first()), id(self.0.last()));
        format!("{first}-{last}-{}", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use touchstone_api::analytics::QueryRecord;
    use touchstone_types::{Clock, FrozenClock, TenantId};

    use super::*;

    #[test]
    fn the_same_event_gives_the_same_ids_and_the_same_token() {
        let record = Record::Query(QueryRecord {
            at: FrozenClock::default().now(),
            tenant_id: TenantId::from_uuid(Uuid::from_u128(1)),
            text: None,
            hits: 1,
            degraded: false,
            duration_us: 1,
        });
        let make = |event| {
            let records = vec![record.clone(), record.clone()];
            Batch::new(Row::of_event(Uuid::from_u128(event), records).collect()).unwrap()
        };
        assert_eq!(make(7), make(7));
        assert_eq!(make(7).token(), make(7).token());
        assert_ne!(make(7).token(), make(8).token());
        assert_ne!(make(7).rows()[0].event_id, make(7).rows()[1].event_id);
        assert_eq!(Batch::new(Vec::new()), None);
    }
}
