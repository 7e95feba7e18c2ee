//! The world's things as Telegram's objects.
//!
//! The larger types are built from their shortest serialisation and then filled in, so that new
//! optional fields of a later layer need no change here.

use grammers_tl_types::{self as tl, Deserializable, Serializable};

use crate::world::{Channel, Media, Post, Slot, User, World};

/// Number of the home data centre.
pub(crate) const DC: i32 = 2;

/// What a client must send along to read a file.
pub(crate) fn file_reference(media: i64, epoch: u32) -> Vec<u8> {
    let mut bytes = media.to_le_bytes().to_vec();
    bytes.extend(epoch.to_le_bytes());
    bytes
}

/// An object whose optional fields are all absent.
///
/// `parts` are the serialised required fields in the order of the schema.
fn minimal<T: Deserializable>(parts: &[Vec<u8>]) -> T {
    match T::from_bytes(&parts.concat()) {
        Ok(object) => object,
        // The parts are fixed in this file and every one of them is built by the tests.
        Err(error) => {
            unreachable!("the shortest form of an object does not match its schema: {error}")
        }
    }
}

fn zero() -> Vec<u8> {
    0_i32.to_bytes()
}

/// The peer of a channel.
pub(crate) fn peer(channel: i64) -> tl::enums::Peer {
    tl::types::PeerChannel {
        channel_id: channel,
    }
    .into()
}

pub(crate) fn user(user: &User, me: i64) -> tl::enums::User {
    let mut object: tl::types::User = minimal(&[zero(), zero(), user.id.to_bytes()]);
    object.is_self = user.id == me;
    object.access_hash = Some(user.access_hash);
    object.first_name = Some(user.first_name.clone());
    object.last_name = Some(user.last_name.clone());
    object.username.clone_from(&user.username);
    if object.is_self {
        object.phone = Some(user.phone.clone());
    }
    object.into()
}

pub(crate) fn chat(channel: &Channel, me: i64) -> tl::enums::Chat {
    let mut object: tl::types::Channel = minimal(&[
        zero(),
        zero(),
        channel.id.to_bytes(),
        channel.title.to_bytes(),
        tl::enums::ChatPhoto::Empty.to_bytes(),
        channel.created.to_bytes(),
    ]);
    object.access_hash = Some(channel.access_hash);
    object.username.clone_from(&channel.username);
    object.broadcast = !channel.group;
    object.megagroup = channel.group;
    object.left = !channel.members.contains(&me);
    object.participants_count = Some(channel.participants + channel.members.len() as i32);
    object.into()
}

/// What is told of a private channel to those who are not in it.
pub(crate) fn forbidden(channel: &Channel) -> tl::enums::Chat {
    tl::types::ChannelForbidden {
        broadcast: !channel.group,
        megagroup: channel.group,
        monoforum: false,
        id: channel.id,
        access_hash: channel.access_hash,
        title: channel.title.clone(),
        until_date: None,
    }
    .into()
}

/// The message under a number; `None` for holes.
pub(crate) fn message(
    world: &World,
    channel: &Channel,
    id: i32,
    epoch: u32,
) -> Option<tl::enums::Message> {
    match channel.slot(id) {
        Slot::Hole => None,
        Slot::Service => Some(created(channel, id)),
        Slot::Post(post) => Some(posted(world, channel, post, epoch)),
    }
}

/// What stands where nothing is, when a number was asked for.
pub(crate) fn nothing(id: i32) -> tl::enums::Message {
    tl::types::MessageEmpty { id, peer_id: None }.into()
}

fn created(channel: &Channel, id: i32) -> tl::enums::Message {
    let action = tl::types::MessageActionChannelCreate {
        title: channel.title.clone(),
    };
    let mut object: tl::types::MessageService = minimal(&[
        zero(),
        id.to_bytes(),
        peer(channel.id).to_bytes(),
        channel.created.to_bytes(),
        tl::enums::MessageAction::from(action).to_bytes(),
    ]);
    object.post = !channel.group;
    object.into()
}

