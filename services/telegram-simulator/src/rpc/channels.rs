//! Finding, joining, leaving and listing channels.

use grammers_tl_types as tl;
use tl::functions as f;

use super::{Call, Refusal, channel, channel_of_peer};
use crate::center::Center;
use crate::objects;
use crate::world::{Channel, World};

/// Members beyond the ones that log in, for lists.
const MADE_UP: i64 = 40;

pub(super) fn resolve(
    center: &Center,
    call: Call,
    request: f::contacts::ResolveUsername,
) -> Result<tl::enums::contacts::ResolvedPeer, Refusal> {
    let me = call.user()?;
    let name = request.username.trim_start_matches('@');
    let valid = (1..=32).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !valid {
        return Err(Refusal::bad("USERNAME_INVALID"));
    }
    let world = center.world();
    if let Some(channel) = world.named(name) {
        let resolved = tl::types::contacts::ResolvedPeer {
            peer: objects::peer(channel.id),
            chats: vec![objects::chat(channel, me)],
            users: Vec::new(),
        };
        return Ok(resolved.into());
    }
    let known = |user: &&crate::world::User| {
        user.username
            .as_deref()
            .is_some_and(|own| own.eq_ignore_ascii_case(name))
    };
    let user = world.users.iter().find(known);
    let user = user.ok_or_else(|| Refusal::bad("USERNAME_NOT_OCCUPIED"))?;
    let resolved = tl::types::contacts::ResolvedPeer {
        peer: tl::types::PeerUser { user_id: user.id }.into(),
        chats: Vec::new(),
        users: vec![objects::user(user, me)],
    };
    Ok(resolved.into())
}

pub(super) fn search(
    center: &Center,
    call: Call,
    request: f::contacts::Search,
) -> Result<tl::enums::contacts::Found, Refusal> {
    let me = call.user()?;
    let wanted = request.q.to_lowercase();
    if wanted.chars().count() < 3 {
        return Err(Refusal::bad("QUERY_TOO_SHORT"));
    }
    let world = center.world();
    let public = |channel: &&Channel| {
        channel.username.as_deref().is_some_and(|name| {
            name.to_lowercase().contains(&wanted) || channel.title.to_lowercase().contains(&wanted)
        })
    };
    let limit = request.limit.clamp(1, 100) as usize;
    let found: Vec<&Channel> = world.channels().filter(public).take(limit).collect();
    let (mine, other): (Vec<&Channel>, Vec<&Channel>) = found
        .iter()
        .partition(|channel| channel.members.contains(&me));
    let peers = |list: &[&Channel]| list.iter().map(|c| objects::peer(c.id)).collect();
    let answer = tl::types::contacts::Found {
        my_results: peers(&mine),
        results: peers(&other),
        chats: found
            .iter()
            .map(|channel| objects::chat(channel, me))
            .collect(),
        users: Vec::new(),
    };
    Ok(answer.into())
}

pub(super) fn get(
    center: &Center,
    call: Call,
    request: f::channels::GetChannels,
) -> Result<tl::enums::messages::Chats, Refusal> {
    let me = call.user()?;
    let world = center.world();
    let mut chats = Vec::new();
    for wanted in &request.id {
        let chat = match channel(&world, me, wanted) {
            Ok(channel) => objects::chat(channel, me),
            Err(refusal) if refusal.message == "CHANNEL_PRIVATE" => forbidden(&world, wanted)?,
            Err(refusal) => return Err(refusal),
        };
        chats.push(chat);
    }
    Ok(tl::types::messages::Chats { chats }.into())
}

fn forbidden(world: &World, wanted: &tl::enums::InputChannel) -> Result<tl::enums::Chat, Refusal> {
    let id = match wanted {
        tl::enums::InputChannel::Channel(channel) => channel.channel_id,
        _ => return Err(Refusal::bad("CHANNEL_INVALID")),
    };
    let found = world.channel(id).map(objects::forbidden);
    found.ok_or_else(|| Refusal::bad("CHANNEL_INVALID"))
}

pub(super) fn get_full(
    center: &Center,
    call: Call,
    request: f::channels::GetFullChannel,
) -> Result<tl::enums::messages::ChatFull, Refusal> {
    let me = call.user()?;
    let world = center.world();
    let channel = channel(&world, me, &request.channel)?;
    let full = tl::types::messages::ChatFull {
        full_chat: objects::full(channel),
        chats: vec![objects::chat(channel, me)],
        users: Vec::new(),
    };
    Ok(full.into())
}

