//! What is known of channels: posts and their revisions, which numbers are accounted for, who
//! follows, which documents came of it, and who may use the account.

mod apply;
/// In PostgreSQL.
pub mod postgres;
/// In a SQLite file.
pub mod sqlite;
mod threads;

#[cfg(test)]
mod contract;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use touchstone_store::postgres::Options;
use touchstone_store::{Backend, Error, Outbox, StoreUri};
use touchstone_types::{DocumentId, IdSource, TenantId};
use uuid::Uuid;

use crate::domain::ledger::{Digest, Row};

pub(crate) use apply::account_name;
pub use postgres::PostgresStore;
pub use sqlite::SqliteStore;

/// A channel that is followed, or was.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct Channel {
    /// Bare id.
    pub id: i64,
    /// What proves to Telegram that we met it.
    pub access_hash: i64,
    /// Title.
    pub title: String,
    /// Public name.
    pub username: Option<String>,
    /// State up to which its changes were taken; 0 when everything has to be read.
    pub pts: i32,
    /// Newest number that was ever seen.
    pub top: i32,
}

/// What Telegram told of a channel.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// The messages.
    pub rows: Vec<Row>,
    /// Numbers that are gone.
    pub deleted: Vec<i32>,
    /// Between these numbers there is nothing but `rows`.
    pub truth: Option<(i32, i32)>,
    /// Numbers that are accounted for from now on.
    pub covered: Vec<(i32, i32)>,
    /// State that it leads to.
    pub pts: Option<i32>,
    /// State that was stored when it was asked for. With another one stored meanwhile it may be
    /// older than what is known, and is not taken.
    pub since: Option<i32>,
}

/// Numbers of which one transaction says what they stand for: one that says it of a million would last
/// longer than a server lets it.
const SPAN: i32 = 5_000;

impl Told {
    /// The same in pieces that end, to be taken in this order; `top` is the newest number that was ever
    /// seen. What is said of the whole comes last: cut off before, all of it is asked for again.
    pub(crate) fn pieces(mut self, top: i32) -> Vec<Self> {
        let Some((low, high)) = self.truth else {
            return vec![self];
        };
        let newest = self.rows.iter().map(|row| row.id).fold(top, i32::max);
        let mut high = high.min(newest);
        let mut pieces = Vec::new();
        while high.saturating_sub(low) >= SPAN {
            let from = high - SPAN + 1;
            let (rows, below) = self.rows.into_iter().partition(|row| row.id >= from);
            self.rows = below;
            pieces.push(Self {
                rows,
                truth: Some((from, high)),
                since: self.since,
                ..Self::default()
            });
            high = from - 1;
        }
        self.truth = Some((low, high));
        pieces.push(self);
        pieces
    }
}

/// A number as it is stored, with the hash that was stored beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The number.
    pub row: Row,
    /// The hash when it was written.
    pub hash: Digest,
}

/// The document that a post became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapped {
    /// The document.
    pub document: DocumentId,
    /// Digest of the text that it holds.
    pub digest: String,
}

/// A post of a tenant: where its document is looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostKey {
    /// Tenant.
    pub tenant: TenantId,
    /// Bare id of the channel.
    pub channel: i64,
    /// Number of the post.
    pub message: i32,
}

/// When something is written, and where the ids of its events come from.
#[derive(Debug, Clone)]
pub struct Stamp {
    /// When.
    pub at: DateTime<Utc>,
    /// Ids.
    pub ids: IdSource,
}

/// Says who may use an account.
#[async_trait]
pub trait Leases: fmt::Debug + Send + Sync {
    /// Takes or extends the lease of an account; false when somebody else has it.
    async fn hold(
        &self,
        account: &str,
        holder: Uuid,
        now: DateTime<Utc>,
        time: Duration,
    ) -> Result<bool, Error>;

    /// Gives the lease back.
    async fn release(&self, account: &str, holder: Uuid) -> Result<(), Error>;
}

