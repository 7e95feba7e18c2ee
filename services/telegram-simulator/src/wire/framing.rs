//! The transports of MTProto, the server's side of each.
//!
//! # Source
//! <https://core.telegram.org/mtproto/mtproto-transports>

use rand::{Rng, RngExt};

/// Longest packet that is read, in bytes.
const LONGEST: usize = 1 << 24;

/// A packet that cannot be read ends the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FramingError {
    /// The announced length is impossible.
    #[error("a packet of {0} bytes")]
    Length(usize),
    /// Full: packets are numbered from zero, without holes.
    #[error("packet {got} came where {expected} was due")]
    Sequence { expected: u32, got: u32 },
    /// Full: the checksum does not match.
    #[error("a packet with a wrong checksum")]
    Checksum,
}

/// A transport, told by the first bytes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// Length, number, payload, CRC-32.
    Full { received: u32, sent: u32 },
    /// Length in words, one byte or four.
    Abridged,
    /// Length in bytes, four of them.
    Intermediate,
    /// As intermediate, with up to 15 bytes of padding.
    Padded,
}

/// What the first bytes of a connection say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opening {
    /// A plain transport; so many bytes were its announcement.
    Plain(Framing, usize),
    /// 64 bytes of obfuscation come first.
    Obfuscated,
    /// Too few bytes to tell.
    Unknown,
}

/// The transport that a four-byte tag of the obfuscation names.
pub(crate) fn tagged(tag: [u8; 4]) -> Option<Framing> {
    match tag {
        [0xef, 0xef, 0xef, 0xef] => Some(Framing::Abridged),
        [0xee, 0xee, 0xee, 0xee] => Some(Framing::Intermediate),
        [0xdd, 0xdd, 0xdd, 0xdd] => Some(Framing::Padded),
        _ => None,
    }
}

/// Tells the transport of a connection from its first bytes.
pub(crate) fn opening(bytes: &[u8]) -> Opening {
    match bytes {
        [0xef, ..] => return Opening::Plain(Framing::Abridged, 1),
        [_, _, _, _, ..] => {}
        _ => return Opening::Unknown,
    }
    let first = [bytes[0], bytes[1], bytes[2], bytes[3]];
    match first {
        [0xee, 0xee, 0xee, 0xee] => return Opening::Plain(Framing::Intermediate, 4),
        [0xdd, 0xdd, 0xdd, 0xdd] => return Opening::Plain(Framing::Padded, 4),
        _ => {}
    }
    if bytes.len() < 8 {
        return Opening::Unknown;
    }
    // Full starts with a length and packet number zero; obfuscation promises not to.
    if bytes[4..8] == [0; 4] {
        let framing = Framing::Full {
            received: 0,
            sent: 0,
        };
        return Opening::Plain(framing, 0);
    }
    Opening::Obfuscated
}

impl Framing {
    /// Takes the first whole packet off `bytes`: its payload and how many bytes it took.
    pub(crate) fn unpack(
        &mut self,
        bytes: &[u8],
    ) -> Result<Option<(std::ops::Range<usize>, usize)>, FramingError> {
        match self {
            Self::Full { received, .. } => {
                let Some(length) = word(bytes, 0) else {
                    return Ok(None);
                };
                let length = length as usize;
                if !(12..=LONGEST).contains(&length) {
                    return Err(FramingError::Length(length));
                }
                if bytes.len() < length {
                    return Ok(None);
                }
                let got = word(bytes, 4).unwrap_or_default();
                if got != *received {
                    let expected = *received;
                    return Err(FramingError::Sequence { expected, got });
                }
                let body = length - 4;
                if word(bytes, body) != Some(crc32fast::hash(&bytes[..body])) {
                    return Err(FramingError::Checksum);
                }
                *received += 1;
                Ok(Some((8..body, length)))
            }
            Self::Abridged => {
                let (start, length) = match bytes {
                    // The highest bit asks for a quick acknowledgement, which nobody needs here.
                    [first, ..] if first & 0x7f < 0x7f => (1, usize::from(first & 0x7f) * 4),
                    [_, a, b, c, ..] => {
                        let words = u32::from_le_bytes([*a, *b, *c, 0]) as usize;
                        (4, words * 4)
                    }
                    _ => return Ok(None),
                };
                within(bytes, start, length)
            }
            Self::Intermediate | Self::Padded => {
                let Some(length) = word(bytes, 0) else {
                    return Ok(None);
                };
                within(bytes, 4, (length & 0x7fff_ffff) as usize)
            }
        }
    }