/// What joining returns.
fn joined(center: &Center, me: i64, id: i64) -> tl::enums::messages::ChatInviteJoinResult {
    let updates = membership(center, me, id);
    tl::types::messages::ChatInviteJoinResultOk { updates }.into()
}

fn membership(center: &Center, me: i64, id: i64) -> tl::enums::Updates {
    let world = center.world();
    tl::types::Updates {
        updates: vec![tl::types::UpdateChannel { channel_id: id }.into()],
        users: Vec::new(),
        chats: world
            .channel(id)
            .map(|channel| objects::chat(channel, me))
            .into_iter()
            .collect(),
        date: center.now(),
        seq: 0,
    }
    .into()
}

pub(super) fn join(
    center: &Center,
    call: Call,
    request: f::channels::JoinChannel,
) -> Result<tl::enums::messages::ChatInviteJoinResult, Refusal> {
    let me = call.user()?;
    let id = channel(&center.world(), me, &request.channel)?.id;
    center.set_member(id, me, true);
    Ok(joined(center, me, id))
}

pub(super) fn leave(
    center: &Center,
    call: Call,
    request: f::channels::LeaveChannel,
) -> Result<tl::enums::Updates, Refusal> {
    let me = call.user()?;
    let id = channel(&center.world(), me, &request.channel)?.id;
    if !center.set_member(id, me, false) {
        return Err(Refusal::bad("USER_NOT_PARTICIPANT"));
    }
    Ok(membership(center, me, id))
}

pub(super) fn check_invite(
    center: &Center,
    call: Call,
    request: f::messages::CheckChatInvite,
) -> Result<tl::enums::ChatInvite, Refusal> {
    let me = call.user()?;
    let world = center.world();
    let channel = invited(&world, &request.hash)?;
    if channel.members.contains(&me) {
        let chat = objects::chat(channel, me);
        return Ok(tl::types::ChatInviteAlready { chat }.into());
    }
    let invite = tl::types::ChatInvite {
        channel: true,
        broadcast: !channel.group,
        public: channel.username.is_some(),
        megagroup: channel.group,
        request_needed: false,
        verified: false,
        scam: false,
        fake: false,
        can_refulfill_subscription: false,
        title: channel.title.clone(),
        about: None,
        photo: tl::types::PhotoEmpty { id: 0 }.into(),
        participants_count: channel.participants,
        participants: None,
        color: 0,
        subscription_pricing: None,
        subscription_form_id: None,
        bot_verification: None,
    };
    Ok(invite.into())
}

pub(super) fn import_invite(
    center: &Center,
    call: Call,
    request: f::messages::ImportChatInvite,
) -> Result<tl::enums::messages::ChatInviteJoinResult, Refusal> {
    let me = call.user()?;
    let id = invited(&center.world(), &request.hash)?.id;
    if !center.set_member(id, me, true) {
        return Err(Refusal::bad("USER_ALREADY_PARTICIPANT"));
    }
    Ok(joined(center, me, id))
}

fn invited<'a>(world: &'a World, hash: &str) -> Result<&'a Channel, Refusal> {
    if hash.is_empty()
        || !hash
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    {
        return Err(Refusal::bad("INVITE_HASH_INVALID"));
    }
    let channel = world.invited(hash).and_then(|id| world.channel(id));
    channel.ok_or_else(|| Refusal::bad("INVITE_HASH_EXPIRED"))
}

pub(super) fn read_history(
    center: &Center,
    call: Call,
    request: f::channels::ReadHistory,
) -> Result<bool, Refusal> {
    let me = call.user()?;
    channel(&center.world(), me, &request.channel).map(|_| true)
}

pub(super) fn dialogs(
    center: &Center,
    call: Call,
    request: f::messages::GetDialogs,
) -> Result<tl::enums::messages::Dialogs, Refusal> {
    let me = call.user()?;
    let world = center.world();
    let mut mine: Vec<&Channel> = world
        .channels()
        .filter(|channel| channel.members.contains(&me))
        .collect();
    // Newest first, as clients show them; ids settle draws.
    mine.sort_by_key(|channel| std::cmp::Reverse((date_of(channel), channel.id)));
    let count = mine.len() as i32;
    let offset = match &request.offset_peer {
        tl::enums::InputPeer::Channel(peer) => mine
            .iter()
            .position(|channel| channel.id == peer.channel_id)
            .map_or(0, |at| at + 1),
        _ => 0,
    };
    let limit = request.limit.clamp(1, 100) as usize;
    let page: Vec<&Channel> = mine.into_iter().skip(offset).take(limit).collect();
    let messages = tops(&world, &page, center.file_epoch());
    let dialogs: Vec<_> = page
        .iter()
        .map(|channel| objects::dialog(channel))
        .collect();
    let chats = page
        .iter()
        .map(|channel| objects::chat(channel, me))
        .collect();
    if offset == 0 && dialogs.len() as i32 == count {
        let all = tl::types::messages::Dialogs {
            dialogs,
            messages,
            chats,
            users: Vec::new(),
        };
        return Ok(all.into());
    }
    let slice = tl::types::messages::DialogsSlice {
        count,
        dialogs,
        messages,
        chats,
        users: Vec::new(),
    };
    Ok(slice.into())
}

