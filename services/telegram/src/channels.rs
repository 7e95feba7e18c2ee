//! Finding, joining, leaving and listing channels.

use grammers_client::tl;
use tokio::time::Instant;
use touchstone_api::telegram::Channel;

use crate::Error;
use crate::account::CallError;
use crate::chat::Chat;
use crate::domain::target::{Target, Username};
use crate::service::Telegram;

/// Dialogs per page.
const PAGE: i32 = 100;

impl Telegram {
    /// Finds a channel by name or by the invite link of one that was joined.
    pub(crate) async fn find(&self, target: &Target, deadline: Instant) -> Result<Chat, Error> {
        let chat = match target {
            Target::Name(name) => self.named(name, deadline).await?,
            Target::Invite(hash) => {
                let hash = hash.as_str().to_owned();
                let request = tl::functions::messages::CheckChatInvite { hash };
                let invite = self
                    .account()
                    .read("messages.checkChatInvite", &request, deadline)
                    .await
                    .map_err(invites)?;
                match invite {
                    tl::enums::ChatInvite::Already(already) => Chat::read(&already.chat),
                    // It may be looked at only after joining.
                    _ => return Err(Error::PrivateChannel),
                }
            }
        };
        let chat = chat.ok_or(Error::NotAChannel)?;
        self.remember(&chat);
        Ok(chat)
    }

    async fn named(&self, name: &Username, deadline: Instant) -> Result<Option<Chat>, Error> {
        if let Some(known) = self.known_name(name) {
            return Ok(Some(known));
        }
        let request = tl::functions::contacts::ResolveUsername {
            username: name.as_str().to_owned(),
            referer: None,
        };
        let found = self
            .account()
            .read("contacts.resolveUsername", &request, deadline)
            .await;
        let tl::enums::contacts::ResolvedPeer::Peer(peer) =
            found.map_err(|error| match error.refusal() {
                Some("USERNAME_NOT_OCCUPIED" | "USERNAME_INVALID") => {
                    Error::UnknownChannel(name.as_str().to_owned())
                }
                _ => error.into(),
            })?;
        Ok(peer.chats.iter().find_map(Chat::read))
    }

    /// The channel with a bare id, if it was met.
    pub(crate) async fn by_id(&self, id: i64, deadline: Instant) -> Result<Chat, Error> {
        if let Some(known) = self.known_id(id) {
            return Ok(known);
        }
        // It may be one of the account's that nobody asked for since the start.
        self.dialogs(deadline).await?;
        if let Some(known) = self.known_id(id) {
            return Ok(known);
        }
        // Or one that was met by name before.
        let met = self.mirror().store().channel(id).await?;
        let chat = Chat::from(&met.ok_or(Error::UnknownChannel(id.to_string()))?);
        self.remember(&chat);
        Ok(chat)
    }

    /// Joins a channel; joining twice changes nothing.
    pub(crate) async fn join(&self, target: &Target, deadline: Instant) -> Result<Chat, Error> {
        let joined = match target {
            Target::Name(_) => {
                let chat = self.find(target, deadline).await?;
                let request = tl::functions::channels::JoinChannel {
                    channel: chat.channel(),
                };
                self.account()
                    .call("channels.joinChannel", &request, deadline)
                    .await
            }
            Target::Invite(hash) => {
                let hash = hash.as_str().to_owned();
                let request = tl::functions::messages::ImportChatInvite { hash };
                self.account()
                    .call("messages.importChatInvite", &request, deadline)
                    .await
            }
        };
        match joined {
            Ok(tl::enums::messages::ChatInviteJoinResult::Ok(joined)) => {
                let chat = first_chat(&joined.updates).ok_or(Error::NotAChannel)?;
                self.remember(&chat);
                Ok(chat)
            }
            // A channel that wants to be asked first, through a form that no program fills in.
            Ok(_) => Err(Error::PrivateChannel),
            Err(error) if error.refusal() == Some("USER_ALREADY_PARTICIPANT") => {
                self.find(target, deadline).await
            }
            Err(error) => Err(invites(error)),
        }
    }

