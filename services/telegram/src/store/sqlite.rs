use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Executor, Row as _, Sqlite};
use touchstone_api::events::Event;
use touchstone_store::sqlite::{Database, commit};
use touchstone_store::{Error, Outbox, decode_id, encode_id, micros, outbox};
use touchstone_types::TenantId;
use uuid::Uuid;

use super::apply::{self, Columns, Tables};
use super::{Channel, Mapped, PostKey, Stamp, Store, Stored, Told};
use crate::domain::ledger::Digest;

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

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

const MEET: &str = "INSERT INTO channels (id, access_hash, title, username, pts, top)
    VALUES (?, ?, ?, ?, 0, 0) ON CONFLICT (id) DO UPDATE SET
    access_hash = excluded.access_hash, title = excluded.title, username = excluded.username";
const CHANNEL: &str =
    "SELECT id, access_hash, title, username, pts, top FROM channels WHERE id = ?";
const SET_STATE: &str = "UPDATE channels SET pts = ?, top = ? WHERE id = ?";
const DISTRUST: &str = "UPDATE channels SET pts = 0 WHERE id = ?";
const UNCOVER: &str = "DELETE FROM coverage WHERE channel_id = ?";
const FOLLOW: &str = "INSERT INTO followers (channel_id, tenant_id, created_at) VALUES (?, ?, ?)
    ON CONFLICT DO NOTHING";
const UNFOLLOW: &str = "DELETE FROM followers WHERE channel_id = ? AND tenant_id = ?";
const FOLLOWERS: &str = "SELECT tenant_id FROM followers WHERE channel_id = ? ORDER BY tenant_id";
const FOLLOWED: &str = "SELECT id, access_hash, title, username, pts, top FROM channels
    WHERE id IN (SELECT channel_id FROM followers) ORDER BY id";
const ROWS: &str =
    "SELECT id, kind, revision, grouped_id, reply_to, edited_at, body, hash FROM messages
    WHERE channel_id = ? AND id BETWEEN ? AND ? ORDER BY id";
const ALBUM: &str =
    "SELECT id, kind, revision, grouped_id, reply_to, edited_at, body, hash FROM messages
    WHERE channel_id = ? AND grouped_id = ? ORDER BY id";
const ANSWERED: &str = "SELECT id, kind, revision, grouped_id, reply_to, edited_at, body, hash
    FROM messages WHERE channel_id = ? AND reply_to BETWEEN ? AND ? ORDER BY reply_to, id LIMIT ?";
const PUT_ROW: &str = "INSERT OR REPLACE INTO messages
    (channel_id, id, kind, revision, grouped_id, edited_at, body, hash, reply_to)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const PUT_REVISION: &str = "INSERT OR REPLACE INTO revisions
    (channel_id, id, revision, body, replaced_at) VALUES (?, ?, ?, ?, ?)";
const COVERAGE: &str = "SELECT low, high FROM coverage WHERE channel_id = ? ORDER BY low";
const REMOVE_INTERVAL: &str = "DELETE FROM coverage WHERE channel_id = ? AND low = ?";
const ADD_INTERVAL: &str = "INSERT INTO coverage (channel_id, low, high) VALUES (?, ?, ?)";
const HASHES: &str = "SELECT id, revision, hash FROM messages
    WHERE channel_id = ? AND id BETWEEN ? AND ? ORDER BY id";
const BLOCKS: &str = "SELECT block, digest FROM blocks WHERE channel_id = ? ORDER BY block";
const PUT_BLOCK: &str =
    "INSERT OR REPLACE INTO blocks (channel_id, block, digest) VALUES (?, ?, ?)";
const DOCUMENTS: &str = "SELECT message_id, digest FROM documents
    WHERE channel_id = ? AND tenant_id = ? AND message_id BETWEEN ? AND ? ORDER BY message_id";
const MAPPED: &str = "SELECT document_id, digest FROM documents
    WHERE channel_id = ? AND message_id = ? AND tenant_id = ?";
const MAP: &str = "INSERT OR REPLACE INTO documents
    (channel_id, message_id, tenant_id, document_id, digest) VALUES (?, ?, ?, ?, ?)";
const UNMAP: &str =
    "DELETE FROM documents WHERE channel_id = ? AND message_id = ? AND tenant_id = ?";
const HOLD: &str = "INSERT INTO leases (account, holder, until) VALUES (?1, ?2, ?3)
    ON CONFLICT (account) DO UPDATE SET holder = excluded.holder, until = excluded.until
    WHERE leases.holder = excluded.holder OR leases.until <= ?4";
