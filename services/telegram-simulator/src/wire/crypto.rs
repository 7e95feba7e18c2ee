//! Encryption of messages and of the handshake, the server's side.
//!
//! # Source
//! <https://core.telegram.org/mtproto/description>, <https://core.telegram.org/mtproto/auth_key>

use grammers_crypto::aes::{ige_decrypt, ige_encrypt};
use grammers_tl_types::{Cursor, Deserializable};
use num_bigint::BigUint;
use rand::{Rng, RngExt};
use sha1::Sha1;
use sha2::{Digest, Sha256};

/// Direction of a message; the offset into the key differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sender {
    Client,
    Server,
}

impl Sender {
    fn offset(self) -> usize {
        match self {
            Self::Client => 0,
            Self::Server => 8,
        }
    }
}

/// The identifier of an authorization key: the lower 64 bits of its SHA-1.
pub(crate) fn key_id(key: &[u8; 256]) -> i64 {
    let hash = Sha1::digest(key);
    let mut id = [0; 8];
    id.copy_from_slice(&hash[12..20]);
    i64::from_le_bytes(id)
}

fn key_and_iv(key: &[u8; 256], message_key: &[u8; 16], sender: Sender) -> ([u8; 32], [u8; 32]) {
    let x = sender.offset();
    let a = Sha256::new()
        .chain_update(message_key)
        .chain_update(&key[x..x + 36])
        .finalize();
    let b = Sha256::new()
        .chain_update(&key[40 + x..76 + x])
        .chain_update(message_key)
        .finalize();
    let (mut aes, mut iv) = ([0; 32], [0; 32]);
    aes[..8].copy_from_slice(&a[..8]);
    aes[8..24].copy_from_slice(&b[8..24]);
    aes[24..].copy_from_slice(&a[24..32]);
    iv[..8].copy_from_slice(&b[..8]);
    iv[8..24].copy_from_slice(&a[8..24]);
    iv[24..].copy_from_slice(&b[24..32]);
    (aes, iv)
}

fn message_key(key: &[u8; 256], plain: &[u8], sender: Sender) -> [u8; 16] {
    let x = 88 + sender.offset();
    let hash = Sha256::new()
        .chain_update(&key[x..x + 32])
        .chain_update(plain)
        .finalize();
    let mut middle = [0; 16];
    middle.copy_from_slice(&hash[8..24]);
    middle
}

/// Encrypts `plain` (salt, session, message) into a packet.
pub(crate) fn encrypt(
    key: &[u8; 256],
    mut plain: Vec<u8>,
    sender: Sender,
    rng: &mut impl Rng,
) -> Vec<u8> {
    // 12 bytes of padding at least, and whole blocks.
    let padding = 12 + (16 - (plain.len() + 12) % 16) % 16;
    plain.extend((0..padding).map(|_| rng.random::<u8>()));
    let message_key = message_key(key, &plain, sender);
    let (aes, iv) = key_and_iv(key, &message_key, sender);
    ige_encrypt(&mut plain, &aes, &iv);
    let mut packet = Vec::with_capacity(24 + plain.len());
    packet.extend(key_id(key).to_le_bytes());
    packet.extend(message_key);
    packet.extend(plain);
    packet
}

/// Decrypts what follows the key's identifier in a packet; `None` when it was tampered with.
pub(crate) fn decrypt(key: &[u8; 256], sealed: &[u8], sender: Sender) -> Option<Vec<u8>> {
    let (announced, body) = sealed.split_first_chunk::<16>()?;
    // Transports with padding leave up to 15 bytes at the end.
    let whole = body.len() - body.len() % 16;
    let mut plain = body[..whole].to_vec();
    if plain.is_empty() {
        return None;
    }
    let (aes, iv) = key_and_iv(key, announced, sender);
    ige_decrypt(&mut plain, &aes, &iv);
    (message_key(key, &plain, sender) == *announced).then_some(plain)
}

/// The client's secret of the handshake.
#[derive(Debug)]
pub(crate) struct Opened {
    /// The data, and padding after it.
    data: Vec<u8>,
    /// SHA-1 of the data, in the older padding.
    hash: Option<[u8; 20]>,
}

impl Opened {
    /// Reads the data as `T`, which knows where it ends.
    pub(crate) fn read<T: Deserializable>(&self) -> Option<T> {
        let mut cursor = Cursor::from_slice(&self.data);
        let value = T::deserialize(&mut cursor).ok()?;
        let read = Sha1::digest(&self.data[..cursor.pos()]);
        self.hash
            .is_none_or(|hash| read[..] == hash)
            .then_some(value)
    }
}

