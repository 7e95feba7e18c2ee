//! The central directory of an archive, read before anything is unpacked.

use super::Rejection;

/// Most entries; a Word document with hundreds of pictures has about a thousand.
const MAX_ENTRIES: usize = 4096;
/// Most bytes that an archive may declare to unpack to.
const MAX_UNPACKED: u64 = 256 * 1024 * 1024;
/// Bytes that an archive may unpack to before the ratio is looked at.
const FREE_UNPACKED: u64 = 1024 * 1024;
/// Unpacked bytes per packed byte beyond which an archive is a bomb.
const MAX_RATIO: u64 = 100;

const END_SIGNATURE: [u8; 4] = *b"PK\x05\x06";
const ENTRY_SIGNATURE: [u8; 4] = *b"PK\x01\x02";
const END_LENGTH: usize = 22;
const ENTRY_LENGTH: usize = 46;
const LOCAL_LENGTH: u64 = 30;

const FLAG_ENCRYPTED: u16 = 1;
const MADE_BY_UNIX: u8 = 3;
const MODE_KIND: u32 = 0o170_000;
const MODE_SYMLINK: u32 = 0o120_000;

/// One entry as the central directory declares it.
struct Entry<'a> {
    name: &'a [u8],
    flags: u16,
    method: u16,
    packed: u64,
    unpacked: u64,
    offset: u64,
    is_symlink: bool,
}

/// Refuses archives that are bombs, hide something or are no Word document.
pub(super) fn check(bytes: &[u8]) -> Result<(), Rejection> {
    let entries = directory(bytes)?;
    let mut unpacked = 0_u64;
    let mut ranges = Vec::with_capacity(entries.len());
    let mut names = Vec::with_capacity(entries.len());
    for entry in &entries {
        check_entry(entry)?;
        unpacked = unpacked.saturating_add(entry.unpacked);
        let end = entry.offset + LOCAL_LENGTH + entry.name.len() as u64 + entry.packed;
        ranges.push((entry.offset, end));
        names.push(entry.name);
    }
    if unpacked > MAX_UNPACKED {
        return Err(Rejection::ZipBomb("it unpacks to more than 256 MiB"));
    }
    if unpacked > FREE_UNPACKED && unpacked > MAX_RATIO.saturating_mul(bytes.len() as u64) {
        return Err(Rejection::ZipBomb(
            "it unpacks to more than a hundred times its size",
        ));
    }
    ranges.sort_unstable();
    if ranges.windows(2).any(|pair| pair[0].1 > pair[1].0) {
        return Err(Rejection::ZipBomb("its entries overlap"));
    }
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(Rejection::Malformed(
            "two entries of the archive have the same name",
        ));
    }
    if !entries.iter().any(|entry| is_word_document(entry.name)) {
        return Err(Rejection::Malformed("the archive holds no Word document"));
    }
    Ok(())
}

/// Whether the bytes are an archive with a Word document in it.
pub(super) fn holds_word_document(bytes: &[u8]) -> bool {
    directory(bytes).is_ok_and(|entries| entries.iter().any(|entry| is_word_document(entry.name)))
}

/// Whether the last bytes are the end of an archive.
pub(super) fn ends_as_archive(bytes: &[u8]) -> bool {
    end_of_directory(bytes).is_some()
}

/// Whether an entry is a main document part: `word/document.xml`, with some writers `document2.xml`.
pub(super) fn is_word_document(name: &[u8]) -> bool {
    name.strip_prefix(b"word/document")
        .and_then(|rest| rest.strip_suffix(b".xml"))
        .is_some_and(|number| number.iter().all(u8::is_ascii_digit))
}

fn check_entry(entry: &Entry<'_>) -> Result<(), Rejection> {
    if entry.flags & FLAG_ENCRYPTED != 0 {
        return Err(Rejection::Encrypted);
    }
    if entry.is_symlink {
        return Err(Rejection::Malformed(
            "an entry of the archive is a symbolic link",
        ));
    }
    if is_unsafe_name(entry.name) {
        return Err(Rejection::Malformed(
            "an entry of the archive has an unsafe name",
        ));
    }
    if !matches!(entry.method, 0 | 8) {
        return Err(Rejection::Malformed(
            "an entry is packed by an unknown method",
        ));
    }
    if entry.method == 0 && entry.packed != entry.unpacked {
        return Err(Rejection::Malformed(
            "an entry that is not packed declares two sizes",
        ));
    }
    if is_archive(entry.name) {
        return Err(Rejection::ZipBomb("it holds other archives"));
    }
    Ok(())
}

