use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteConnection;
use sqlx::{Executor, QueryBuilder, Row as _, Sqlite};
use touchstone_api::events::Event;
use touchstone_store::sqlite::{Database, commit};
use touchstone_store::{Error, Outbox, decode_id, encode_id, micros, outbox};
use touchstone_types::TenantId;
use uuid::Uuid;

mod sql;

use self::sql as q;
use super::apply::{self, Columns, Hash, Replaced, Tables, Wanted};
use super::{Channel, Leases, Mapped, PostKey, Stamp, Store, Stored, Told};
use crate::domain::ledger::Digest;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Rows of one statement: each statement is a trip to the thread of its connection and back.
const ROWS_AT_ONCE: usize = 250;

/// What is known, in a SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteStore(Database);

impl SqliteStore {
    /// Opens the file, making it if need be.
    ///
    /// # Errors
    /// As [`Database::open`].
    pub async fn open(uri: &str) -> Result<Self, Error> {
        Ok(Self(Database::open(uri, &MIGRATIONS).await?))
    }
}

async fn find<'e>(
    executor: impl Executor<'e, Database = Sqlite>,
    id: i64,
) -> Result<Option<Channel>, Error> {
    let query = sqlx::query_as(q::CHANNEL).bind(id);
    Ok(query.fetch_optional(executor).await?)
}

async fn tenants<'e>(
    executor: impl Executor<'e, Database = Sqlite>,
    channel: i64,
) -> Result<Vec<TenantId>, Error> {
    let query = sqlx::query(q::FOLLOWERS).bind(channel);
    let rows = query.fetch_all(executor).await?;
    rows.iter()
        .map(|row| decode_id(row.try_get("tenant_id")?))
        .collect()
}

async fn rows<'e>(
    executor: impl Executor<'e, Database = Sqlite>,
    channel: i64,
    low: i32,
    high: i32,
) -> Result<Vec<Stored>, Error> {
    let query = sqlx::query_as(q::ROWS).bind(channel).bind(low).bind(high);
    apply::stored(query.fetch_all(executor).await?)
}

async fn intervals<'e>(
    executor: impl Executor<'e, Database = Sqlite>,
    channel: i64,
) -> Result<Vec<(i32, i32)>, Error> {
    Ok(sqlx::query_as(q::COVERAGE)
        .bind(channel)
        .fetch_all(executor)
        .await?)
}

struct InTransaction<'a>(&'a mut SqliteConnection);

