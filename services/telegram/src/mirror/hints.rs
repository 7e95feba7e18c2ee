use grammers_client::tl;

/// The channels that updates are about; `None` when they may be about any.
pub(super) fn channels(updates: &tl::enums::Updates) -> Option<Vec<i64>> {
    use tl::enums::Updates;
    let updates = match updates {
        Updates::TooLong => return None,
        Updates::Updates(updates) => &updates.updates,
        Updates::Combined(updates) => &updates.updates,
        Updates::UpdateShort(short) => return Some(of(&short.update).into_iter().collect()),
        // Private chats and small groups.
        _ => return Some(Vec::new()),
    };
    Some(updates.iter().filter_map(of).collect())
}

fn of(update: &tl::enums::Update) -> Option<i64> {
    use tl::enums::Update;
    match update {
        Update::NewChannelMessage(update) => peer(&update.message),
        Update::EditChannelMessage(update) => peer(&update.message),
        Update::DeleteChannelMessages(update) => Some(update.channel_id),
        Update::ChannelTooLong(update) => Some(update.channel_id),
        Update::Channel(update) => Some(update.channel_id),
        _ => None,
    }
}

fn peer(message: &tl::enums::Message) -> Option<i64> {
    let peer = match message {
        tl::enums::Message::Message(message) => Some(&message.peer_id),
        tl::enums::Message::Service(message) => Some(&message.peer_id),
        tl::enums::Message::Empty(message) => message.peer_id.as_ref(),
    };
    match peer? {
        tl::enums::Peer::Channel(channel) => Some(channel.channel_id),
        _ => None,
    }
}