const KEEP_KEY: &str =
    "INSERT OR REPLACE INTO keys (account, data_centre, sealed) VALUES (?, ?, ?)";
const KEYS: &str = "SELECT data_centre, sealed FROM keys WHERE account = ? ORDER BY data_centre";
const RELEASE: &str = "DELETE FROM leases WHERE account = ? AND holder = ?";

fn channel(row: &SqliteRow) -> Result<Channel, Error> {
    Ok(Channel {
        id: row.try_get("id")?,
        access_hash: row.try_get("access_hash")?,
        title: row.try_get("title")?,
        username: row.try_get("username")?,
        pts: row.try_get("pts")?,
        top: row.try_get("top")?,
    })
}

fn stored(row: &SqliteRow) -> Result<Stored, Error> {
    apply::stored(
        row.try_get("id")?,
        row.try_get("kind")?,
        row.try_get("revision")?,
        (
            row.try_get("grouped_id")?,
            row.try_get("reply_to")?,
            row.try_get("edited_at")?,
        ),
        row.try_get("body")?,
        row.try_get("hash")?,
    )
}

async fn find<'e>(
    executor: impl Executor<'e, Database = Sqlite>,
    id: i64,
) -> Result<Option<Channel>, Error> {
    let row = sqlx::query(CHANNEL)
        .bind(id)
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(channel).transpose()
}

async fn tenants<'e>(
    executor: impl Executor<'e, Database = Sqlite>,
    channel: i64,
) -> Result<Vec<TenantId>, Error> {
    let query = sqlx::query(FOLLOWERS).bind(channel);
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
    let query = sqlx::query(ROWS).bind(channel).bind(low).bind(high);
    query
        .fetch_all(executor)
        .await?
        .iter()
        .map(stored)
        .collect()
}

