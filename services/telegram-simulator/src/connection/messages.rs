//! How messages are laid out inside of packets.

use grammers_tl_types::{Cursor, Deserializable};

use super::End;

/// What precedes an encrypted message.
pub(super) struct Header {
    pub salt: i64,
    pub session: i64,
    pub message: i64,
    pub sequence: i32,
    pub length: usize,
}

impl Header {
    pub(super) fn read(plain: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::from_slice(plain);
        let header = Self {
            salt: i64::deserialize(&mut cursor).ok()?,
            session: i64::deserialize(&mut cursor).ok()?,
            message: i64::deserialize(&mut cursor).ok()?,
            sequence: i32::deserialize(&mut cursor).ok()?,
            length: usize::try_from(i32::deserialize(&mut cursor).ok()?).ok()?,
        };
        (plain.len() >= 32 + header.length).then_some(header)
    }
}

/// What a body is.
pub(super) fn constructor(body: &[u8]) -> Option<u32> {
    body.first_chunk::<4>().map(|id| u32::from_le_bytes(*id))
}

/// Reads a body.
pub(super) fn read<T: Deserializable>(bytes: &[u8]) -> Result<T, End> {
    T::from_bytes(bytes).map_err(|_| End::Closed)
}

/// The messages of a container.
pub(super) fn contained(rest: &[u8]) -> Option<Vec<(i64, &[u8])>> {
    let mut cursor = Cursor::from_slice(rest);
    let count = i32::deserialize(&mut cursor).ok()?;
    let mut messages = Vec::new();
    let mut at = cursor.pos();
    for _ in 0..count {
        let id = i64::from_le_bytes(*rest.get(at..)?.first_chunk::<8>()?);
        let length = u32::from_le_bytes(*rest.get(at + 12..)?.first_chunk::<4>()?) as usize;
        messages.push((id, rest.get(at + 16..at + 16 + length)?));
        at += 16 + length;
    }
    Some(messages)
}
