use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sqlx::Row;
use sqlx::migrate::Migrator;
use sqlx::postgres::PgRow;
use touchstone_api::generation::{Conversation, Message};
use touchstone_store::Error;
use touchstone_store::postgres::{
    Database, Explained, Flow, Options, int, read, statements, text, uint, write,
};
use touchstone_types::{ConversationId, MessageId};

use super::{Cursor, NewMessage, Owner, Store, Target, role_of, role_word};

/// Name of the schema.
const SCHEMA: &str = "generation";

/// The schema, forward only.
pub static MIGRATOR: Migrator = sqlx::migrate!("migrations/postgres");

/// What `touchstone explain` looks at.
pub const EXPLAINED: Explained = Explained {
    service: SCHEMA,
    migrator: &MIGRATOR,
    fill: FILL,
    statements: &[STATEMENTS],
};

const TENANT: &str = "(SELECT tenant_id FROM conversations ORDER BY id LIMIT 1)";
const USER: &str = "(SELECT user_id FROM conversations ORDER BY id LIMIT 1)";
const CONVERSATION_ID: &str = "(SELECT id FROM conversations ORDER BY id LIMIT 1)";

statements! {
    /// A conversation.
    CONVERSATION [TENANT, USER, CONVERSATION_ID] =
        "SELECT id, title, message_count, created_at, updated_at FROM conversations
         WHERE tenant_id = $1 AND user_id = $2 AND id = $3";
    /// The first page of an owner's conversations.
    LIST [TENANT, USER, "50"] =
        "SELECT id, title, message_count, created_at, updated_at FROM conversations
         WHERE tenant_id = $1 AND user_id = $2 ORDER BY updated_at DESC, id DESC LIMIT $3";
    /// A later page.
    LIST_AFTER [TENANT, USER, "now()", CONVERSATION_ID, "50"] =
        "SELECT id, title, message_count, created_at, updated_at FROM conversations
         WHERE tenant_id = $1 AND user_id = $2 AND (updated_at, id) < ($3, $4)
         ORDER BY updated_at DESC, id DESC LIMIT $5";
    /// A new conversation.
    CREATE ["gen_random_uuid()", TENANT, USER, "'title'", "now()"] =
        "INSERT INTO conversations
         (id, tenant_id, user_id, title, message_count, created_at, updated_at)
         VALUES ($1, $2, $3, $4, 0, $5, $5)";
    /// Counts messages; the lock puts those who append in a row.
    GROW [TENANT, USER, CONVERSATION_ID, "2", "now()"] =
        "UPDATE conversations SET message_count = message_count + $4,
         updated_at = GREATEST(updated_at, $5)
         WHERE tenant_id = $1 AND user_id = $2 AND id = $3 RETURNING message_count";
    /// A message.
    INSERT [
        CONVERSATION_ID, "1000000", "gen_random_uuid()", "'user'", "'text'", "'[]'", "true", "now()"
    ] =
        "INSERT INTO messages
         (conversation_id, sequence, id, role, content, citations, complete, created_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
    /// Messages behind a number.
    MESSAGES [CONVERSATION_ID, "0", "100"] =
        "SELECT id, sequence, role, content, citations, complete, created_at FROM messages
         WHERE conversation_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3";
    /// Forgets a conversation; its messages go with it.
    DELETE [TENANT, USER, CONVERSATION_ID] =
        "DELETE FROM conversations WHERE tenant_id = $1 AND user_id = $2 AND id = $3";
}

/// Twenty conversations per owner, four messages each.
const FILL: &[&str] = &[
    "INSERT INTO conversations SELECT gen_random_uuid(), md5((n / 200)::text)::uuid,
            md5((n / 20)::text)::uuid, 'title', 4, now(), now() - n * interval '1 second'
     FROM generate_series(1, $1 / 4 + 20) AS n",
    "INSERT INTO messages SELECT id, s, gen_random_uuid(), 'user', 'text', '[]', true, now()
     FROM conversations, generate_series(1, LEAST($1, 4)) AS s",
];

/// Conversations in PostgreSQL.
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

#[async_trait]
impl Store for PostgresStore {
    async fn append(
        &self,
        owner: Owner,
        target: &Target,
        messages: &[NewMessage],
        at: DateTime<Utc>,
    ) -> Result<bool, Error> {
        let id = target.id();
        let added = i32::try_from(messages.len()).unwrap_or(i32::MAX);
        write!(self.0, |tx| {
            if let Target::New(id, title) = target {
                sqlx::query(CREATE)
                    .bind(id.as_uuid())
                    .bind(owner.tenant.as_uuid())
                    .bind(owner.user.as_uuid())
                    .bind(text(title))
                    .bind(at)
                    .execute(&mut *tx)
                    .await?;
            }
            let grown = sqlx::query_scalar::<_, i32>(GROW)
                .bind(owner.tenant.as_uuid())
                .bind(owner.user.as_uuid())
                .bind(id.as_uuid())
                .bind(added)
                .bind(at)
                .fetch_optional(&mut *tx)
                .await?;
            let Some(grown) = grown else {
                return Ok(Flow::Rollback(false));
            };
            for (sequence, message) in (grown - added + 1..).zip(messages) {
                let citations = serde_json::to_string(&message.citations)
                    .map_err(|error| Error::Database(sqlx::Error::Encode(Box::new(error))))?;
                sqlx::query(INSERT)
                    .bind(id.as_uuid())
                    .bind(sequence)
                    .bind(message.id.as_uuid())
                    .bind(role_word(message.role))
                    .bind(text(&message.content))
                    .bind(citations)
                    .bind(message.complete)
                    .bind(at)
                    .execute(&mut *tx)
                    .await?;
            }
            Ok(Flow::Commit(true))
        })
    }

    async fn get(&self, owner: Owner, id: ConversationId) -> Result<Option<Conversation>, Error> {
        read!(self.0, |connection| {
            let row = sqlx::query(CONVERSATION)
                .bind(owner.tenant.as_uuid())
                .bind(owner.user.as_uuid())
                .bind(id.as_uuid())
                .fetch_optional(connection)
                .await?;
            row.as_ref().map(conversation).transpose()
        })
    }

    async fn list(
        &self,
        owner: Owner,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<Conversation>, Error> {
        let statement = if after.is_some() { LIST_AFTER } else { LIST };
        read!(self.0, |connection| {
            let mut query = sqlx::query(statement)
                .bind(owner.tenant.as_uuid())
                .bind(owner.user.as_uuid());
            if let Some(cursor) = &after {
                query = query.bind(cursor.updated_at).bind(cursor.id.as_uuid());
            }
            let query = query.bind(i64::from(limit));
            let rows = query.fetch_all(connection).await?;
            rows.iter().map(conversation).collect()
        })
    }

    async fn delete(&self, owner: Owner, id: ConversationId) -> Result<bool, Error> {
        write!(self.0, |tx| {
            let done = sqlx::query(DELETE)
                .bind(owner.tenant.as_uuid())
                .bind(owner.user.as_uuid())
                .bind(id.as_uuid())
                .execute(tx)
                .await?;
            Ok(Flow::Commit(done.rows_affected() > 0))
        })
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
        read!(self.0, |connection| {
            let rows = sqlx::query(MESSAGES)
                .bind(id.as_uuid())
                .bind(int(after))
                .bind(i64::from(limit))
                .fetch_all(connection)
                .await?;
            let messages = rows.iter().map(message).collect::<Result<_, Error>>()?;
            Ok(Some(messages))
        })
    }

    async fn ping(&self) -> Result<(), Error> {
        self.0.ping().await
    }
}

fn conversation(row: &PgRow) -> Result<Conversation, Error> {
    Ok(Conversation {
        id: ConversationId::from_uuid(row.try_get("id")?),
        title: row.try_get("title")?,
        message_count: uint(row.try_get("message_count")?)?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

fn message(row: &PgRow) -> Result<Message, Error> {
    let citations: &str = row.try_get("citations")?;
    let corrupt = |error| Error::Corrupt(sqlx::Error::Decode(Box::new(error)));
    Ok(Message {
        id: MessageId::from_uuid(row.try_get("id")?),
        sequence: uint(row.try_get("sequence")?)?,
        role: role_of(row.try_get("role")?),
        content: row.try_get("content")?,
        citations: serde_json::from_str(citations).map_err(corrupt)?,
        complete: row.try_get("complete")?,
        created_at: row.try_get("created_at")?,
    })
}