#[async_trait]
impl Tables for InTransaction<'_> {
    async fn channel(&mut self, id: i64) -> Result<Option<Channel>, Error> {
        find(&mut *self.0, id).await
    }

    async fn set_state(&mut self, id: i64, pts: i32, top: i32) -> Result<(), Error> {
        let query = sqlx::query(q::SET_STATE).bind(pts).bind(top).bind(id);
        query.execute(&mut *self.0).await?;
        Ok(())
    }

    async fn followers(&mut self, channel: i64) -> Result<Vec<TenantId>, Error> {
        tenants(&mut *self.0, channel).await
    }

    async fn rows(&mut self, channel: i64, low: i32, high: i32) -> Result<Vec<Stored>, Error> {
        rows(&mut *self.0, channel, low, high).await
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
        for some in rows.chunks(ROWS_AT_ONCE) {
            let mut query = QueryBuilder::<Sqlite>::new(q::PUT_ROWS);
            query.push_values(some, |mut values, columns| {
                let row = columns.row;
                values
                    .push_bind(channel)
                    .push_bind(row.id)
                    .push_bind(columns.kind)
                    .push_bind(row.revision)
                    .push_bind(row.grouped_id)
                    .push_bind(row.edited_at)
                    .push_bind(columns.body.as_deref())
                    .push_bind(columns.hash.as_slice())
                    .push_bind(row.reply_to);
            });
            // Others come in all lengths: none of them is worth being kept.
            let query = query.build().persistent(some.len() == ROWS_AT_ONCE);
            query.execute(&mut *self.0).await?;
        }
        Ok(())
    }

    async fn put_revisions(
        &mut self,
        channel: i64,
        revisions: &[Replaced],
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        for some in revisions.chunks(ROWS_AT_ONCE) {
            let mut query = QueryBuilder::<Sqlite>::new(q::PUT_REVISIONS);
            query.push_values(some, |mut values, replaced| {
                values
                    .push_bind(channel)
                    .push_bind(replaced.id)
                    .push_bind(replaced.revision)
                    .push_bind(replaced.body.as_str())
                    .push_bind(micros(at));
            });
            let query = query.build().persistent(some.len() == ROWS_AT_ONCE);
            query.execute(&mut *self.0).await?;
        }
        Ok(())
    }

    async fn coverage(&mut self, channel: i64) -> Result<Vec<(i32, i32)>, Error> {
        intervals(&mut *self.0, channel).await
    }

    async fn remove_interval(&mut self, channel: i64, low: i32) -> Result<(), Error> {
        let query = sqlx::query(q::REMOVE_INTERVAL).bind(channel).bind(low);
        query.execute(&mut *self.0).await?;
        Ok(())
    }

    async fn add_interval(&mut self, channel: i64, low: i32, high: i32) -> Result<(), Error> {
        let query = sqlx::query(q::ADD_INTERVAL)
            .bind(channel)
            .bind(low)
            .bind(high);
        query.execute(&mut *self.0).await?;
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
            .bind(encode_id(tenant.as_uuid()))
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
        let query = sqlx::query(q::FOLLOW).bind(channel);
        let query = query.bind(encode_id(tenant.as_uuid())).bind(micros(at));
        let done = query.execute(&mut *self.0).await?;
        Ok(done.rows_affected() > 0)
    }

    async fn swallow(
        &mut self,
        channel: i64,
        tenant: TenantId,
        (low, high): (i32, i32),
    ) -> Result<(), Error> {
        let query = sqlx::query(q::SWALLOW).bind(channel);
        let query = query.bind(encode_id(tenant.as_uuid())).bind(low).bind(high);
        query.execute(&mut *self.0).await?;
        Ok(())
    }

    async fn want(
        &mut self,
        channel: i64,
        tenant: TenantId,
        (low, high): (i32, i32),
    ) -> Result<(), Error> {
        let query = sqlx::query(q::WANT).bind(channel);
        let query = query.bind(encode_id(tenant.as_uuid())).bind(low).bind(high);
        query.execute(&mut *self.0).await?;
        Ok(())
    }

    async fn wanted(&mut self) -> Result<Option<Wanted>, Error> {
        let row = sqlx::query(q::WANTED).fetch_optional(&mut *self.0).await?;
        row.map(|row| {
            Ok(Wanted {
                channel: row.try_get("channel_id")?,
                tenant: decode_id(row.try_get("tenant_id")?)?,
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
            .bind(encode_id(wanted.tenant.as_uuid()))
            .bind(wanted.numbers.0)
            .bind(wanted.numbers.1)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }
}

#[async_trait]
impl Leases for SqliteStore {
    async fn hold(
        &self,
        account: &str,
        holder: Uuid,
        now: DateTime<Utc>,
        time: Duration,
    ) -> Result<bool, Error> {
        let mut tx = self.0.begin().await?;
        let done = sqlx::query(q::HOLD)
            .bind(account)
            .bind(encode_id(&holder))
            .bind(micros(now + time))
            .bind(micros(now))
            .execute(&mut *tx)
            .await?;
        commit(tx).await?;
        Ok(done.rows_affected() > 0)
    }

    async fn release(&self, account: &str, holder: Uuid) -> Result<(), Error> {
        let mut tx = self.0.begin().await?;
        let query = sqlx::query(q::RELEASE)
            .bind(account)
            .bind(encode_id(&holder));
        query.execute(&mut *tx).await?;
        commit(tx).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(self.0.clone())
    }

    async fn meet(&self, channel: &Channel) -> Result<(), Error> {
        let mut tx = self.0.begin().await?;
        sqlx::query(q::MEET)
            .bind(channel.id)
            .bind(channel.access_hash)
            .bind(&channel.title)
            .bind(channel.username.as_deref())
            .execute(&mut *tx)
            .await?;
        commit(tx).await
    }

    async fn channel(&self, id: i64) -> Result<Option<Channel>, Error> {
        find(self.0.read(), id).await
    }

    async fn follow(
        &self,
        channel: i64,
        tenant: TenantId,
        at: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let mut tx = self.0.begin().await?;
        let fresh = apply::follow(&mut InTransaction(&mut tx), channel, tenant, at).await?;
        commit(tx).await?;
        Ok(fresh)
    }

    async fn unfollow(&self, channel: i64, tenant: TenantId) -> Result<bool, Error> {
        let mut tx = self.0.begin().await?;
        let query = sqlx::query(q::UNFOLLOW).bind(channel);
        let query = query.bind(encode_id(tenant.as_uuid()));
        let done = query.execute(&mut *tx).await?;
        commit(tx).await?;
        Ok(done.rows_affected() > 0)
    }

    async fn followers(&self, channel: i64) -> Result<Vec<TenantId>, Error> {
        tenants(self.0.read(), channel).await
    }

    async fn followed(&self) -> Result<Vec<Channel>, Error> {
        let query = sqlx::query_as(q::FOLLOWED);
        Ok(query.fetch_all(self.0.read()).await?)
    }

    async fn apply(&self, channel: i64, told: &Told, stamp: &Stamp) -> Result<usize, Error> {
        let mut tx = self.0.begin().await?;
        let events = apply::apply(&mut InTransaction(&mut tx), channel, told, stamp).await?;
        commit(tx).await?;
        Ok(events)
    }

    async fn want(&self, channel: i64, tenant: TenantId, numbers: (i32, i32)) -> Result<(), Error> {
        let mut tx = self.0.begin().await?;
        apply::want(&mut InTransaction(&mut tx), channel, tenant, numbers).await?;
        commit(tx).await
    }

    async fn tell(&self, most: i32, stamp: &Stamp) -> Result<Option<usize>, Error> {
        let mut tx = self.0.begin().await?;
        let events = apply::tell(&mut InTransaction(&mut tx), most, stamp).await?;
        commit(tx).await?;
        Ok(events)
    }

    async fn untold(&self) -> Result<u64, Error> {
        let query = sqlx::query_scalar::<_, i64>(q::UNTOLD);
        Ok(query.fetch_one(self.0.read()).await?.unsigned_abs())
    }

    async fn tell_again(&self) -> Result<(), Error> {
        let mut tx = self.0.begin().await?;
        for statement in [q::FORGET_FOLLOWERS, q::WANT_ALL, q::TELL_AGAIN] {
            sqlx::query(statement).execute(&mut *tx).await?;
        }
        commit(tx).await
    }

    async fn distrust(&self, channel: i64) -> Result<(), Error> {
        let mut tx = self.0.begin().await?;
        for statement in [q::DISTRUST, q::UNCOVER] {
            sqlx::query(statement)
                .bind(channel)
                .execute(&mut *tx)
                .await?;
        }
        commit(tx).await
    }

    async fn coverage(&self, channel: i64) -> Result<Vec<(i32, i32)>, Error> {
        intervals(self.0.read(), channel).await
    }

    async fn rows(&self, channel: i64, low: i32, high: i32) -> Result<Vec<Stored>, Error> {
        rows(self.0.read(), channel, low, high).await
    }

    async fn blocks(&self, channel: i64) -> Result<Vec<(i32, Digest)>, Error> {
        let query = sqlx::query_as(q::BLOCKS).bind(channel);
        apply::digests(query.fetch_all(self.0.read()).await?)
    }

    async fn mapped(&self, key: PostKey) -> Result<Option<Mapped>, Error> {
        let row = sqlx::query(q::MAPPED)
            .bind(key.channel)
            .bind(key.message)
            .bind(encode_id(key.tenant.as_uuid()))
            .fetch_optional(self.0.read())
            .await?;
        row.map(|row| {
            Ok(Mapped {
                document: decode_id(row.try_get("document_id")?)?,
                digest: row.try_get("digest")?,
            })
        })
        .transpose()
    }

    async fn map(&self, key: PostKey, mapped: Option<&Mapped>) -> Result<(), Error> {
        let mut tx = self.0.begin().await?;
        let query = sqlx::query(if mapped.is_some() { q::MAP } else { q::UNMAP });
        let mut query = query
            .bind(key.channel)
            .bind(key.message)
            .bind(encode_id(key.tenant.as_uuid()));
        if let Some(mapped) = mapped {
            query = query
                .bind(encode_id(mapped.document.as_uuid()))
                .bind(&mapped.digest);
        }
        query.execute(&mut *tx).await?;
        commit(tx).await
    }

    async fn keep_key(&self, account: &str, dc: i32, sealed: &[u8]) -> Result<(), Error> {
        let mut tx = self.0.begin().await?;
        let query = sqlx::query(q::KEEP_KEY).bind(account).bind(dc).bind(sealed);
        query.execute(&mut *tx).await?;
        commit(tx).await
    }

    async fn keys(&self, account: &str) -> Result<Vec<(i32, Vec<u8>)>, Error> {
        let query = sqlx::query_as(q::KEYS).bind(account);
        Ok(query.fetch_all(self.0.read()).await?)
    }

    async fn ping(&self) -> Result<(), Error> {
        self.0.ping().await
    }
}
