use chrono::{DateTime, Utc};
use touchstone_api::generation::{Conversation, Message};
use touchstone_api::{Page, PageQuery};
use touchstone_identity::Caller;
use touchstone_store::{from_micros, micros};
use touchstone_types::ConversationId;

use super::Generation;
use crate::error::Error;
use crate::store::{Cursor, Owner};

/// Items of a page when the request names no limit.
const PAGE: u32 = 50;
/// Most items of a page.
const MAX_PAGE: u32 = 200;

impl Generation {
    /// The caller's conversations, the last grown first.
    pub async fn conversations(
        &self,
        caller: &Caller,
        query: &PageQuery,
    ) -> Result<Page<Conversation>, Error> {
        let limit = limit(query)?;
        let after = query.cursor.as_deref().map(read_cursor).transpose()?;
        let owner = Owner::from(caller);
        let mut items = self.inner.store.list(owner, after, limit + 1).await?;
        let next_cursor = cut(&mut items, limit).map(|last| write_cursor(last.updated_at, last.id));
        Ok(Page { items, next_cursor })
    }

    /// One of them.
    pub async fn conversation(
        &self,
        caller: &Caller,
        id: ConversationId,
    ) -> Result<Conversation, Error> {
        let found = self.inner.store.get(Owner::from(caller), id).await?;
        found.ok_or(Error::UnknownConversation)
    }

    /// Forgets one of them.
    pub async fn forget(&self, caller: &Caller, id: ConversationId) -> Result<(), Error> {
        let was_there = self.inner.store.delete(Owner::from(caller), id).await?;
        if was_there {
            Ok(())
        } else {
            Err(Error::UnknownConversation)
        }
    }

    /// Messages of one of them, in order.
    pub async fn messages(
        &self,
        caller: &Caller,
        id: ConversationId,
        query: &PageQuery,
    ) -> Result<Page<Message>, Error> {
        let limit = limit(query)?;
        let after = match query.cursor.as_deref() {
            Some(cursor) => cursor.parse().map_err(|_| bad_cursor())?,
            None => 0,
        };
        let owner = Owner::from(caller);
        let found = self
            .inner
            .store
            .messages(owner, id, after, limit + 1)
            .await?;
        let mut items = found.ok_or(Error::UnknownConversation)?;
        let next_cursor = cut(&mut items, limit).map(|last| last.sequence.to_string());
        Ok(Page { items, next_cursor })
    }
}

fn limit(query: &PageQuery) -> Result<u32, Error> {
    match query.limit {
        None => Ok(PAGE),
        Some(limit) if (1..=MAX_PAGE).contains(&limit) => Ok(limit),
        Some(_) => Err(Error::Invalid {
            field: "limit",
            reason: "must be from 1 to 200",
        }),
    }
}

/// Drops what is past the page; the last item when there was more.
fn cut<T>(items: &mut Vec<T>, limit: u32) -> Option<&T> {
    let had_more = items.len() > limit as usize;
    items.truncate(limit as usize);
    if had_more { items.last() } else { None }
}

const fn bad_cursor() -> Error {
    Error::Invalid {
        field: "cursor",
        reason: "is no `next_cursor` of this list",
    }
}

fn write_cursor(updated_at: DateTime<Utc>, id: ConversationId) -> String {
    format!("{}.{id}", micros(updated_at))
}

fn read_cursor(cursor: &str) -> Result<Cursor, Error> {
    let read = || {
        let (at, id) = cursor.split_once('.')?;
        Some(Cursor {
            updated_at: from_micros(at.parse().ok()?),
            id: id.parse().ok()?,
        })
    };
    read().ok_or_else(bad_cursor)
}
