//! The obfuscation that lets a connection look like noise, with and without a proxy's secret.
//!
//! # Source
//! <https://core.telegram.org/mtproto/mtproto-transports#transport-obfuscation>

use aes::Aes256;
use aes::cipher::{KeyIvInit, StreamCipher};
use ctr::Ctr128BE;
use sha2::{Digest, Sha256};

use super::framing::{self, Framing};

/// Length of the block that opens an obfuscated connection.
pub(crate) const OPENING: usize = 64;

/// The two key streams of a connection.
pub(crate) struct Obfuscation {
    incoming: Ctr128BE<Aes256>,
    outgoing: Ctr128BE<Aes256>,
}

/// What the opening block said.
pub(crate) struct Opened {
    pub obfuscation: Obfuscation,
    pub framing: Framing,
    /// The data centre that the client asked a proxy for.
    pub dc: i16,
}

impl Obfuscation {
    /// Reads the opening block; `secret` is that of an MTProto proxy.
    ///
    /// `None` when the block names no transport: a wrong secret, or no MTProto at all.
    pub(crate) fn open(block: &[u8; OPENING], secret: Option<&[u8; 16]>) -> Option<Opened> {
        let mut reversed = *block;
        reversed.reverse();
        let mut incoming = stream(block, secret)?;
        let outgoing = stream(&reversed, secret)?;
        let mut clear = *block;
        incoming.apply_keystream(&mut clear);
        let framing = framing::tagged([clear[56], clear[57], clear[58], clear[59]])?;
        Some(Opened {
            obfuscation: Self { incoming, outgoing },
            framing,
            dc: i16::from_le_bytes([clear[60], clear[61]]),
        })
    }

    /// Clears bytes of the client.
    pub(crate) fn clear(&mut self, bytes: &mut [u8]) {
        self.incoming.apply_keystream(bytes);
    }

    /// Hides bytes for the client.
    pub(crate) fn hide(&mut self, bytes: &mut [u8]) {
        self.outgoing.apply_keystream(bytes);
    }
}

fn stream(block: &[u8; OPENING], secret: Option<&[u8; 16]>) -> Option<Ctr128BE<Aes256>> {
    let mut key = [0; 32];
    key.copy_from_slice(&block[8..40]);
    if let Some(secret) = secret {
        key = Sha256::new()
            .chain_update(key)
            .chain_update(secret)
            .finalize()
            .into();
    }
    Ctr128BE::new_from_slices(&key, &block[40..56]).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The opening block of a client.
    fn client(secret: Option<&[u8; 16]>) -> ([u8; OPENING], Ctr128BE<Aes256>) {
        let mut block: [u8; OPENING] = std::array::from_fn(|at| at as u8 * 3 + 1);
        block[56..60].fill(0xdd);
        block[60..62].copy_from_slice(&2_i16.to_le_bytes());
        let mut cipher = stream(&block, secret).unwrap();
        let mut hidden = block;
        cipher.apply_keystream(&mut hidden);
        block[56..].copy_from_slice(&hidden[56..]);
        (block, cipher)
    }

    #[test]
    fn a_client_with_the_secret_is_understood() {
        let secret = [9; 16];
        let (block, mut cipher) = client(Some(&secret));
        let mut opened = Obfuscation::open(&block, Some(&secret)).unwrap();
        assert_eq!(opened.framing, Framing::Padded);
        assert_eq!(opened.dc, 2);
        let mut text = *b"a packet of the client";
        cipher.apply_keystream(&mut text);
        opened.obfuscation.clear(&mut text);
        assert_eq!(&text, b"a packet of the client");
    }

    #[test]
    fn a_client_with_another_secret_is_noise() {
        let (block, _) = client(Some(&[9; 16]));
        assert!(Obfuscation::open(&block, Some(&[8; 16])).is_none());
        assert!(Obfuscation::open(&block, None).is_none());
    }
}
