//! Downloading media.

use grammers_tl_types as tl;
use tl::functions as f;

use super::{Call, Refusal};
use crate::center::Center;
use crate::objects;
use crate::world::{Media, Slot, World};

/// Largest piece of a file, and what offsets must be multiples of.
const LARGEST: i32 = 1 << 20;
const GRAIN: i32 = 1 << 10;

pub(super) fn get(
    center: &Center,
    call: Call,
    request: f::upload::GetFile,
) -> Result<tl::enums::upload::File, Refusal> {
    call.user()?;
    let (id, hash, reference) = match &request.location {
        tl::enums::InputFileLocation::InputPhotoFileLocation(at) => {
            (at.id, at.access_hash, &at.file_reference)
        }
        tl::enums::InputFileLocation::InputDocumentFileLocation(at) => {
            (at.id, at.access_hash, &at.file_reference)
        }
        _ => return Err(Refusal::bad("LOCATION_INVALID")),
    };
    if hash != !id {
        return Err(Refusal::bad("FILE_ID_INVALID"));
    }
    let home = center.world().data_centre_of(id);
    if home != call.dc {
        return Err(Refusal::new(303, format!("FILE_MIGRATE_{home}")));
    }
    if *reference != objects::file_reference(id, center.file_epoch()) {
        return Err(Refusal::bad("FILE_REFERENCE_EXPIRED"));
    }
    let limit = request.limit;
    if !(1..=LARGEST).contains(&limit) || limit % GRAIN != 0 {
        return Err(Refusal::bad("LIMIT_INVALID"));
    }
    let offset = usize::try_from(request.offset).map_err(|_| Refusal::bad("OFFSET_INVALID"))?;
    let media = find(&center.world(), id).ok_or_else(|| Refusal::bad("FILE_ID_INVALID"))?;
    let kind = match media {
        Media::Photo { .. } => tl::enums::storage::FileType::FileJpeg,
        Media::Document { .. } => tl::enums::storage::FileType::FilePartial,
    };
    let file = tl::types::upload::File {
        r#type: kind,
        mtime: 0,
        bytes: media.bytes(offset, limit as usize),
    };
    Ok(file.into())
}

/// A media's id names its channel and its post.
fn find(world: &World, id: i64) -> Option<Media> {
    let channel = world.channel(id >> 24)?;
    let number = i32::try_from(id & 0xff_ffff).ok()?;
    match channel.slot(number) {
        Slot::Post(post) => post.media.filter(|media| media.id() == id),
        _ => None,
    }
}