    /// Appends `payload` as a packet.
    pub(crate) fn pack(&mut self, payload: &[u8], out: &mut Vec<u8>, rng: &mut impl Rng) {
        match self {
            Self::Full { sent, .. } => {
                let start = out.len();
                out.extend((payload.len() as u32 + 12).to_le_bytes());
                out.extend(sent.to_le_bytes());
                out.extend(payload);
                let checksum = crc32fast::hash(&out[start..]);
                out.extend(checksum.to_le_bytes());
                *sent += 1;
            }
            Self::Abridged => {
                let words = payload.len() / 4;
                if words < 0x7f {
                    out.push(words as u8);
                } else {
                    out.push(0x7f);
                    out.extend(&(words as u32).to_le_bytes()[..3]);
                }
                out.extend(payload);
            }
            Self::Intermediate => {
                out.extend((payload.len() as u32).to_le_bytes());
                out.extend(payload);
            }
            Self::Padded => {
                // A status of four bytes must stay recognisable: it gets no padding.
                let extra = if payload.len() == 4 {
                    0
                } else {
                    // Up to 15 are allowed; clients exist that take off no more than 3.
                    rng.random_range(0..4_usize)
                };
                out.extend(((payload.len() + extra) as u32).to_le_bytes());
                out.extend(payload);
                out.extend((0..extra).map(|_| rng.random::<u8>()));
            }
        }
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

fn within(
    bytes: &[u8],
    start: usize,
    length: usize,
) -> Result<Option<(std::ops::Range<usize>, usize)>, FramingError> {
    if !(4..=LONGEST).contains(&length) {
        return Err(FramingError::Length(length));
    }
    let end = start + length;
    Ok((bytes.len() >= end).then_some((start..end, end)))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const FULL: Framing = Framing::Full {
        received: 0,
        sent: 0,
    };

    #[test]
    fn every_transport_reads_what_it_wrote() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for framing in [
            FULL,
            Framing::Abridged,
            Framing::Intermediate,
            Framing::Padded,
        ] {
            let (mut writer, mut reader) = (framing, framing);
            let mut wire = Vec::new();
            let packets: Vec<Vec<u8>> = [16, 504, 508, 512, 40_000]
                .iter()
                .map(|size| (0..*size).map(|_| rng.random()).collect())
                .collect();
            for packet in &packets {
                writer.pack(packet, &mut wire, &mut rng);
            }
            let mut rest = &wire[..];
            for packet in &packets {
                let (range, used) = reader.unpack(rest).unwrap().unwrap();
                let read = &rest[range];
                assert!(read.starts_with(packet), "{framing:?}");
                assert!(read.len() - packet.len() < 16);
                if framing != Framing::Padded {
                    assert_eq!(read.len(), packet.len());
                }
                rest = &rest[used..];
            }
            assert!(rest.is_empty());
        }
    }

    #[test]
    fn part_of_a_packet_waits_for_the_rest() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        for framing in [FULL, Framing::Abridged, Framing::Intermediate] {
            let mut wire = Vec::new();
            framing.clone().pack(&[1; 600], &mut wire, &mut rng);
            for end in 0..wire.len() {
                assert_eq!(framing.clone().unpack(&wire[..end]), Ok(None), "{end}");
            }
        }
    }

    #[test]
    fn full_refuses_wrong_numbers_and_checksums() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut wire = Vec::new();
        FULL.clone().pack(&[1; 16], &mut wire, &mut rng);
        let mut broken = wire.clone();
        broken[10] ^= 1;
        assert_eq!(FULL.clone().unpack(&broken), Err(FramingError::Checksum));
        let mut later = Framing::Full {
            received: 1,
            sent: 0,
        };
        let expected = FramingError::Sequence {
            expected: 1,
            got: 0,
        };
        assert_eq!(later.unpack(&wire), Err(expected));
        assert_eq!(
            Framing::Intermediate.unpack(&[0xff; 8]),
            Err(FramingError::Length(0x7fff_ffff))
        );
    }

    #[test]
    fn the_first_bytes_tell_the_transport() {
        assert_eq!(opening(&[0xef]), Opening::Plain(Framing::Abridged, 1));
        assert_eq!(
            opening(&[0xee; 4]),
            Opening::Plain(Framing::Intermediate, 4)
        );
        assert_eq!(opening(&[0xdd; 4]), Opening::Plain(Framing::Padded, 4));
        assert_eq!(opening(&[40, 0, 0, 0, 0, 0, 0, 0]), Opening::Plain(FULL, 0));
        assert_eq!(opening(&[40, 0, 0, 0, 0, 0]), Opening::Unknown);
        assert_eq!(opening(&[1, 2, 3, 4, 5, 6, 7, 8]), Opening::Obfuscated);
    }
}
