//! Channels and posts as Telegram tells them, in our words.

use chrono::{DateTime, SecondsFormat, Utc};
use grammers_client::tl;
use touchstone_api::telegram::{Post, SyncType};

use crate::store::Channel;

/// A channel that was met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// Bare id.
    pub id: i64,
    /// What proves to Telegram that we met it.
    pub access_hash: i64,
    /// Title.
    pub title: String,
    /// Public name.
    pub username: Option<String>,
    /// Members, where they are told.
    pub participants: Option<i32>,
    /// Whether the account is a member.
    pub joined: bool,
}

impl Chat {
    /// Reads a channel; `None` for users, small groups, and channels that may not be seen.
    pub fn read(chat: &tl::enums::Chat) -> Option<Self> {
        let tl::enums::Chat::Channel(channel) = chat else {
            return None;
        };
        Some(Self {
            id: channel.id,
            access_hash: channel.access_hash?,
            title: channel.title.clone(),
            username: channel.username.clone(),
            participants: channel.participants_count,
            joined: !channel.left,
        })
    }

    /// The same channel as it is told of among others: names and titles change.
    pub fn now(&self, chats: &[tl::enums::Chat]) -> Option<Self> {
        let mut chats = chats.iter().filter_map(Self::read);
        chats.find(|chat| chat.id == self.id)
    }

    /// As a parameter of methods on peers.
    pub fn peer(&self) -> tl::enums::InputPeer {
        tl::types::InputPeerChannel {
            channel_id: self.id,
            access_hash: self.access_hash,
        }
        .into()
    }

    /// As a parameter of methods on channels.
    pub fn channel(&self) -> tl::enums::InputChannel {
        tl::types::InputChannel {
            channel_id: self.id,
            access_hash: self.access_hash,
        }
        .into()
    }
}

impl From<&Channel> for Chat {
    /// As it was met; nobody said whether the account is a member.
    fn from(channel: &Channel) -> Self {
        Self {
            id: channel.id,
            access_hash: channel.access_hash,
            title: channel.title.clone(),
            username: channel.username.clone(),
            participants: None,
            joined: false,
        }
    }
}

/// A post with what is not told to callers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posted {
    /// The post.
    pub post: Post,
    /// Posts of one album share it.
    pub grouped_id: Option<i64>,
    /// Last edit, seconds since 1970.
    pub edited_at: Option<i32>,
}

/// A message of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A post.
    Post(Box<Posted>),
    /// A service message: somebody joined, the channel was created.
    Service(i32),
    /// Nothing.
    Empty(i32),
}

impl Entry {
    /// Reads a message.
    pub fn read(message: &tl::enums::Message, chat: &Chat, sync_type: SyncType) -> Self {
        match message {
            tl::enums::Message::Empty(empty) => Self::Empty(empty.id),
            tl::enums::Message::Service(service) => Self::Service(service.id),
            tl::enums::Message::Message(message) => Self::Post(Box::new(Posted {
                post: post(message, chat, sync_type),
                grouped_id: message.grouped_id,
                edited_at: message.edit_date,
            })),
        }
    }

    /// The post, if it is one.
    pub fn into_post(self) -> Option<Post> {
        match self {
            Self::Post(posted) => Some(posted.post),
            Self::Service(_) | Self::Empty(_) => None,
        }
    }

    /// The post, if it is one.
    pub fn post(&self) -> Option<&Post> {
        match self {
            Self::Post(posted) => Some(&posted.post),
            Self::Service(_) | Self::Empty(_) => None,
        }
    }

    /// Whether it is a post.
    pub const fn is_post(&self) -> bool {
        matches!(self, Self::Post(_))
    }

    /// Its number.
    pub fn id(&self) -> i32 {
        match self {
            Self::Post(posted) => posted.post.message_id,
            Self::Service(id) | Self::Empty(id) => *id,
        }
    }
}

fn post(message: &tl::types::Message, chat: &Chat, sync_type: SyncType) -> Post {
    let media_type = message.media.as_ref().map(kind);
    let downloadable = matches!(media_type, Some("photo" | "document"));
    Post {
        message_id: message.id,
        channel_id: chat.id,
        channel_title: chat.title.clone(),
        channel_username: chat.username.clone(),
        text: message.message.clone(),
        date: timestamp(message.date),
        sender_id: sender(message, chat),
        views: message.views,
        forwards: message.forwards,
        reply_to_msg_id: reply(message),
        media_type: media_type.map(str::to_owned),
        media_url: downloadable.then(|| format!("/media/{}/{}", chat.id, message.id)),
        sync_type,
    }
}

/// Seconds since 1970 as RFC 3339 with `+00:00`.
pub fn timestamp(seconds: i32) -> String {
    let at: DateTime<Utc> = DateTime::from_timestamp(i64::from(seconds), 0).unwrap_or_default();
    // `false`: `+00:00`, not `Z`; readers of the exports know the first.
    at.to_rfc3339_opts(SecondsFormat::Secs, false)
}

/// The writer; a channel is told in the form of the Bot API.
fn sender(message: &tl::types::Message, chat: &Chat) -> i64 {
    match &message.from_id {
        Some(tl::enums::Peer::User(user)) => user.user_id,
        Some(tl::enums::Peer::Channel(channel)) => bot_api(channel.channel_id),
        Some(tl::enums::Peer::Chat(group)) => -group.chat_id,
        None => bot_api(chat.id),
    }
}

/// A channel's id as the Bot API writes it.
fn bot_api(channel: i64) -> i64 {
    -1_000_000_000_000 - channel
}

fn reply(message: &tl::types::Message) -> Option<i32> {
    match message.reply_to.as_ref()? {
        // A number of another channel says nothing here.
        tl::enums::MessageReplyHeader::Header(header) if header.reply_to_peer_id.is_none() => {
            header.reply_to_msg_id
        }
        _ => None,
    }
}

fn kind(media: &tl::enums::MessageMedia) -> &'static str {
    use tl::enums::MessageMedia as Media;
    match media {
        Media::Photo(_) => "photo",
        Media::Document(_) => "document",
        Media::Geo(_) | Media::GeoLive(_) => "location",
        Media::Contact(_) => "contact",
        Media::WebPage(_) => "web_page",
        Media::Venue(_) => "venue",
        Media::Poll(_) => "poll",
        Media::Dice(_) => "dice",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_have_the_senders_id_that_bots_know() {
        assert_eq!(bot_api(1_006_503_122), -1_001_006_503_122);
    }

    #[test]
    fn dates_are_written_as_in_the_documented_example() {
        assert_eq!(timestamp(1_767_779_748), "2026-01-07T09:55:48+00:00");
    }
}