fn posted(world: &World, channel: &Channel, post: Post, epoch: u32) -> tl::enums::Message {
    let mut object: tl::types::Message = minimal(&[
        zero(),
        zero(),
        post.id.to_bytes(),
        peer(channel.id).to_bytes(),
        post.date.to_bytes(),
        String::new().to_bytes(),
    ]);
    object.message = post.text;
    object.post = !channel.group;
    object.from_id = post
        .author
        .map(|user_id| tl::types::PeerUser { user_id }.into());
    // Older posts are found less often.
    let growth = world.ticks().saturating_mul(1 + post.views / 1_000);
    object.views = Some(post.views.saturating_add(growth));
    object.forwards = Some(post.forwards);
    object.edit_date = post.edit_date;
    object.grouped_id = post.grouped_id;
    object.reply_to = post.reply_to.map(reply);
    object.media = post.media.map(|media| {
        let dc = world.data_centre_of(media.id());
        attached(&media, dc, post.date, epoch)
    });
    object.into()
}

fn reply(id: i32) -> tl::enums::MessageReplyHeader {
    let mut header: tl::types::MessageReplyHeader = minimal(&[zero()]);
    header.reply_to_msg_id = Some(id);
    header.into()
}

fn attached(media: &Media, dc: i32, date: i32, epoch: u32) -> tl::enums::MessageMedia {
    match media {
        Media::Photo { id, size } => {
            let photo = tl::types::Photo {
                has_stickers: false,
                id: *id,
                access_hash: !*id,
                file_reference: file_reference(*id, epoch),
                date,
                sizes: vec![
                    tl::types::PhotoSize {
                        r#type: "y".into(),
                        w: 1_280,
                        h: 720,
                        size: *size,
                    }
                    .into(),
                ],
                video_sizes: None,
                dc_id: dc,
            };
            let mut object: tl::types::MessageMediaPhoto = minimal(&[zero()]);
            object.photo = Some(photo.into());
            object.into()
        }
        Media::Document {
            id,
            size,
            name,
            mime,
        } => {
            let file_name = name.clone();
            let document = tl::types::Document {
                id: *id,
                access_hash: !*id,
                file_reference: file_reference(*id, epoch),
                date,
                mime_type: mime.clone(),
                size: i64::from(*size),
                thumbs: None,
                video_thumbs: None,
                dc_id: dc,
                attributes: vec![tl::types::DocumentAttributeFilename { file_name }.into()],
            };
            let mut object: tl::types::MessageMediaDocument = minimal(&[zero()]);
            object.document = Some(document.into());
            object.into()
        }
    }
}

fn notifications() -> tl::types::PeerNotifySettings {
    minimal(&[zero()])
}

/// A channel in the list of dialogs.
pub(crate) fn dialog(channel: &Channel) -> tl::enums::Dialog {
    tl::types::Dialog {
        pinned: false,
        unread_mark: false,
        view_forum_as_messages: false,
        peer: peer(channel.id),
        top_message: channel
            .page(0, 0, 1, 0, 0)
            .first()
            .copied()
            .unwrap_or_default(),
        read_inbox_max_id: channel.last_id(),
        read_outbox_max_id: 0,
        unread_count: 0,
        unread_mentions_count: 0,
        unread_reactions_count: 0,
        unread_poll_votes_count: 0,
        notify_settings: notifications().into(),
        pts: Some(channel.pts()),
        draft: None,
        folder_id: None,
        ttl_period: None,
    }
    .into()
}

