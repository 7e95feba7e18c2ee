//! Reading messages.

use std::collections::BTreeSet;

use grammers_tl_types as tl;
use tl::functions as f;

use super::{Call, Refusal, channel, channel_of_peer};
use crate::center::Center;
use crate::objects;
use crate::world::{Channel, Slot, World};

/// Messages that one search looks at.
const SEARCH_DEPTH: usize = 20_000;

pub(super) fn history(
    center: &Center,
    call: Call,
    request: f::messages::GetHistory,
) -> Result<tl::enums::messages::Messages, Refusal> {
    let me = call.user()?;
    let world = center.world();
    let channel = channel_of_peer(&world, me, &request.peer)?;
    let offset = match (request.offset_id, request.offset_date) {
        (0, date) if date > 0 => channel.first_since(date),
        (id, _) => id,
    };
    let page = channel.page(
        offset,
        request.add_offset,
        request.limit,
        request.min_id,
        request.max_id,
    );
    Ok(messages_of(
        center,
        &world,
        channel,
        me,
        &page,
        channel.count(),
    ))
}

pub(super) fn messages(
    center: &Center,
    call: Call,
    request: f::channels::GetMessages,
) -> Result<tl::enums::messages::Messages, Refusal> {
    let me = call.user()?;
    let world = center.world();
    let channel = channel(&world, me, &request.channel)?;
    let mut ids = Vec::new();
    for wanted in &request.id {
        match wanted {
            tl::enums::InputMessage::Id(wanted) => ids.push(wanted.id),
            _ => return Err(Refusal::bad("MESSAGE_IDS_EMPTY")),
        }
    }
    let count = ids.len() as i32;
    Ok(messages_of(center, &world, channel, me, &ids, count))
}

pub(super) fn search(
    center: &Center,
    call: Call,
    request: f::messages::Search,
) -> Result<tl::enums::messages::Messages, Refusal> {
    let me = call.user()?;
    let world = center.world();
    let channel = channel_of_peer(&world, me, &request.peer)?;
    let wanted = request.q.to_lowercase();
    let matches = |id: &i32| match channel.slot(*id) {
        Slot::Post(post) => {
            (request.min_date == 0 || post.date > request.min_date)
                && (request.max_date == 0 || post.date < request.max_date)
                && is_meant(&post, &request.filter)
                && post.text.to_lowercase().contains(&wanted)
        }
        _ => false,
    };
    let top = if request.offset_id > 0 {
        request.offset_id
    } else {
        channel.last_id() + 1
    };
    let found: Vec<i32> = (1..top.min(channel.last_id() + 1))
        .rev()
        .take(SEARCH_DEPTH)
        .filter(|id| request.min_id == 0 || *id > request.min_id)
        .filter(|id| request.max_id == 0 || *id < request.max_id)
        .filter(matches)
        .collect();
    let skip = request.add_offset.max(0) as usize;
    let take = request.limit.clamp(0, 100) as usize;
    let page: Vec<i32> = found.iter().copied().skip(skip).take(take).collect();
    Ok(messages_of(
        center,
        &world,
        channel,
        me,
        &page,
        found.len() as i32,
    ))
}

fn is_meant(post: &crate::world::Post, filter: &tl::enums::MessagesFilter) -> bool {
    use crate::world::Media;
    use tl::enums::MessagesFilter as Filter;
    match filter {
        Filter::InputMessagesFilterPhotos | Filter::InputMessagesFilterPhotoVideo => {
            matches!(post.media, Some(Media::Photo { .. }))
        }
        Filter::InputMessagesFilterDocument => matches!(post.media, Some(Media::Document { .. })),
        _ => true,
    }
}

pub(super) fn replies(
    center: &Center,
    call: Call,
    request: f::messages::GetReplies,
) -> Result<tl::enums::messages::Messages, Refusal> {
    let me = call.user()?;
    let world = center.world();
    let channel = channel_of_peer(&world, me, &request.peer)?;
    if !channel.exists(request.msg_id) {
        return Err(Refusal::bad("MSG_ID_INVALID"));
    }
    let answers = |id: &i32| match channel.slot(*id) {
        Slot::Post(post) => post.reply_to == Some(request.msg_id),
        _ => false,
    };
    let top = if request.offset_id > 0 {
        request.offset_id
    } else {
        channel.last_id() + 1
    };
    let found: Vec<i32> = (request.msg_id + 1..top)
        .rev()
        .filter(|id| request.min_id == 0 || *id > request.min_id)
        .filter(|id| request.max_id == 0 || *id < request.max_id)
        .filter(answers)
        .collect();
    let take = request.limit.clamp(0, 100) as usize;
    let skip = request.add_offset.max(0) as usize;
    let page: Vec<i32> = found.iter().copied().skip(skip).take(take).collect();
    Ok(messages_of(
        center,
        &world,
        channel,
        me,
        &page,
        found.len() as i32,
    ))
}

pub(super) fn views(
    center: &Center,
    call: Call,
    request: f::messages::GetMessagesViews,
) -> Result<tl::enums::messages::MessageViews, Refusal> {
    let me = call.user()?;
    let world = center.world();
    let channel = channel_of_peer(&world, me, &request.peer)?;
    let seen = |id: &i32| {
        let message = objects::message(&world, channel, *id, 0);
        let (views, forwards) = match message {
            Some(tl::enums::Message::Message(message)) => (message.views, message.forwards),
            _ => (None, None),
        };
        tl::types::MessageViews {
            views,
            forwards,
            replies: None,
        }
        .into()
    };
    let answer = tl::types::messages::MessageViews {
        views: request.id.iter().map(seen).collect(),
        chats: vec![objects::chat(channel, me)],
        users: Vec::new(),
    };
    Ok(answer.into())
}

/// A page of messages with everybody in them.
fn messages_of(
    center: &Center,
    world: &World,
    channel: &Channel,
    me: i64,
    ids: &[i32],
    count: i32,
) -> tl::enums::messages::Messages {
    let epoch = center.file_epoch();
    let messages: Vec<_> = ids
        .iter()
        .map(|id| {
            objects::message(world, channel, *id, epoch).unwrap_or_else(|| objects::nothing(*id))
        })
        .collect();
    tl::types::messages::ChannelMessages {
        inexact: false,
        pts: channel.pts(),
        count,
        offset_id_offset: None,
        users: writers(world, me, &messages),
        messages,
        topics: Vec::new(),
        chats: vec![objects::chat(channel, me)],
    }
    .into()
}

/// The users who wrote messages.
pub(super) fn writers(
    world: &World,
    me: i64,
    messages: &[tl::enums::Message],
) -> Vec<tl::enums::User> {
    let writer = |message: &tl::enums::Message| match message {
        tl::enums::Message::Message(message) => match &message.from_id {
            Some(tl::enums::Peer::User(user)) => Some(user.user_id),
            _ => None,
        },
        _ => None,
    };
    let ids: BTreeSet<i64> = messages.iter().filter_map(writer).collect();
    ids.into_iter()
        .map(|id| objects::user(&world.user(id), me))
        .collect()
}
