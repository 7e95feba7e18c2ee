use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::migrate::Migrator;
use sqlx::sqlite::SqliteRow;
use touchstone_api::generation::{Conversation, Message};
use touchstone_store::sqlite::{Database, commit};
use touchstone_store::{Error, decode_id, encode_id, from_micros, micros};
use touchstone_types::ConversationId;

use super::{Cursor, NewMessage, Owner, Store, Target, role_of, role_word};

static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// Conversations in a SQLite file.
#[derive(Clone, Debug)]
pub struct SqliteStore(Database);

impl SqliteStore {
    /// Opens the file, making it if need be.
    pub async fn open(uri: &str) -> Result<Self, Error> {
        Ok(Self(Database::open(uri, &MIGRATIONS).await?))
    }
}

const CONVERSATION: &str = "SELECT id, title, message_count, created_at, updated_at
    FROM conversations WHERE tenant_id = ? AND user_id = ? AND id = ?";
const LIST: &str = "SELECT id, title, message_count, created_at, updated_at
    FROM conversations WHERE tenant_id = ? AND user_id = ?
    ORDER BY updated_at DESC, id DESC LIMIT ?";
const LIST_AFTER: &str = "SELECT id, title, message_count, created_at, updated_at
    FROM conversations WHERE tenant_id = ? AND user_id = ? AND (updated_at, id) < (?, ?)
    ORDER BY updated_at DESC, id DESC LIMIT ?";
const CREATE: &str = "INSERT INTO conversations
    (id, tenant_id, user_id, title, message_count, created_at, updated_at)
    VALUES (?, ?, ?, ?, 0, ?, ?)";
const GROW: &str = "UPDATE conversations
    SET message_count = message_count + ?, updated_at = MAX(updated_at, ?)
    WHERE tenant_id = ? AND user_id = ? AND id = ? RETURNING message_count";
const INSERT: &str = "INSERT INTO messages
    (conversation_id, sequence, id, role, content, citations, complete, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
const MESSAGES: &str = "SELECT id, sequence, role, content, citations, complete, created_at
    FROM messages WHERE conversation_id = ? AND sequence > ? ORDER BY sequence LIMIT ?";
const DELETE: &str = "DELETE FROM conversations WHERE tenant_id = ? AND user_id = ? AND id = ?";

#[async_trait]
impl Store for SqliteStore {
    async fn append(
        &self,
        owner: Owner,
        target: &Target,
        messages: &[NewMessage],
        at: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let id = target.id();
        let (tenant, user) = (
            encode_id(owner.tenant.as_uuid()),
            encode_id(owner.user.as_uuid()),
        );
        let mut transaction = self.0.begin().await?;
        if let Target::New(id, title) = target {
            sqlx::query(CREATE)
                .bind(encode_id(id.as_uuid()))
                .bind(tenant)
                .bind(user)
                .bind(title)
                .bind(micros(at))
                .bind(micros(at))
                .execute(&mut *transaction)
                .await?;
        }
        let added = i64::try_from(messages.len()).unwrap_or(i64::MAX);
        let grown = sqlx::query(GROW)
            .bind(added)
            .bind(micros(at))
            .bind(tenant)
            .bind(user)
            .bind(encode_id(id.as_uuid()))
            .fetch_optional(&mut *transaction)
            .await?;
        let Some(grown) = grown else { return Ok(false) };
        let first = grown.try_get::<i64, _>(0)? - added + 1;
        for (sequence, message) in (first..).zip(messages) {
            let citations = serde_json::to_string(&message.citations)
                .map_err(|error| Error::Database(sqlx::Error::Encode(Box::new(error))))?;
            sqlx::query(INSERT)
                .bind(encode_id(id.as_uuid()))
                .bind(sequence)
                .bind(encode_id(message.id.as_uuid()))
                .bind(role_word(message.role))
                .bind(&message.content)
                .bind(citations)
                .bind(message.complete)
                .bind(micros(at))
                .execute(&mut *transaction)
                .await?;
        }
        commit(transaction).await?;
        Ok(true)
    }

    async fn get(&self, owner: Owner, id: ConversationId) -> Result<Option<Conversation>, Error> {
        let row = sqlx::query(CONVERSATION)
            .bind(encode_id(owner.tenant.as_uuid()))
            .bind(encode_id(owner.user.as_uuid()))
            .bind(encode_id(id.as_uuid()))
            .fetch_optional(self.0.read())
            .await?;
        row.as_ref().map(conversation).transpose()
    }

    async fn list(
        &self,
        owner: Owner,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<Conversation>, Error> {
        let (tenant, user) = (
            encode_id(owner.tenant.as_uuid()),
            encode_id(owner.user.as_uuid()),
        );
        let rows = match &after {
            None => {
                let query = sqlx::query(LIST).bind(tenant).bind(user).bind(limit);
                query.fetch_all(self.0.read()).await?
            }
            Some(cursor) => {
                let query = sqlx::query(LIST_AFTER)
                    .bind(tenant)
                    .bind(user)
                    .bind(micros(cursor.updated_at))
                    .bind(encode_id(cursor.id.as_uuid()))
                    .bind(limit);
                query.fetch_all(self.0.read()).await?
            }
        };
        rows.iter().map(conversation).collect()
    }

    async fn delete(&self, owner: Owner, id: ConversationId) -> Result<bool, Error> {
        let mut transaction = self.0.begin().await?;
        let done = sqlx::query(DELETE)
            .bind(encode_id(owner.tenant.as_uuid()))
            .bind(encode_id(owner.user.as_uuid()))
            .bind(encode_id(id.as_uuid()))
            .execute(&mut *transaction)
            .await?;
        commit(transaction).await?;
        Ok(done.rows_affected() > 0)
    }

    async fn messages(
        &self,
        owner: Owner,
        id: ConversationId,
        after: u32,
        limit: u32,
    ) -> Result<Option<Vec<Message>>, Error> {
        if self.get(owner, id).await?.is_none() {
            return Ok(None);
        }
        let rows = sqlx::query(MESSAGES)
            .bind(encode_id(id.as_uuid()))
            .bind(after)
            .bind(limit)
            .fetch_all(self.0.read())
            .await?;
        rows.iter().map(message).collect::<Result<_, _>>().map(Some)
    }

    async fn ping(&self) -> Result<(), Error> {
        self.0.ping().await
    }
}

fn conversation(row: &SqliteRow) -> Result<Conversation, Error> {
    Ok(Conversation {
        id: decode_id(row.try_get("id")?)?,
        title: row.try_get("title")?,
        message_count: row.try_get("message_count")?,
        created_at: from_micros(row.try_get("created_at")?),
        updated_at: from_micros(row.try_get("updated_at")?),
    })
}

fn message(row: &SqliteRow) -> Result<Message, Error> {
    let citations: &str = row.try_get("citations")?;
    let corrupt = |error| Error::Corrupt(sqlx::Error::Decode(Box::new(error)));
    Ok(Message {
        id: decode_id(row.try_get("id")?)?,
        sequence: row.try_get("sequence")?,
        role: role_of(row.try_get("role")?),
        content: row.try_get("content")?,
        citations: serde_json::from_str(citations).map_err(corrupt)?,
        complete: row.try_get("complete")?,
        created_at: from_micros(row.try_get("created_at")?),
    })
}
