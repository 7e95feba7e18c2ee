//! Reading a channel's history, page by page.

use grammers_client::tl;
use tokio::time::Instant;
use touchstone_api::telegram::SyncType;

use crate::Error;
use crate::account::Account;
use crate::chat::{Chat, Entry};

/// Messages per page; Telegram gives no more.
pub(crate) const PAGE: i32 = 100;

/// Where a page lies.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Range {
    /// Only smaller numbers; 0 begins at the newest.
    pub before: i32,
    /// Only larger numbers.
    pub after: i32,
    /// Messages, at most [`PAGE`].
    pub limit: i32,
}

/// A page, newest first.
#[derive(Debug)]
pub(crate) struct Page {
    pub entries: Vec<Entry>,
    /// The channel as it was called when it was read.
    pub chat: Option<Chat>,
    /// The channel's state when it was read.
    pub pts: i32,
}

/// Reads a page.
pub(crate) async fn page(
    account: &Account,
    chat: &Chat,
    range: Range,
    sync_type: SyncType,
    deadline: Instant,
) -> Result<Page, Error> {
    use tl::enums::messages::Messages;
    let request = tl::functions::messages::GetHistory {
        peer: chat.peer(),
        offset_id: range.before,
        offset_date: 0,
        add_offset: 0,
        limit: range.limit.min(PAGE),
        max_id: 0,
        min_id: range.after,
        hash: 0,
    };
    let messages = account
        .read("messages.getHistory", &request, deadline)
        .await?;
    let (messages, chats, pts) = match messages {
        Messages::ChannelMessages(page) => (page.messages, page.chats, page.pts),
        Messages::Messages(page) => (page.messages, page.chats, 0),
        Messages::Slice(page) => (page.messages, page.chats, 0),
        Messages::NotModified(_) => (Vec::new(), Vec::new(), 0),
    };
    let now = chat.now(&chats);
    let called = now.as_ref().unwrap_or(chat);
    let entries = messages.iter();
    let entries = entries.map(|message| Entry::read(message, called, sync_type));
    Ok(Page {
        entries: entries.collect(),
        chat: now,
        pts,
    })
}
