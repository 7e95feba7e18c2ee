//! What a client missed.

use grammers_tl_types as tl;
use tl::functions as f;

use super::{Call, Refusal, channel, history};
use crate::center::Center;
use crate::objects;
use crate::scenario::TooLong;
use crate::world::{Change, Channel, World};

/// State of the account outside of channels; nothing happens there in this world.
pub(crate) fn account_state(center: &Center) -> tl::enums::updates::State {
    tl::types::updates::State {
        pts: 1,
        qts: 0,
        date: center.now(),
        seq: 1,
        unread_count: 0,
    }
    .into()
}

pub(super) fn state(
    center: &Center,
    call: Call,
    _: f::updates::GetState,
) -> Result<tl::enums::updates::State, Refusal> {
    call.user().map(|_| account_state(center))
}

pub(super) fn difference(
    center: &Center,
    call: Call,
    _: f::updates::GetDifference,
) -> Result<tl::enums::updates::Difference, Refusal> {
    call.user()?;
    let empty = tl::types::updates::DifferenceEmpty {
        date: center.now(),
        seq: 1,
    };
    Ok(empty.into())
}

pub(super) fn channel_difference(
    center: &Center,
    call: Call,
    request: f::updates::GetChannelDifference,
) -> Result<tl::enums::updates::ChannelDifference, Refusal> {
    let me = call.user()?;
    let world = center.world();
    let channel = channel(&world, me, &request.channel)?;
    if request.pts <= 0 {
        return Err(Refusal::bad("PERSISTENT_TIMESTAMP_EMPTY"));
    }
    if request.pts > channel.pts() {
        return Err(Refusal::bad("PERSISTENT_TIMESTAMP_INVALID"));
    }
    if request.pts == channel.pts() {
        let empty = tl::types::updates::ChannelDifferenceEmpty {
            r#final: true,
            pts: channel.pts(),
            timeout: Some(30),
        };
        return Ok(empty.into());
    }
    let limit = request.limit.clamp(1, 100_000);
    let behind = channel.pts() - request.pts;
    let refused = match center.scenario().too_long {
        TooLong::Limit => behind > limit,
        TooLong::Behind { changes } => behind > changes,
    };
    let changes = channel.changes_after(request.pts).filter(|_| !refused);
    let Some(changes) = changes else {
        return Ok(too_long(center, &world, channel, me));
    };
    // As many whole changes as the limit holds, one at least.
    let mut pts = request.pts;
    let mut taken = 0;
    for (after, _) in changes {
        if taken > 0 && after - request.pts > limit {
            break;
        }
        pts = *after;
        taken += 1;
    }
    let mut new_messages = Vec::new();
    let mut other_updates = Vec::new();
    for (after, change) in &changes[..taken] {
        match (
            change,
            update(&world, channel, change, *after, center.file_epoch()),
        ) {
            (_, None) => {}
            (Change::Posted { .. }, Some(tl::enums::Update::NewChannelMessage(update))) => {
                new_messages.push(update.message);
            }
            (_, Some(update)) => other_updates.push(update),
        }
    }
    let answer = tl::types::updates::ChannelDifference {
        r#final: taken == changes.len(),
        pts,
        timeout: Some(30),
        users: history::writers(&world, me, &new_messages),
        new_messages,
        other_updates,
        chats: vec![objects::chat(channel, me)],
    };
    Ok(answer.into())
}

fn too_long(
    center: &Center,
    world: &World,
    channel: &Channel,
    me: i64,
) -> tl::enums::updates::ChannelDifference {
    // The newest messages come along; all between them and the client's state is not told.
    let messages: Vec<_> = channel
        .page(0, 0, 10, 0, 0)
        .into_iter()
        .filter_map(|id| objects::message(world, channel, id, center.file_epoch()))
        .collect();
    tl::types::updates::ChannelDifferenceTooLong {
        r#final: true,
        timeout: Some(30),
        dialog: objects::dialog(channel),
        users: history::writers(world, me, &messages),
        messages,
        chats: vec![objects::chat(channel, me)],
    }
    .into()
}

/// A change as an update; `None` when what it was about is gone since.
pub(crate) fn update(
    world: &World,
    channel: &Channel,
    change: &Change,
    pts: i32,
    epoch: u32,
) -> Option<tl::enums::Update> {
    let pts_count = change.width();
    Some(match change {
        Change::Posted { id } => tl::types::UpdateNewChannelMessage {
            message: objects::message(world, channel, *id, epoch)?,
            pts,
            pts_count,
        }
        .into(),
        Change::Edited { id } => tl::types::UpdateEditChannelMessage {
            message: objects::message(world, channel, *id, epoch)?,
            pts,
            pts_count,
        }
        .into(),
        Change::Deleted { ids } => tl::types::UpdateDeleteChannelMessages {
            channel_id: channel.id,
            messages: ids.clone(),
            pts,
            pts_count,
        }
        .into(),
    })
}