async fn intervals<'e>(
    executor: impl Executor<'e, Database = Sqlite>,
    channel: i64,
) -> Result<Vec<(i32, i32)>, Error> {
    Ok(sqlx::query_as(COVERAGE)
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
        let query = sqlx::query(SET_STATE).bind(pts).bind(top).bind(id);
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
        let query = sqlx::query(ALBUM).bind(channel).bind(grouped_id);
        let rows = query.fetch_all(&mut *self.0).await?;
        rows.iter().map(stored).collect()
    }

    async fn answers(
        &mut self,
        channel: i64,
        low: i32,
        high: i32,
        limit: i32,
    ) -> Result<Vec<Stored>, Error> {
        let query = sqlx::query(ANSWERED).bind(channel).bind(low).bind(high);
        let found = query.bind(limit).fetch_all(&mut *self.0).await?;
        found.iter().map(stored).collect()
    }

    async fn put_row(&mut self, channel: i64, columns: &Columns<'_>) -> Result<(), Error> {
        let row = columns.row;
        sqlx::query(PUT_ROW)
            .bind(channel)
            .bind(row.id)
            .bind(columns.kind)
            .bind(row.revision)
            .bind(row.grouped_id)
            .bind(row.edited_at)
            .bind(columns.body.as_deref())
            .bind(columns.hash.as_slice())
            .bind(row.reply_to)
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn put_revision(
        &mut self,
        channel: i64,
        id: i32,
        revision: i32,
        body: &str,
        at: DateTime<Utc>,
    ) -> Result<(), Error> {
        sqlx::query(PUT_REVISION)
            .bind(channel)
            .bind(id)
            .bind(revision)
            .bind(body)
            .bind(micros(at))
            .execute(&mut *self.0)
            .await?;
        Ok(())
    }

    async fn coverage(&mut self, channel: i64) -> Result<Vec<(i32, i32)>, Error> {
        intervals(&mut *self.0, channel).await
    }

    async fn remove_interval(&mut self, channel: i64, low: i32) -> Result<(), Error> {
        let query = sqlx::query(REMOVE_INTERVAL).bind(channel).bind(low);
        query.execute(&mut *self.0).await?;
        Ok(())
    }

    async fn add_interval(&mut self, channel: i64, low: i32, high: i32) -> Result<(), Error> {
        let query = sqlx::query(ADD_INTERVAL).bind(channel).bind(low).bind(high);
        query.execute(&mut *self.0).await?;
        Ok(())
    }

    async fn hashes(
        &mut self,
        channel: i64,
        low: i32,
        high: i32,
    ) -> Result<Vec<(i32, i32, Digest)>, Error> {
        let query = sqlx::query(HASHES).bind(channel).bind(low).bind(high);
        let rows = query.fetch_all(&mut *self.0).await?;
        rows.iter()
            .map(|row| {
                let digest = apply::digest(row.try_get("hash")?)?;
                Ok((row.try_get("id")?, row.try_get("revision")?, digest))
            })
            .collect()
    }

    async fn put_block(&mut self, channel: i64, block: i32, digest: &Digest) -> Result<(), Error> {
        let query = sqlx::query(PUT_BLOCK).bind(channel).bind(block);
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
        Ok(sqlx::query_as(DOCUMENTS)
            .bind(channel)
            .bind(encode_id(tenant.as_uuid()))
            .bind(low)
            .bind(high)
            .fetch_all(&mut *self.0)
            .await?)
    }

    async fn append(&mut self, event: &Event) -> Result<(), Error> {
        outbox::append(&mut *self.0, event).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn outbox(&self) -> Arc<dyn Outbox> {
        Arc::new(self.0.clone())
    }

    async fn meet(&self, channel: &Channel) -> Result<(), Error> {
        let mut tx = self.0.begin().await?;
        sqlx::query(MEET)
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
        let done = sqlx::query(FOLLOW)
            .bind(channel)
            .bind(encode_id(tenant.as_uuid()))
            .bind(micros(at))
            .execute(&mut *tx)
            .await?;
        commit(tx).await?;
        Ok(done.rows_affected() > 0)
    }

    async fn unfollow(&self, channel: i64, tenant: TenantId) -> Result<bool, Error> {
        let mut tx = self.0.begin().await?;
        let query = sqlx::query(UNFOLLOW).bind(channel);
        let query = query.bind(encode_id(tenant.as_uuid()));
        let done = query.execute(&mut *tx).await?;
        commit(tx).await?;
        Ok(done.rows_affected() > 0)
    }

    async fn followers(&self, channel: i64) -> Result<Vec<TenantId>, Error> {
        tenants(self.0.read(), channel).await
    }

    async fn followed(&self) -> Result<Vec<Channel>, Error> {
        let rows = sqlx::query(FOLLOWED).fetch_all(self.0.read()).await?;
        rows.iter().map(channel).collect()
    }

    async fn apply(&self, channel: i64, told: &Told, stamp: &Stamp) -> Result<usize, Error> {
        let mut tx = self.0.begin().await?;
        let events = apply::apply(&mut InTransaction(&mut tx), channel, told, stamp).await?;
        commit(tx).await?;
        Ok(events)
    }

    async fn announce(
        &self,
        channel: i64,
        tenant: TenantId,
        numbers: (i32, i32),
        stamp: &Stamp,
    ) -> Result<usize, Error> {
        let mut tx = self.0.begin().await?;
        let mut tables = InTransaction(&mut tx);
        let events = apply::announce(&mut tables, channel, tenant, numbers, stamp).await?;
        commit(tx).await?;
        Ok(events)
    }

    async fn distrust(&self, channel: i64) -> Result<(), Error> {
        let mut tx = self.0.begin().await?;
        for statement in [DISTRUST, UNCOVER] {
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
        let query = sqlx::query(BLOCKS).bind(channel);
        let rows = query.fetch_all(self.0.read()).await?;
        rows.iter()
            .map(|row| {
                Ok((
                    row.try_get("block")?,
                    apply::digest(row.try_get("digest")?)?,
                ))
            })
            .collect()
    }

    async fn mapped(&self, key: PostKey) -> Result<Option<Mapped>, Error> {
        let row = sqlx::query(MAPPED)
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
        let query = sqlx::query(if mapped.is_some() { MAP } else { UNMAP });
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

    async fn hold(
        &self,
        account: &str,
        holder: Uuid,
        now: DateTime<Utc>,
        time: Duration,
    ) -> Result<bool, Error> {
        let mut tx = self.0.begin().await?;
        let done = sqlx::query(HOLD)
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
        let query = sqlx::query(RELEASE).bind(account).bind(encode_id(&holder));
        query.execute(&mut *tx).await?;
        commit(tx).await
    }

    async fn keep_key(&self, account: &str, dc: i32, sealed: &[u8]) -> Result<(), Error> {
        let mut tx = self.0.begin().await?;
        let query = sqlx::query(KEEP_KEY).bind(account).bind(dc).bind(sealed);
        query.execute(&mut *tx).await?;
        commit(tx).await
    }

    async fn keys(&self, account: &str) -> Result<Vec<(i32, Vec<u8>)>, Error> {
        let query = sqlx::query_as(KEYS).bind(account);
        Ok(query.fetch_all(self.0.read()).await?)
    }

    async fn ping(&self) -> Result<(), Error> {
        self.0.ping().await
    }
}
