//! Media of posts, piece by piece.

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::try_unfold;
use grammers_client::tl;
use tokio::time::Instant;

use crate::Error;
use crate::account::CallError;
use crate::chat::Chat;
use crate::service::Telegram;

/// Bytes per piece; what Telegram allows at most.
const PIECE: i32 = 1 << 20;

/// Times that an expired reference is fetched anew during one download.
const REFRESHES: u32 = 3;

/// Times that a data centre may send us to another one during one download.
const MOVES: u32 = 3;

/// Media of a post.
#[derive(Debug, Clone)]
pub(crate) struct Media {
    location: tl::enums::InputFileLocation,
    /// The data centre that has it.
    dc: i32,
    /// Bytes.
    pub size: u64,
    /// Name to save it under.
    pub name: String,
}

/// A download between two pieces.
struct Download {
    telegram: Telegram,
    chat: Chat,
    message: i32,
    media: Media,
    offset: i64,
    refreshes: u32,
    moves: u32,
    ended: bool,
    deadline: Instant,
}

impl Telegram {
    /// Finds the media of a post.
    pub(crate) async fn media(
        &self,
        chat: &Chat,
        message: i32,
        deadline: Instant,
    ) -> Result<Media, Error> {
        let request = tl::functions::channels::GetMessages {
            channel: chat.channel(),
            id: vec![tl::types::InputMessageId { id: message }.into()],
        };
        let found = self
            .account()
            .read("channels.getMessages", &request, deadline)
            .await?;
        let messages = match found {
            tl::enums::messages::Messages::ChannelMessages(found) => found.messages,
            tl::enums::messages::Messages::Messages(found) => found.messages,
            tl::enums::messages::Messages::Slice(found) => found.messages,
            tl::enums::messages::Messages::NotModified(_) => Vec::new(),
        };
        match messages.into_iter().next() {
            Some(tl::enums::Message::Message(post)) => post
                .media
                .and_then(|media| read(media, message))
                .ok_or(Error::UnknownMedia),
            _ => Err(Error::UnknownMedia),
        }
    }

    /// Downloads media; references that expire on the way are fetched anew.
    pub(crate) fn download(
        &self,
        chat: Chat,
        message: i32,
        media: Media,
        deadline: Instant,
    ) -> impl Stream<Item = Result<Bytes, Error>> + Send + use<> {
        let start = Download {
            telegram: self.clone(),
            chat,
            message,
            media,
            offset: 0,
            refreshes: 0,
            moves: 0,
            ended: false,
            deadline,
        };
        try_unfold(start, next)
    }
}

async fn next(mut download: Download) -> Result<Option<(Bytes, Download)>, Error> {
    while !download.ended {
        let request = tl::functions::upload::GetFile {
            precise: false,
            cdn_supported: false,
            location: download.media.location.clone(),
            offset: download.offset,
            limit: PIECE,
        };
        let deadline = download.deadline;
        let answer = download
            .telegram
            .account()
            .read_at(download.media.dc, "upload.getFile", &request, deadline)
            .await;
        match answer {
            Ok(tl::enums::upload::File::File(file)) => {
                download.ended = file.bytes.len() < PIECE as usize;
                download.offset += i64::from(PIECE);
                if !file.bytes.is_empty() {
                    return Ok(Some((file.bytes.into(), download)));
                }
            }
            // We said that we do not want this.
            Ok(tl::enums::upload::File::CdnRedirect(_)) => {
                return Err(Error::Call(CallError::Unreadable));
            }
            Err(error)
                if error
                    .refusal()
                    .is_some_and(|name| name.starts_with("FILE_REFERENCE"))
                    && download.refreshes < REFRESHES =>
            {
                download.refreshes += 1;
                let telegram = download.telegram.clone();
                download.media = telegram
                    .media(&download.chat, download.message, deadline)
                    .await?;
            }
            Err(CallError::Moved(dc)) if download.moves < MOVES => {
                download.moves += 1;
                download.media.dc = dc;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

fn read(media: tl::enums::MessageMedia, message: i32) -> Option<Media> {
    match media {
        tl::enums::MessageMedia::Photo(media) => match media.photo? {
            tl::enums::Photo::Photo(photo) => largest(&photo, message),
            tl::enums::Photo::Empty(_) => None,
        },
        tl::enums::MessageMedia::Document(media) => match media.document? {
            tl::enums::Document::Document(document) => {
                let named = document
                    .attributes
                    .iter()
                    .find_map(|attribute| match attribute {
                        tl::enums::DocumentAttribute::Filename(name) => {
                            Some(name.file_name.clone())
                        }
                        _ => None,
                    });
                Some(Media {
                    location: tl::types::InputDocumentFileLocation {
                        id: document.id,
                        access_hash: document.access_hash,
                        file_reference: document.file_reference,
                        thumb_size: String::new(),
                    }
                    .into(),
                    dc: document.dc_id,
                    size: u64::try_from(document.size).unwrap_or_default(),
                    name: named.unwrap_or_else(|| format!("document-{message}")),
                })
            }
            tl::enums::Document::Empty(_) => None,
        },
        _ => None,
    }
}

/// The largest size of a photograph.
fn largest(photo: &tl::types::Photo, message: i32) -> Option<Media> {
    let sizes = photo.sizes.iter().filter_map(|size| match size {
        tl::enums::PhotoSize::Size(size) => Some((size.size, size.r#type.clone())),
        tl::enums::PhotoSize::Progressive(size) => {
            Some((size.sizes.iter().copied().max()?, size.r#type.clone()))
        }
        _ => None,
    });
    let (size, kind) = sizes.max()?;
    Some(Media {
        location: tl::types::InputPhotoFileLocation {
            id: photo.id,
            access_hash: photo.access_hash,
            file_reference: photo.file_reference.clone(),
            thumb_size: kind,
        }
        .into(),
        dc: photo.dc_id,
        size: u64::try_from(size).unwrap_or_default(),
        name: format!("photo-{message}.jpg"),
    })
}