    /// Leaves a channel; leaving one that was not joined changes nothing.
    pub(crate) async fn leave(&self, target: &Target, deadline: Instant) -> Result<Chat, Error> {
        let mut chat = self.find(target, deadline).await?;
        let request = tl::functions::channels::LeaveChannel {
            channel: chat.channel(),
        };
        match self
            .account()
            .call("channels.leaveChannel", &request, deadline)
            .await
        {
            Err(error) if error.refusal() != Some("USER_NOT_PARTICIPANT") => {
                return Err(error.into());
            }
            _ => {}
        }
        chat.joined = false;
        self.remember(&chat);
        Ok(chat)
    }

    /// The account's channels, those with the newest posts first.
    pub(crate) async fn dialogs(&self, deadline: Instant) -> Result<Vec<Channel>, Error> {
        let mut channels: Vec<Channel> = Vec::new();
        let mut offset = (tl::enums::InputPeer::Empty, 0, 0);
        loop {
            let request = tl::functions::messages::GetDialogs {
                exclude_pinned: false,
                folder_id: None,
                offset_date: offset.1,
                offset_id: offset.2,
                offset_peer: offset.0,
                limit: PAGE,
                hash: 0,
            };
            let page = self
                .account()
                .read("messages.getDialogs", &request, deadline)
                .await?;
            let (dialogs, chats, messages) = match page {
                tl::enums::messages::Dialogs::Dialogs(all) => (all.dialogs, all.chats, None),
                tl::enums::messages::Dialogs::Slice(page) => {
                    (page.dialogs, page.chats, Some(page.messages))
                }
                tl::enums::messages::Dialogs::NotModified(_) => (Vec::new(), Vec::new(), None),
            };
            let chats: Vec<Chat> = chats.iter().filter_map(Chat::read).collect();
            let mut last = None;
            for chat in &chats {
                self.remember(chat);
            }
            for dialog in &dialogs {
                let tl::enums::Dialog::Dialog(dialog) = dialog else {
                    continue;
                };
                let tl::enums::Peer::Channel(peer) = &dialog.peer else {
                    continue;
                };
                if let Some(chat) = chats.iter().find(|chat| chat.id == peer.channel_id)
                    && channels.iter().all(|known| known.id != chat.id)
                {
                    channels.push(told(chat, dialog.top_message));
                    last = Some((chat, dialog.top_message));
                }
            }
            // A page that brings nothing new is the last one, whatever Telegram says.
            let (Some(messages), Some((chat, top))) = (messages, last) else {
                return Ok(channels);
            };
            let date = messages
                .iter()
                .find_map(|message| date_of(message, chat.id, top));
            offset = (chat.peer(), date.unwrap_or_default(), top);
        }
    }
}

/// The date of a channel's message, if it is this one.
fn date_of(message: &tl::enums::Message, channel: i64, number: i32) -> Option<i32> {
    let (peer, id, date) = match message {
        tl::enums::Message::Message(message) => (&message.peer_id, message.id, message.date),
        tl::enums::Message::Service(message) => (&message.peer_id, message.id, message.date),
        tl::enums::Message::Empty(_) => return None,
    };
    let of = tl::types::PeerChannel {
        channel_id: channel,
    };
    (*peer == of.into() && id == number).then_some(date)
}

fn told(chat: &Chat, last_message_id: i32) -> Channel {
    Channel {
        id: chat.id,
        title: chat.title.clone(),
        username: chat.username.clone(),
        participants: chat.participants,
        last_message_id,
    }
}

fn first_chat(updates: &tl::enums::Updates) -> Option<Chat> {
    match updates {
        tl::enums::Updates::Updates(updates) => updates.chats.iter().find_map(Chat::read),
        tl::enums::Updates::Combined(updates) => updates.chats.iter().find_map(Chat::read),
        _ => None,
    }
}

/// What Telegram's refusals of invite links mean.
fn invites(error: CallError) -> Error {
    match error.refusal() {
        Some("INVITE_HASH_EXPIRED" | "INVITE_HASH_INVALID" | "INVITE_HASH_EMPTY") => {
            Error::BadInvite
        }
        Some("INVITE_REQUEST_SENT" | "CHANNEL_PRIVATE") => Error::PrivateChannel,
        _ => error.into(),
    }
}