/// The private key of a data centre.
#[derive(Debug)]
pub(crate) struct RsaKey {
    modulus: BigUint,
    exponent: BigUint,
    private: BigUint,
}

impl RsaKey {
    pub(crate) fn new(modulus: &[u8], exponent: &[u8], private: &[u8]) -> Self {
        Self {
            modulus: BigUint::from_bytes_be(modulus),
            exponent: BigUint::from_bytes_be(exponent),
            private: BigUint::from_bytes_be(private),
        }
    }

    /// Modulus and exponent as decimal numbers.
    #[cfg(test)]
    pub(crate) fn public_numbers(&self) -> (String, String) {
        (self.modulus.to_string(), self.exponent.to_string())
    }

    /// The lower 64 bits of the SHA-1 of both public numbers as TL strings.
    pub(crate) fn fingerprint(&self) -> i64 {
        use grammers_tl_types::Serializable;
        let mut bytes = self.modulus.to_bytes_be().to_bytes();
        bytes.extend(self.exponent.to_bytes_be().to_bytes());
        let hash = Sha1::digest(&bytes);
        let mut id = [0; 8];
        id.copy_from_slice(&hash[12..20]);
        i64::from_le_bytes(id)
    }

    /// Opens the client's secret of the handshake, in today's padding (OAEP-like) or yesterday's
    /// (SHA-1); returns the data with whatever padding follows it.
    pub(crate) fn open(&self, sealed: &[u8]) -> Option<Opened> {
        let number = BigUint::from_bytes_be(sealed);
        if number >= self.modulus {
            return None;
        }
        let clear = number.modpow(&self.private, &self.modulus).to_bytes_be();
        let mut block = vec![0; 256_usize.checked_sub(clear.len())?];
        block.extend(clear);
        open_padded(&block).or_else(|| open_hashed(&block))
    }
}

/// `RSA_PAD`: a key hidden by the hash of what it encrypts.
fn open_padded(block: &[u8]) -> Option<Opened> {
    let (hidden, sealed) = block.split_first_chunk::<32>()?;
    let hash = Sha256::digest(sealed);
    let key: [u8; 32] = std::array::from_fn(|at| hidden[at] ^ hash[at]);
    let mut clear = sealed.to_vec();
    ige_decrypt(&mut clear, &key, &[0; 32]);
    let (reversed, announced) = clear.split_at_checked(192)?;
    let data: Vec<u8> = reversed.iter().rev().copied().collect();
    let expected = Sha256::new()
        .chain_update(key)
        .chain_update(&data)
        .finalize();
    (expected[..] == *announced).then_some(Opened { data, hash: None })
}

/// The older padding: a zero byte, the hash of the data, the data, noise.
fn open_hashed(block: &[u8]) -> Option<Opened> {
    let (hash, data) = block.strip_prefix(&[0])?.split_first_chunk::<20>()?;
    Some(Opened {
        data: data.to_vec(),
        hash: Some(*hash),
    })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn messages_open_only_with_the_key_and_the_direction() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let key: [u8; 256] = std::array::from_fn(|at| at as u8);
        let packet = encrypt(&key, vec![5; 40], Sender::Client, &mut rng);
        assert_eq!(packet[..8], key_id(&key).to_le_bytes());
        let plain = decrypt(&key, &packet[8..], Sender::Client).unwrap();
        assert_eq!(plain[..40], [5; 40]);
        assert!(plain.len() >= 52, "at least 12 bytes of padding");
        assert_eq!(decrypt(&key, &packet[8..], Sender::Server), None);
        let mut tampered = packet;
        tampered[30] ^= 1;
        assert_eq!(decrypt(&key, &tampered[8..], Sender::Client), None);
    }

    #[test]
    fn the_servers_messages_open_with_the_clients_own_code() {
        use grammers_crypto::{AuthKey, decrypt_data_v2};
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let key: [u8; 256] = std::array::from_fn(|at| (at * 7) as u8);
        let mut packet = encrypt(&key, vec![5; 40], Sender::Server, &mut rng);
        let plain = decrypt_data_v2(&mut packet, &AuthKey::from_bytes(key)).unwrap();
        assert_eq!(plain[..40], [5; 40]);
    }
}
