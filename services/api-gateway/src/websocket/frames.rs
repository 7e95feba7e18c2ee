//! Where frames begin and end in the bytes of a WebSocket (RFC 6455, 5.2).
//!
//! The gateway passes bytes, not messages. It looks at the frames for one reason: a close frame of
//! its own must stand between two frames of others.

/// Longest head of a frame: two bytes, eight of length, four of mask.
const HEAD_BYTES: usize = 14;
/// Opcode of a close frame, as the last fragment.
const CLOSE: u8 = 0x88;
/// The bits of an opcode.
const OPCODE: u8 = 0x0F;
/// Bit that says that the payload is masked, as every client's is.
const MASKED: u8 = 0x80;

/// Reads along with one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frames {
    head: [u8; HEAD_BYTES],
    /// Bytes of the head that have come.
    have: usize,
    /// Bytes of the payload to come.
    left: u64,
    /// Whether a close frame has come.
    closed: bool,
}

impl Frames {
    /// Whether a frame could begin here.
    pub const fn at_boundary(&self) -> bool {
        self.have == 0 && self.left == 0
    }

    /// Whether this side said that it goes.
    pub const fn is_closed(&self) -> bool {
        self.closed
    }

    /// The next bytes.
    pub fn feed(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            let taken = self.step(data);
            data = &data[taken..];
        }
    }

    /// How many of the next bytes belong to the frame that has begun; reads along with those.
    pub fn finish(&mut self, data: &[u8]) -> usize {
        let mut taken = 0;
        while !self.at_boundary() && taken < data.len() {
            taken += self.step(&data[taken..]);
        }
        taken
    }

    /// Takes at least one byte, and none of the frame after.
    fn step(&mut self, data: &[u8]) -> usize {
        if self.left > 0 {
            let size = self.left.min(data.len() as u64);
            self.left -= size;
            return size as usize;
        }
        self.head[self.have] = data[0];
        self.have += 1;
        if let Some(left) = self.payload() {
            self.closed |= self.head[0] & OPCODE == CLOSE & OPCODE;
            self.left = left;
            self.have = 0;
        }
        1
    }

    /// The length of the payload, once the head is whole.
    fn payload(&self) -> Option<u64> {
        let second = *self.head[..self.have].get(1)?;
        let mask = if second & MASKED == 0 { 0 } else { 4 };
        let (length, size) = match second & !MASKED {
            126 => {
                let bytes = self.head.get(2..4)?.try_into().ok()?;
                (u64::from(u16::from_be_bytes(bytes)), 2)
            }
            127 => {
                let bytes = self.head.get(2..10)?.try_into().ok()?;
                (u64::from_be_bytes(bytes), 8)
            }
            short => (u64::from(short), 0),
        };
        (self.have == 2 + size + mask).then_some(length)
    }
}

/// A close frame. `mask` is of the client's side only; it protects caches on the way, and this
/// frame holds nothing that anybody chose.
pub(crate) fn close(code: u16, reason: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let reason = &reason.as_bytes()[..reason.len().min(123)];
    let payload: Vec<u8> = code
        .to_be_bytes()
        .into_iter()
        .chain(reason.iter().copied())
        .collect();
    let length = payload.len() as u8;
    let mut frame = vec![CLOSE];
    match mask {
        None => {
            frame.push(length);
            frame.extend(payload);
        }
        Some(mask) => {
            frame.push(MASKED | length);
            frame.extend(mask);
            frame.extend(
                payload
                    .iter()
                    .zip(mask.iter().cycle())
                    .map(|(byte, mask)| byte ^ mask),
            );
        }
    }
    frame
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(size: usize, masked: bool) -> Vec<u8> {
        let bit = if masked { MASKED } else { 0 };
        let mut frame = vec![0x82];
        match size {
            0..=125 => frame.push(bit | size as u8),
            126..=0xFFFF => {
                frame.push(bit | 0x7E);
                frame.extend((size as u16).to_be_bytes());
            }
            _ => {
                frame.push(bit | 0x7F);
                frame.extend((size as u64).to_be_bytes());
            }
        }
        if masked {
            frame.extend([1, 2, 3, 4]);
        }
        frame.extend(vec![b'x'; size]);
        frame
    }

    proptest! {
        #[test]
        fn boundaries_are_found_however_the_bytes_are_cut(
            sizes in prop::collection::vec(prop_oneof![Just(0_usize), 0..300_usize, Just(70_000)], 1..5),
            masked: bool,
            cuts in prop::collection::vec(1..5000_usize, 1..20),
        ) {
            let whole: Vec<Vec<u8>> = sizes.iter().map(|size| frame(*size, masked)).collect();
            let ends: Vec<usize> = whole
                .iter()
                .scan(0, |at, frame| { *at += frame.len(); Some(*at) })
                .collect();
            let bytes = whole.concat();
            let (mut frames, mut at) = (Frames::default(), 0);
            for cut in cuts.iter().cycle() {
                let next = (at + cut).min(bytes.len());
                frames.feed(&bytes[at..next]);
                at = next;
                prop_assert_eq!(frames.at_boundary(), ends.contains(&at), "at {}", at);
                if at == bytes.len() {
                    break;
                }
            }
            // From anywhere, the rest of the frame is found.
            let start = cuts[0].min(bytes.len());
            let mut frames = Frames::default();
            frames.feed(&bytes[..start]);
            let rest = frames.finish(&bytes[start..]);
            prop_assert!(frames.at_boundary() && ends.contains(&(start + rest)));
        }
    }

    #[test]
    fn a_close_frame_is_one_frame() {
        let plain = close(1001, "bye", None);
        assert_eq!(plain, [0x88, 5, 0x03, 0xE9, b'b', b'y', b'e']);
        let masked = close(1001, "bye", Some([1, 2, 3, 4]));
        assert_eq!(masked[..6], [0x88, 0x85, 1, 2, 3, 4]);
        for bytes in [plain, masked] {
            let mut frames = Frames::default();
            frames.feed(&frame(300, true));
            assert!(!frames.is_closed());
            frames.feed(&bytes);
            assert!(frames.at_boundary() && frames.is_closed());
        }
    }
}
