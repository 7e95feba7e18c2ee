use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use uuid::Uuid;

use crate::{Clock, SystemClock};

/// The text is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid id, expected a UUID")]
pub struct ParseIdError;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(
            Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord,
            serde::Serialize, serde::Deserialize, utoipa::ToSchema,
        )]
        #[serde(transparent)]
        #[schema(value_type = String, format = Uuid, examples("0192f0c1-2b3a-7cde-8f01-23456789abcd"))]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that was made elsewhere.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;
            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                Uuid::try_parse(text).map(Self).map_err(|_| ParseIdError)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}

ids! {
    /// A customer: the wall that no query crosses.
    TenantId,
    /// A person or a program with credentials.
    UserId,
    /// A stored document, over all of its versions.
    DocumentId,
    /// A chunk; derived (UUIDv5) from document, version and ordinal.
    ChunkId,
    /// A conversation in generation.
    ConversationId,
    /// A message in a conversation.
    MessageId,
    /// An API key (its public half).
    ApiKeyId,
    /// A family of refresh tokens: one login.
    FamilyId,
    /// An event on the bus.
    EventId,
}

/// Makes UUIDv7 ids from an injected clock and an injected random source.
#[derive(Clone, Debug)]
pub struct IdSource {
    clock: Arc<dyn Clock>,
    rng: Arc<Mutex<StdRng>>,
}

impl IdSource {
    /// Ids that repeat for the same seed and the same clock readings.
    pub fn seeded(clock: Arc<dyn Clock>, seed: u64) -> Self {
        Self {
            clock,
            rng: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
        }
    }

    /// Ids for production: system clock, randomness of the operating system.
    pub fn system() -> Self {
        Self {
            clock: Arc::new(SystemClock),
            rng: Arc::new(Mutex::new(system_rng())),
        }
    }

    /// The next id.
    pub fn next<I: From<Uuid>>(&self) -> I {
        let millis = u64::try_from(self.clock.now().timestamp_millis()).unwrap_or(0);
        let mut bytes = [0_u8; 10];
        self.rng
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill_bytes(&mut bytes);
        I::from(uuid::Builder::from_unix_timestamp_millis(millis, &bytes).into_uuid())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that seeds from the system"
)]
fn system_rng() -> StdRng {
    rand::make_rng()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FrozenClock;

    #[test]
    fn same_seed_and_clock_give_the_same_ids() {
        let ids = |seed| {
            let source = IdSource::seeded(Arc::new(FrozenClock::default()), seed);
            (source.next::<DocumentId>(), source.next::<DocumentId>())
        };
        assert_eq!(ids(7), ids(7));
        assert_ne!(ids(7), ids(8));
        assert_ne!(ids(7).0, ids(7).1);
        assert_eq!(ids(7).0.as_uuid().get_version_num(), 7);
    }

    #[test]
    fn system_ids_differ_between_sources() {
        assert_ne!(
            IdSource::system().next::<UserId>(),
            IdSource::system().next::<UserId>()
        );
    }

    #[test]
    fn refuses_what_is_not_a_uuid() {
        assert_eq!("abc".parse::<DocumentId>(), Err(ParseIdError));
    }
}