/// Keeps what is known of channels.
#[async_trait]
pub trait Store: Leases {
    /// The outbox beside the tables.
    fn outbox(&self) -> Arc<dyn Outbox>;

    /// Remembers a channel, or what is new about one; its state stays as it is.
    async fn meet(&self, channel: &Channel) -> Result<(), Error>;

    /// A channel.
    async fn channel(&self, id: i64) -> Result<Option<Channel>, Error>;

    /// Lets a tenant follow a channel; false when it did already. What is there of the channel it wants
    /// as documents; of what comes later it is told as it comes.
    async fn follow(
        &self,
        channel: i64,
        tenant: TenantId,
        at: DateTime<Utc>,
    ) -> Result<bool, Error>;

    /// Ends that; false when it did not.
    async fn unfollow(&self, channel: i64, tenant: TenantId) -> Result<bool, Error>;

    /// Who follows a channel.
    async fn followers(&self, channel: i64) -> Result<Vec<TenantId>, Error>;

    /// Channels that somebody follows.
    async fn followed(&self) -> Result<Vec<Channel>, Error>;

    /// Takes what Telegram told, tells the followers what changed through the outbox, all in one
    /// transaction. Repeating changes nothing, nor does what was asked for in another state than the
    /// present one. Tells how many events were appended.
    async fn apply(&self, channel: i64, told: &Told, stamp: &Stamp) -> Result<usize, Error>;

    /// Remembers that a tenant wants the posts between two numbers as documents; [`Store::tell`] tells
    /// it of them, as far as its documents differ from them.
    async fn want(&self, channel: i64, tenant: TenantId, numbers: (i32, i32)) -> Result<(), Error>;

    /// Announces some of what is wanted and was not told yet, `most` numbers of one channel. Tells how
    /// many events were appended; `None` when nothing is left to tell.
    async fn tell(&self, most: i32, stamp: &Stamp) -> Result<Option<usize>, Error>;

    /// How many numbers are wanted and were not told yet.
    async fn untold(&self) -> Result<u64, Error>;

    /// Everything that is wanted is told again, as far as documents differ from it, and to followers
    /// everything that is there.
    async fn tell_again(&self) -> Result<(), Error>;

    /// Forgets which numbers are accounted for, and the state: everything has to be read again.
    async fn distrust(&self, channel: i64) -> Result<(), Error>;

    /// Intervals of numbers that are accounted for, ascending.
    async fn coverage(&self, channel: i64) -> Result<Vec<(i32, i32)>, Error>;

    /// Numbers between two, both included, ascending.
    async fn rows(&self, channel: i64, low: i32, high: i32) -> Result<Vec<Stored>, Error>;

    /// Digests of the blocks, ascending.
    async fn blocks(&self, channel: i64) -> Result<Vec<(i32, Digest)>, Error>;

    /// The document of a post.
    async fn mapped(&self, key: PostKey) -> Result<Option<Mapped>, Error>;

    /// Remembers the document of a post; `None` forgets it.
    async fn map(&self, key: PostKey, mapped: Option<&Mapped>) -> Result<(), Error>;

    /// Keeps what opens an account at a data centre, sealed; it replaces what was kept.
    async fn keep_key(&self, account: &str, dc: i32, sealed: &[u8]) -> Result<(), Error>;

    /// What was kept of an account, by data centre.
    async fn keys(&self, account: &str) -> Result<Vec<(i32, Vec<u8>)>, Error>;

    /// Whether the store answers.
    async fn ping(&self) -> Result<(), Error>;
}

/// Opens the store that a URI names and brings its schema up to date.
///
/// # Errors
/// As [`Error`]; an unknown scheme is one of them.
pub async fn open(uri: &StoreUri, options: &Options) -> Result<Arc<dyn Store>, Error> {
    Ok(match uri.backend()? {
        Backend::Sqlite => Arc::new(SqliteStore::open(uri.as_str()).await?),
        Backend::Postgres => Arc::new(PostgresStore::open(uri.as_str(), options).await?),
    })
}
