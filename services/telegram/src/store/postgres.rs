use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Row as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgConnection;
use touchstone_api::events::Event;
use touchstone_store::postgres::{
    self, Database, Explained, Flow, Options, bulk, outbox, read, text, write,
};
use touchstone_store::{Error, Outbox};
use touchstone_types::{DocumentId, TenantId};
use uuid::Uuid;

mod sql;

use self::sql as q;
use super::apply::{self, Columns, Hash, Replaced, Tables, Wanted};
use super::{Channel, Leases, Mapped, PostKey, Stamp, Store, Stored, Told};
use crate::domain::ledger::Digest;

/// Name of the schema.
const SCHEMA: &str = "telegram";

/// The schema, forward only.
pub static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// What `touchstone explain` looks at.
pub const EXPLAINED: Explained = Explained {
    service: SCHEMA,
    migrator: &MIGRATOR,
    fill: q::FILL,
    statements: &[q::STATEMENTS, postgres::outbox::STATEMENTS],
};

/// What is known, in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PostgresStore(Database);

impl PostgresStore {
    /// Opens the schema, and brings it up to date.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub async fn open(uri: &str, options: &Options) -> Result<Self, Error> {
        let database = Database::open(uri, SCHEMA, &MIGRATOR, options).await?;
        Ok(Self(database))
    }
}

async fn tenants(connection: &mut PgConnection, channel: i64) -> Result<Vec<TenantId>, Error> {
    let query = sqlx::query_scalar::<_, Uuid>(q::FOLLOWERS).bind(channel);
    let found = query.fetch_all(connection).await?;
    Ok(found.into_iter().map(TenantId::from_uuid).collect())
}

async fn rows(
    connection: &mut PgConnection,
    channel: i64,
    low: i32,
    high: i32,
) -> Result<Vec<Stored>, Error> {
    let query = sqlx::query_as(q::ROWS).bind(channel).bind(low).bind(high);
    apply::stored(query.fetch_all(connection).await?)
}

async fn intervals(connection: &mut PgConnection, channel: i64) -> Result<Vec<(i32, i32)>, Error> {
    let query = sqlx::query_as(q::COVERAGE).bind(channel);
    Ok(query.fetch_all(connection).await?)
}

fn each<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

struct InTransaction<'a>(&'a mut PgConnection);