pub(super) fn peer_dialogs(
    center: &Center,
    call: Call,
    request: f::messages::GetPeerDialogs,
) -> Result<tl::enums::messages::PeerDialogs, Refusal> {
    let me = call.user()?;
    let world = center.world();
    let mut page = Vec::new();
    for wanted in &request.peers {
        let tl::enums::InputDialogPeer::Peer(wanted) = wanted else {
            return Err(Refusal::bad("PEER_ID_INVALID"));
        };
        page.push(channel_of_peer(&world, me, &wanted.peer)?);
    }
    let answer = tl::types::messages::PeerDialogs {
        dialogs: page
            .iter()
            .map(|channel| objects::dialog(channel))
            .collect(),
        messages: tops(&world, &page, center.file_epoch()),
        chats: page
            .iter()
            .map(|channel| objects::chat(channel, me))
            .collect(),
        users: Vec::new(),
        state: super::updates::account_state(center),
    };
    Ok(answer.into())
}

fn date_of(channel: &Channel) -> i32 {
    let newest = channel.page(0, 0, 1, 0, 0).first().copied().unwrap_or(1);
    match channel.slot(newest) {
        crate::world::Slot::Post(post) => post.date,
        _ => channel.created,
    }
}

fn tops(world: &World, page: &[&Channel], epoch: u32) -> Vec<tl::enums::Message> {
    let newest = |channel: &&Channel| {
        let id = *channel.page(0, 0, 1, 0, 0).first()?;
        objects::message(world, channel, id, epoch)
    };
    page.iter().filter_map(newest).collect()
}

fn member(me: i64, user: i64, channel: &Channel) -> tl::enums::ChannelParticipant {
    if user == me {
        let own = tl::types::ChannelParticipantSelf {
            via_request: false,
            user_id: user,
            inviter_id: user,
            date: channel.created,
            subscription_until_date: None,
            rank: None,
        };
        return own.into();
    }
    let other = tl::types::ChannelParticipant {
        user_id: user,
        date: channel.created,
        subscription_until_date: None,
        rank: None,
    };
    other.into()
}

pub(super) fn participants(
    center: &Center,
    call: Call,
    request: f::channels::GetParticipants,
) -> Result<tl::enums::channels::ChannelParticipants, Refusal> {
    let me = call.user()?;
    let world = center.world();
    let channel = channel(&world, me, &request.channel)?;
    if !channel.group {
        return Err(Refusal::bad("CHAT_ADMIN_REQUIRED"));
    }
    let all: Vec<i64> = channel
        .members
        .iter()
        .copied()
        .chain(900_000..900_000 + MADE_UP)
        .collect();
    let page: Vec<i64> = all
        .iter()
        .copied()
        .skip(request.offset.max(0) as usize)
        .take(request.limit.clamp(0, 200) as usize)
        .collect();
    let answer = tl::types::channels::ChannelParticipants {
        count: all.len() as i32,
        participants: page.iter().map(|user| member(me, *user, channel)).collect(),
        chats: vec![objects::chat(channel, me)],
        users: page
            .iter()
            .map(|user| objects::user(&world.user(*user), me))
            .collect(),
    };
    Ok(answer.into())
}

pub(super) fn participant(
    center: &Center,
    call: Call,
    request: f::channels::GetParticipant,
) -> Result<tl::enums::channels::ChannelParticipant, Refusal> {
    let me = call.user()?;
    let world = center.world();
    let channel = channel(&world, me, &request.channel)?;
    let user = match request.participant {
        tl::enums::InputPeer::PeerSelf => me,
        tl::enums::InputPeer::User(user) => user.user_id,
        _ => return Err(Refusal::bad("PARTICIPANT_ID_INVALID")),
    };
    if !channel.members.contains(&user) {
        return Err(Refusal::bad("USER_NOT_PARTICIPANT"));
    }
    let answer = tl::types::channels::ChannelParticipant {
        participant: member(me, user, channel),
        chats: vec![objects::chat(channel, me)],
        users: vec![objects::user(&world.user(user), me)],
    };
    Ok(answer.into())
}
