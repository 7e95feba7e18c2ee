use chrono::{DateTime, TimeZone, Utc};
use uuid::Uuid;

use crate::Error;

/// The instant as it is stored: microseconds since 1970, UTC.
pub const fn micros(at: DateTime<Utc>) -> i64 {
    at.timestamp_micros()
}

/// The instant that [`micros`] stored; 1970 for a number that is no instant.
pub fn from_micros(micros: i64) -> DateTime<Utc> {
    Utc.timestamp_micros(micros).single().unwrap_or_default()
}

/// The id as it is stored: its sixteen bytes, which sort like the id.
pub fn encode_id(id: &Uuid) -> &[u8] {
    id.as_bytes()
}

/// The id that [`encode_id`] stored.
///
/// # Errors
/// [`Error::Corrupt`] when the bytes are no id.
pub fn decode_id<I: From<Uuid>>(bytes: &[u8]) -> Result<I, Error> {
    let uuid = Uuid::from_slice(bytes)
        .map_err(|error| Error::Corrupt(sqlx::Error::Decode(Box::new(error))))?;
    Ok(I::from(uuid))
}

#[cfg(test)]
mod tests {
    use touchstone_types::{Clock, DocumentId, FrozenClock};

    use super::*;

    #[test]
    fn times_and_ids_round_trip() {
        let now = FrozenClock::default().now();
        assert_eq!(from_micros(micros(now)), now);
        let id = DocumentId::from_uuid(Uuid::from_u128(7));
        assert_eq!(
            decode_id::<DocumentId>(encode_id(id.as_uuid())).unwrap(),
            id
        );
        assert!(matches!(
            decode_id::<DocumentId>(b"short"),
            Err(Error::Corrupt(_))
        ));
    }
}