#[async_trait]
impl Tables for InTransaction<'_> {
    async fn channel(&mut self, id: i64) -> Result<Option<Channel>, Error> {
        let query = sqlx::query_as(q::CHANNEL_TO_CHANGE).bind(id);
        Ok(query.fetch_optional(&mut *self.0).await?)
    }

    async fn set_state(&mut self, id: i64, pts: i32, top: i32) -> Result<(), Error> {
        let query = sqlx::query(q::SET_STATE).bind(id).bind(pts).bind(top);
        query.execute(&mut *self.0).await?;
        Ok(())
    }

    async fn followers(&mut self, channel: i64) -> Result<Vec<TenantId>, Error> {
        tenants(self.0, channel).await
    }

    async fn rows(&mut self, channel: i64, low: i32, high: i32) -> Result<Vec<Stored>, Error> {
        rows(self.0, channel, low, high).await
    }

    async fn album(&mut self, channel: i64, grouped_id: i64) -> Result<Vec<Stored>, Error> {
        let query = sqlx::query_as(q::ALBUM).bind(channel).bind(grouped_id);
        apply::stored(query.fetch_all(&mut *self.0).await?)
    }

    async fn answers(
        &mut self,
        channel: i64,
        low: i32,
        high: i32,
        limit: i32,
    ) -> Result<Vec<Stored>, Error> {
        let query = sqlx::query_as(q::ANSWERED)
            .bind(channel)
            .bind(low)
            .bind(high);
        apply::stored(query.bind(limit).fetch_all(&mut *self.0).await?)
    }

    async fn put_rows(&mut self, channel: i64, rows: &[Columns<'_>]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        sqlx::query(q::PUT_ROWS)
            .bind(channel)
            .bind(each(rows, |columns| columns.row.id))
            .bind(each(rows, |columns| columns.kind))
            .bind(each(rows, |columns| columns.row.revision))
            .bind(each(rows, |columns| columns.row.grouped_id))
            .bind(each(rows, |columns| columns.row.edited_at))
            .bind(each(rows, |columns| columns.body.as_deref()))
            .bind(each(rows, |columns| columns.hash.as_slice()))
            .bind(each(rows, |columns| columns.row.reply_to))
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn put_revisions(
        &mut self,
        channel: i64,
        revisions: &[Replaced],
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        if revisions.is_empty() {
            return Ok(());
        }
        sqlx::query(q::PUT_REVISIONS)
            .bind(channel)
            .bind(each(revisions, |replaced| replaced.id))
            .bind(each(revisions, |replaced| replaced.revision))
            .bind(each(revisions, |replaced| replaced.body.as_str()))
            .bind(at)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn coverage(&mut self, channel: i64) -> Result<Vec<(i32, i32)>, Error> {
        intervals(self.0, channel).await
    }

    async fn remove_interval(&mut self, channel: i64, low: i32) -> Result<(), Error> {
        let query = sqlx::query(q::REMOVE_INTERVAL).bind(channel).bind(low);
        query.execute(&mut *self.0).await?;
        Ok(())
    }

    async fn add_interval(&mut self, channel: i64, low: i32, high: i32) -> Result<(), Error> {
        let query = sqlx::query(q::ADD_INTERVAL).bind(channel);
        query.bind(low).bind(high).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn hashes(&mut self, channel: i64, low: i32, high: i32) -> Result<Vec<Hash>, Error> {
        let query = sqlx::query_as(q::HASHES).bind(channel).bind(low).bind(high);
        apply::hashes(query.fetch_all(&mut *self.0).await?)
    }

    async fn put_block(&mut self, channel: i64, block: i32, digest: &Digest) -> Result<(), Error> {
        let query = sqlx::query(q::PUT_BLOCK).bind(channel).bind(block);
        query.bind(digest.as_slice()).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn documents(
        &mut self,
        channel: i64,
        tenant: TenantId,
        low: i32,
        high: i32,
    ) -> Result<Vec<(i32, String)>, Error> {
        Ok(sqlx::query_as(q::DOCUMENTS)
            .bind(channel)
            .bind(tenant.as_uuid())
            .bind(low)
            .bind(high)
            .fetch_all(&mut *self.0)
            .await?)
    }

    async fn append(&mut self, events: &[Event]) -> Result<(), Error> {
        outbox::append_all(&mut *self.0, events).await
    }

    async fn follow(
        &mut self,
        channel: i64,
        tenant: TenantId,
        at: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let query = sqlx::query(q::FOLLOW).bind(channel).bind(tenant.as_uuid());
        let done = query.bind(at).execute(&mut *self.0).await?;
        Ok(done.rows_affected() > 0)
    }

    async fn swallow(
        &mut self,
        channel: i64,
        tenant: TenantId,
        (low, high): (i32, i32),
    ) -> Result<(), Error> {
        let query = sqlx::query(q::SWALLOW).bind(channel).bind(tenant.as_uuid());
        query.bind(low).bind(high).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn want(
        &mut self,
        channel: i64,
        tenant: TenantId,
        (low, high): (i32, i32),
    ) -> Result<(), Error> {
        let query = sqlx::query(q::WANT).bind(channel).bind(tenant.as_uuid());
        query.bind(low).bind(high).execute(&mut *self.0).await?;
        Ok(())
    }

    async fn wanted(&mut self) -> Result<Option<Wanted>, Error> {
        let row = sqlx::query(q::WANTED).fetch_optional(&mut *self.0).await?;
        row.map(|row| {
            Ok(Wanted {
                channel: row.try_get("channel_id")?,
                tenant: TenantId::from_uuid(row.try_get("tenant_id")?),
                numbers: (row.try_get("low")?, row.try_get("high")?),
                untold: row.try_get("untold")?,
            })
        })
        .transpose()
    }

    async fn set_untold(&mut self, wanted: &Wanted, untold: i32) -> Result<(), Error> {
        sqlx::query(q::SET_UNTOLD)
            .bind(untold)
            .bind(wanted.channel)
            .bind(wanted.tenant.as_uuid())
            .bind(wanted.numbers.0)
            .bind(wanted.numbers.1)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}

#[async_trait]
impl Leases for PostgresStore {
    async fn hold(
        &self,
        account: &str,
        holder: Uuid,
        // The server's clock is the same for everybody.
        _: DateTime<Utc>,
        time: Duration,
    ) -> Result<bool, Error> {
        write!(self.0, |tx| {
            let query = sqlx::query(q::HOLD).bind(account).bind(holder);
            let done = query.bind(time.as_secs_f64()).execute(tx).await?;
            Ok(Flow::Commit(done.rows_affected() > 0))
        })
    }

    async fn release(&self, account: &str, holder: Uuid) -> Result<(), Error> {
        write!(self.0, |tx| {
            let query = sqlx::query(q::RELEASE).bind(account).bind(holder);
            query.execute(tx).await?;
            Ok(Flow::Commit(()))
        })
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(self.0.clone())
    }

    async fn meet(&self, channel: &Channel) -> Result<(), Error> {
        write!(self.0, |tx| {
            sqlx::query(q::MEET)
                .bind(channel.id)
                .bind(channel.access_hash)
                .bind(text(&channel.title))
                .bind(channel.username.as_deref())
                .execute(tx)
                .await?;
            Ok(Flow::Commit(()))
        })
    }

    async fn channel(&self, id: i64) -> Result<Option<Channel>, Error> {
        read!(self.0, |connection| {
            let query = sqlx::query_as(q::CHANNEL).bind(id);
            Ok(query.fetch_optional(connection).await?)
        })
    }

    async fn follow(
        &self,
        channel: i64,
        tenant: TenantId,
        at: DateTime<Utc>,
    ) -> Result<bool, Error> {
        write!(self.0, |tx| {
            let fresh = apply::follow(&mut InTransaction(tx), channel, tenant, at).await?;
            Ok(Flow::Commit(fresh))
        })
    }

    async fn unfollow(&self, channel: i64, tenant: TenantId) -> Result<bool, Error> {
        write!(self.0, |tx| {
            let query = sqlx::query(q::UNFOLLOW)
                .bind(channel)
                .bind(tenant.as_uuid());
            let done = query.execute(tx).await?;
            Ok(Flow::Commit(done.rows_affected() > 0))
        })
    }

    async fn followers(&self, channel: i64) -> Result<Vec<TenantId>, Error> {
        read!(self.0, |connection| { tenants(connection, channel).await })
    }

    async fn followed(&self) -> Result<Vec<Channel>, Error> {
        read!(self.0, |connection| {
            Ok(sqlx::query_as(q::FOLLOWED).fetch_all(connection).await?)
        })
    }

    async fn apply(&self, channel: i64, told: &Told, stamp: &Stamp) -> Result<usize, Error> {
        write!(self.0, |tx| {
            let events = apply::apply(&mut InTransaction(tx), channel, told, stamp).await?;
            Ok(Flow::Commit(events))
        })
    }

    async fn want(&self, channel: i64, tenant: TenantId, numbers: (i32, i32)) -> Result<(), Error> {
        write!(self.0, |tx| {
            apply::want(&mut InTransaction(tx), channel, tenant, numbers).await?;
            Ok(Flow::Commit(()))
        })
    }

    async fn tell(&self, most: i32, stamp: &Stamp) -> Result<Option<usize>, Error> {
        write!(self.0, |tx| {
            let events = apply::tell(&mut InTransaction(tx), most, stamp).await?;
            Ok(Flow::Commit(events))
        })
    }

    async fn untold(&self) -> Result<u64, Error> {
        read!(self.0, |connection| {
            let query = sqlx::query_scalar::<_, i64>(q::UNTOLD);
            Ok(query.fetch_one(connection).await?.unsigned_abs())
        })
    }

    async fn tell_again(&self) -> Result<(), Error> {
        bulk!(self.0, |tx| {
            for statement in [q::FORGET_FOLLOWERS, q::WANT_ALL, q::TELL_AGAIN] {
                sqlx::query(statement).execute(&mut *tx).await?;
            }
            Ok(Flow::Commit(()))
        })
    }

    async fn distrust(&self, channel: i64) -> Result<(), Error> {
        write!(self.0, |tx| {
            for statement in [q::DISTRUST, q::UNCOVER] {
                sqlx::query(statement)
                    .bind(channel)
                    .execute(&mut *tx)
                    .await?;
            }
            Ok(Flow::Commit(()))
        })
    }

    async fn coverage(&self, channel: i64) -> Result<Vec<(i32, i32)>, Error> {
        read!(self.0, |connection| {
            intervals(connection, channel).await
        })
    }

    async fn rows(&self, channel: i64, low: i32, high: i32) -> Result<Vec<Stored>, Error> {
        read!(self.0, |connection| {
            rows(connection, channel, low, high).await
        })
    }

    async fn blocks(&self, channel: i64) -> Result<Vec<(i32, Digest)>, Error> {
        read!(self.0, |connection| {
            let query = sqlx::query_as(q::BLOCKS).bind(channel);
            apply::digests(query.fetch_all(connection).await?)
        })
    }

    async fn mapped(&self, key: PostKey) -> Result<Option<Mapped>, Error> {
        read!(self.0, |connection| {
            let row: Option<(Uuid, String)> = sqlx::query_as(q::MAPPED)
                .bind(key.channel)
                .bind(key.message)
                .bind(key.tenant.as_uuid())
                .fetch_optional(connection)
                .await?;
            Ok(row.map(|(document, digest)| Mapped {
                document: DocumentId::from_uuid(document),
                digest,
            }))
        })
    }

    async fn map(&self, key: PostKey, mapped: Option<&Mapped>) -> Result<(), Error> {
        write!(self.0, |tx| {
            let query = sqlx::query(if mapped.is_some() { q::MAP } else { q::UNMAP });
            let mut query = query
                .bind(key.channel)
                .bind(key.message)
                .bind(key.tenant.as_uuid());
            if let Some(mapped) = mapped {
                query = query.bind(mapped.document.as_uuid()).bind(&mapped.digest);
            }
            query.execute(tx).await?;
            Ok(Flow::Commit(()))
        })
    }

    async fn keep_key(&self, account: &str, dc: i32, sealed: &[u8]) -> Result<(), Error> {
        write!(self.0, |tx| {
            let query = sqlx::query(q::KEEP_KEY).bind(account).bind(dc).bind(sealed);
            query.execute(tx).await?;
            Ok(Flow::Commit(()))
        })
    }

    async fn keys(&self, account: &str) -> Result<Vec<(i32, Vec<u8>)>, Error> {
        read!(self.0, |connection| {
            let query = sqlx::query_as(q::KEYS).bind(account);
            Ok(query.fetch_all(connection).await?)
        })
    }

    async fn ping(&self) -> Result<(), Error> {
        self.0.ping().await
    }
}