/// All that is told of a channel.
pub(crate) fn full(channel: &Channel) -> tl::enums::ChatFull {
    let about = format!("Synthetic posts of {}.", channel.title);
    let none = tl::enums::Photo::Empty(tl::types::PhotoEmpty { id: 0 });
    let mut object: tl::types::ChannelFull = minimal(&[
        zero(),
        zero(),
        channel.id.to_bytes(),
        about.to_bytes(),
        channel.last_id().to_bytes(),
        zero(),
        zero(),
        none.to_bytes(),
        tl::enums::PeerNotifySettings::from(notifications()).to_bytes(),
        Vec::<tl::enums::BotInfo>::new().to_bytes(),
        channel.pts().to_bytes(),
    ]);
    object.participants_count = Some(channel.participants + channel.members.len() as i32);
    object.into()
}

/// All that is told of a user.
pub(crate) fn full_user(user: &User) -> tl::enums::UserFull {
    let settings: tl::types::PeerSettings = minimal(&[zero()]);
    let object: tl::types::UserFull = minimal(&[
        zero(),
        zero(),
        user.id.to_bytes(),
        tl::enums::PeerSettings::from(settings).to_bytes(),
        tl::enums::PeerNotifySettings::from(notifications()).to_bytes(),
        zero(),
    ]);
    object.into()
}

/// The configuration that clients fetch when they connect to data centre `this`.
pub(crate) fn config(
    this: i32,
    places: &[(i32, std::net::SocketAddr)],
    now: i32,
) -> tl::enums::Config {
    let option = |(dc, address): &(i32, std::net::SocketAddr)| {
        let mut option: tl::types::DcOption = minimal(&[
            zero(),
            dc.to_bytes(),
            address.ip().to_string().to_bytes(),
            i32::from(address.port()).to_bytes(),
        ]);
        option.r#static = true;
        option.ipv6 = address.is_ipv6();
        option.into()
    };
    let options: Vec<tl::enums::DcOption> = places.iter().map(option).collect();
    let numbers = |values: &[i32]| values.iter().flat_map(Serializable::to_bytes).collect();
    let object: tl::types::Config = minimal(&[
        zero(),
        now.to_bytes(),
        (now + 3_600).to_bytes(),
        false.to_bytes(),
        this.to_bytes(),
        options.to_bytes(),
        String::new().to_bytes(),
        // Sizes, periods and limits that no client of ours heeds, as Telegram gives them.
        numbers(&[
            200,
            200_000,
            100,
            210_000,
            5_000,
            30_000,
            300_000,
            30_000,
            1_500,
            60_000,
            2,
            172_800,
            2_147_483_647,
            2_147_483_647,
            2_419_200,
            200,
            604_800,
            20_000,
            90_000,
            30_000,
            10_000,
        ]),
        "https://t.me/".to_owned().to_bytes(),
        numbers(&[1_024, 4_096, 4]),
    ]);
    object.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Scenario;

    #[test]
    fn every_object_of_the_world_survives_the_wire() {
        let world = World::new(&Scenario::default());
        for channel in world.channels() {
            let chat = chat(channel, 1);
            assert_eq!(tl::enums::Chat::from_bytes(&chat.to_bytes()), Ok(chat));
            let full = full(channel);
            assert_eq!(tl::enums::ChatFull::from_bytes(&full.to_bytes()), Ok(full));
            let dialog = dialog(channel);
            assert_eq!(
                tl::enums::Dialog::from_bytes(&dialog.to_bytes()),
                Ok(dialog)
            );
            for id in channel.page(0, 0, 100, 0, 0) {
                let message = message(&world, channel, id, 0).unwrap();
                assert_eq!(message.id(), id);
                assert_eq!(
                    tl::enums::Message::from_bytes(&message.to_bytes()),
                    Ok(message)
                );
            }
        }
        let me = &world.users[0];
        let object = user(me, me.id);
        assert_eq!(tl::enums::User::from_bytes(&object.to_bytes()), Ok(object));
        full_user(me);
        let config = config(DC, &[(DC, "127.0.0.1:4000".parse().unwrap())], 1);
        assert_eq!(
            tl::enums::Config::from_bytes(&config.to_bytes()),
            Ok(config)
        );
    }
}