/// Absolute, with a drive, or climbing out of the folder.
fn is_unsafe_name(name: &[u8]) -> bool {
    name.is_empty()
        || name.contains(&0)
        || name.contains(&b':')
        || matches!(name.first(), Some(b'/' | b'\\'))
        || name
            .split(|byte| matches!(byte, b'/' | b'\\'))
            .any(|part| part == b"..")
}

/// An archive that is no embedded Office object; those are never unpacked.
fn is_archive(name: &[u8]) -> bool {
    const ENDINGS: [&[u8]; 9] = [
        b".zip", b".docx", b".jar", b".gz", b".tgz", b".7z", b".rar", b".xz", b".bz2",
    ];
    let name = name.to_ascii_lowercase();
    !name.starts_with(b"word/embeddings/") && ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Reads the central directory; what does not add up is malformed.
fn directory(bytes: &[u8]) -> Result<Vec<Entry<'_>>, Rejection> {
    let end = end_of_directory(bytes).ok_or(Rejection::Malformed("the archive has no end"))?;
    let field = |at: usize| read_u16(bytes, end + at);
    let (Some(disk), Some(first_disk), Some(here), Some(total)) =
        (field(4), field(6), field(8), field(10))
    else {
        return Err(Rejection::Malformed("the archive has no end"));
    };
    let count = usize::from(total);
    if count > MAX_ENTRIES {
        return Err(Rejection::ZipBomb("it has more than 4,096 entries"));
    }
    if disk != 0 || first_disk != 0 || here != total {
        return Err(Rejection::Malformed("the archive is split"));
    }
    let length = read_u32(bytes, end + 12).unwrap_or_default() as usize;
    let start = read_u32(bytes, end + 16).unwrap_or_default() as usize;
    if start.checked_add(length) != Some(end) {
        return Err(Rejection::Malformed(
            "the archive's directory is not where it says",
        ));
    }
    let mut entries = Vec::with_capacity(count);
    let mut at = start;
    for _ in 0..count {
        let (entry, next) = entry(bytes, at, end)
            .ok_or(Rejection::Malformed("the archive's directory is broken"))?;
        if entry.offset >= start as u64 {
            return Err(Rejection::Malformed("an entry lies outside of the archive"));
        }
        entries.push(entry);
        at = next;
    }
    if at != end {
        return Err(Rejection::Malformed(
            "the archive's directory hides entries",
        ));
    }
    Ok(entries)
}

fn entry(bytes: &[u8], at: usize, end: usize) -> Option<(Entry<'_>, usize)> {
    if bytes.get(at..at + 4)? != ENTRY_SIGNATURE {
        return None;
    }
    let lengths = [28, 30, 32].map(|field| read_u16(bytes, at + field).map(usize::from));
    let [Some(name), Some(extra), Some(comment)] = lengths else {
        return None;
    };
    let name_start = at + ENTRY_LENGTH;
    let next = name_start + name + extra + comment;
    if next > end {
        return None;
    }
    let mode = read_u32(bytes, at + 38)? >> 16;
    let entry = Entry {
        name: bytes.get(name_start..name_start + name)?,
        flags: read_u16(bytes, at + 8)?,
        method: read_u16(bytes, at + 10)?,
        packed: u64::from(read_u32(bytes, at + 20)?),
        unpacked: u64::from(read_u32(bytes, at + 24)?),
        offset: u64::from(read_u32(bytes, at + 42)?),
        is_symlink: *bytes.get(at + 5)? == MADE_BY_UNIX && mode & MODE_KIND == MODE_SYMLINK,
    };
    Some((entry, next))
}

/// Offset of the end record whose comment reaches exactly to the last byte.
fn end_of_directory(bytes: &[u8]) -> Option<usize> {
    let last = bytes.len().checked_sub(END_LENGTH)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    (first..=last).rev().find(|at| {
        bytes.get(*at..*at + 4) == Some(&END_SIGNATURE)
            && read_u16(bytes, *at + 20)
                .is_some_and(|comment| *at + END_LENGTH + usize::from(comment) == bytes.len())
    })
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u16> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|raw| u16::from_le_bytes(*raw))
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    bytes
        .get(at..)?
        .first_chunk()
        .map(|raw| u32::from_le_bytes(*raw))
}
