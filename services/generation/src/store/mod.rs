//! Where conversations are kept.

mod postgres;
mod sqlite;

#[cfg(test)]
mod contract;

pub use postgres::{EXPLAINED, PostgresStore};
pub use sqlite::SqliteStore;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use touchstone_api::generation::{Citation, Conversation, Message, MessageRole};
use touchstone_identity::Caller;
use touchstone_store::postgres::Options;
use touchstone_store::{Backend, Error, StoreUri};
use touchstone_types::{ConversationId, MessageId, TenantId, UserId};

/// Whose conversations: nobody else's are seen or touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The tenant.
    pub tenant: TenantId,
    /// The user in it.
    pub user: UserId,
}

impl From<&Caller> for Owner {
    fn from(caller: &Caller) -> Self {
        Self {
            tenant: caller.tenant,
            user: caller.user,
        }
    }
}

/// A message that is not stored yet.
#[derive(Clone, Debug, PartialEq)]
pub struct NewMessage {
    /// Id.
    pub id: MessageId,
    /// Who wrote it.
    pub role: MessageRole,
    /// The text.
    pub content: String,
    /// Citations of an answer.
    pub citations: Vec<Citation>,
    /// False when its stream broke.
    pub complete: bool,
}

/// Where messages go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A conversation that must exist.
    Existing(ConversationId),
    /// A new one with this title.
    New(ConversationId, String),
}

impl Target {
    /// The conversation.
    pub const fn id(&self) -> ConversationId {
        match self {
            Self::Existing(id) | Self::New(id, _) => *id,
        }
    }
}

/// The place after an item of the list of conversations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// When it last grew.
    pub updated_at: DateTime<Utc>,
    /// Its id.
    pub id: ConversationId,
}

/// Keeps conversations.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// Adds messages at the end, numbered without holes, all or none. False when the conversation
    /// is not there (any more) for this owner.
    async fn append(
        &self,
        owner: Owner,
        target: &Target,
        messages: &[NewMessage],
        at: DateTime<Utc>,
    ) -> Result<bool, Error>;

    /// A conversation.
    async fn get(&self, owner: Owner, id: ConversationId) -> Result<Option<Conversation>, Error>;

    /// Conversations, the last grown first.
    async fn list(
        &self,
        owner: Owner,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Vec<Conversation>, Error>;

    /// Forgets a conversation with its messages. False when there was none.
    async fn delete(&self, owner: Owner, id: ConversationId) -> Result<bool, Error>;

    /// Messages behind a number, in order; `None` without such a conversation.
    async fn messages(
        &self,
        owner: Owner,
        id: ConversationId,
        after: u32,
        limit: u32,
    ) -> Result<Option<Vec<Message>>, Error>;

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

/// The role that [`role_word`] stored.
fn role_of(word: &str) -> MessageRole {
    match word {
        "user" => MessageRole::User,
        _ => MessageRole::Assistant,
    }
}

const fn role_word(role: MessageRole) -> &'static str {
    match role {
        MessageRole::User => "user",
        MessageRole::Assistant => "assistant",
    }
}
