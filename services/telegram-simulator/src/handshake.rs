//! The exchange that makes a new authorization key.
//!
//! # Source
//! <https://core.telegram.org/mtproto/auth_key>

use grammers_crypto::aes::{ige_decrypt, ige_encrypt};
use grammers_crypto::{AuthKey, generate_key_data_from_nonce};
use grammers_tl_types::{self as tl, Cursor, Deserializable, Identifiable, Serializable};
use num_bigint::BigUint;
use rand::{Rng, RngExt};
use sha1::{Digest, Sha1};

use crate::keys::{KeyError, ServerKey};

/// Two primes whose product the client has to factor.
const P: u64 = 1_229_739_323;
const Q: u64 = 1_402_015_859;

/// The generator that goes with [`PRIME`].
const GENERATOR: i32 = 3;

/// The safe prime that Telegram's own data centres use; clients may insist on it.
const PRIME: &str = "C71CAEB9C6B1C9048E6C522F70F13F73980D40238E3E21C14934D037563D930F\
48198A0AA7C14058229493D22530F4DBFA336F6E0AC925139543AED44CCE7C37\
20FD51F69458705AC68CD4FE6B6B13ABDC9746512969328454F18FAF8C595F64\
2477FE96BB2A941D5BCD1D4AC8CC49880708FA9B378E3C4F3A9060BEE67CF9A4\
A4A695811051907E162753B56B0F6B410DBA74D8A84B2A14B3144E0EF1284754\
FD17ED950D5965B4B9DD46582DB1178D169C6BC465B0D6FF9CA3928FEF5B9AE4\
E418FC15E83EBEA0F87FA9FF5EED70050DED2849F47BF959D956850CE929851F\
0D8115F635B105EE2E4E15D04B2454BF6F4FADF034B10403119CD8E3B92FCC5B";

/// The handshake cannot go on; the connection ends.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandshakeError {
    #[error("a message that is not part of a handshake: {0:08x}")]
    Unexpected(u32),
    #[error("a message that cannot be read")]
    Malformed,
    #[error("the nonces differ")]
    Nonce,
    #[error("a secret that our key does not open")]
    Secret,
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// What came of a message.
pub(crate) enum Step {
    /// An answer, and the client goes on.
    Answer(Vec<u8>),
    /// An answer, and a key with its first salt.
    Done {
        answer: Vec<u8>,
        key: Box<[u8; 256]>,
        salt: i64,
    },
}

/// A handshake on one connection.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    nonces: Option<([u8; 16], [u8; 16])>,
    exchange: Option<Exchange>,
}

#[derive(Debug)]
struct Exchange {
    new_nonce: [u8; 32],
    secret: BigUint,
}

impl Handshake {
    /// Takes an unencrypted message of the client.
    pub(crate) fn take(
        &mut self,
        body: &[u8],
        server: &ServerKey,
        now: i32,
        rng: &mut impl Rng,
    ) -> Result<Step, HandshakeError> {
        let (id, rest) = body
            .split_first_chunk::<4>()
            .ok_or(HandshakeError::Malformed)?;
        match u32::from_le_bytes(*id) {
            tl::functions::ReqPqMulti::CONSTRUCTOR_ID => {
                let request: tl::functions::ReqPqMulti = read(rest)?;
                self.offer(request.nonce, server, rng).map(Step::Answer)
            }
            tl::functions::ReqPq::CONSTRUCTOR_ID => {
                let request: tl::functions::ReqPq = read(rest)?;
                self.offer(request.nonce, server, rng).map(Step::Answer)
            }
            tl::functions::ReqDhParams::CONSTRUCTOR_ID => {
                let request: tl::functions::ReqDhParams = read(rest)?;
                self.parameters(&request, server, now, rng)
                    .map(Step::Answer)
            }
            tl::functions::SetClientDhParams::CONSTRUCTOR_ID => {
                self.finish(&read::<tl::functions::SetClientDhParams>(rest)?)
            }
            other => Err(HandshakeError::Unexpected(other)),
        }
    }

    fn offer(
        &mut self,
        nonce: [u8; 16],
        server: &ServerKey,
        rng: &mut impl Rng,
    ) -> Result<Vec<u8>, HandshakeError> {
        let server_nonce: [u8; 16] = rng.random();
        self.nonces = Some((nonce, server_nonce));
        self.exchange = None;
        let answer = tl::types::ResPq {
            nonce,
            server_nonce,
            pq: (P * Q).to_be_bytes().to_vec(),
            server_public_key_fingerprints: vec![server.private()?.fingerprint()],
        };
        Ok(tl::enums::ResPq::Pq(answer).to_bytes())
    }

    fn parameters(
        &mut self,
        request: &tl::functions::ReqDhParams,
        server: &ServerKey,
        now: i32,
        rng: &mut impl Rng,
    ) -> Result<Vec<u8>, HandshakeError> {
        let (nonce, server_nonce) = self.check(request.nonce, request.server_nonce)?;
        let opened = server
            .private()?
            .open(&request.encrypted_data)
            .ok_or(HandshakeError::Secret)?;
        let inner = opened
            .read::<tl::enums::PQInnerData>()
            .ok_or(HandshakeError::Secret)?;
        let (inner_nonce, inner_server_nonce, new_nonce) = secret_of(inner);
        if (inner_nonce, inner_server_nonce) != (nonce, server_nonce) {
            return Err(HandshakeError::Nonce);
        }
        let prime = prime()?;
        let mut secret = [0; 256];
        rng.fill_bytes(&mut secret);
        let secret = BigUint::from_bytes_be(&secret);
        let public = BigUint::from(GENERATOR as u32).modpow(&secret, &prime);
        let data = tl::enums::ServerDhInnerData::Data(tl::types::ServerDhInnerData {
            nonce,
            server_nonce,
            g: GENERATOR,
            dh_prime: prime.to_bytes_be(),
            g_a: wide(&public).to_vec(),
            server_time: now,
        })
        .to_bytes();
        let mut answer = Sha1::digest(&data).to_vec();
        answer.extend(data);
        while !answer.len().is_multiple_of(16) {
            answer.push(rng.random());
        }
        let (key, iv) = generate_key_data_from_nonce(&server_nonce, &new_nonce);
        ige_encrypt(&mut answer, &key, &iv);
        self.exchange = Some(Exchange { new_nonce, secret });
        let answer = tl::types::ServerDhParamsOk {
            nonce,
            server_nonce,
            encrypted_answer: answer,
        };
        Ok(tl::enums::ServerDhParams::Ok(answer).to_bytes())
    }

    fn finish(
        &mut self,
        request: &tl::functions::SetClientDhParams,
    ) -> Result<Step, HandshakeError> {
        let (nonce, server_nonce) = self.check(request.nonce, request.server_nonce)?;
        let exchange = self.exchange.take().ok_or(HandshakeError::Nonce)?;
        let mut clear = request.encrypted_data.clone();
        if clear.is_empty() || !clear.len().is_multiple_of(16) {
            return Err(HandshakeError::Malformed);
        }
        let (key, iv) = generate_key_data_from_nonce(&server_nonce, &exchange.new_nonce);
        ige_decrypt(&mut clear, &key, &iv);
        let (hash, data) = clear
            .split_first_chunk::<20>()
            .ok_or(HandshakeError::Malformed)?;
        let mut cursor = Cursor::from_slice(data);
        let tl::enums::ClientDhInnerData::Data(inner) =
            tl::enums::ClientDhInnerData::deserialize(&mut cursor)
                .map_err(|_| HandshakeError::Malformed)?;
        if Sha1::digest(&data[..cursor.pos()])[..] != *hash {
            return Err(HandshakeError::Secret);
        }
        let shared = BigUint::from_bytes_be(&inner.g_b).modpow(&exchange.secret, &prime()?);
        let key = wide(&shared);
        let answer = tl::types::DhGenOk {
            nonce,
            server_nonce,
            new_nonce_hash1: AuthKey::from_bytes(key).calc_new_nonce_hash(&exchange.new_nonce, 1),
        };
        let salt: [u8; 8] = std::array::from_fn(|at| exchange.new_nonce[at] ^ server_nonce[at]);
        Ok(Step::Done {
            answer: tl::enums::SetClientDhParamsAnswer::DhGenOk(answer).to_bytes(),
            key: Box::new(key),
            salt: i64::from_le_bytes(salt),
        })
    }

    fn check(
        &self,
        nonce: [u8; 16],
        server_nonce: [u8; 16],
    ) -> Result<([u8; 16], [u8; 16]), HandshakeError> {
        self.nonces
            .filter(|nonces| *nonces == (nonce, server_nonce))
            .ok_or(HandshakeError::Nonce)
    }
}

fn read<T: Deserializable>(bytes: &[u8]) -> Result<T, HandshakeError> {
    T::from_bytes(bytes).map_err(|_| HandshakeError::Malformed)
}

fn prime() -> Result<BigUint, HandshakeError> {
    BigUint::parse_bytes(PRIME.as_bytes(), 16).ok_or(HandshakeError::Malformed)
}

/// A number as 256 bytes, zeros in front.
fn wide(number: &BigUint) -> [u8; 256] {
    let bytes = number.to_bytes_be();
    let mut out = [0; 256];
    let start = out.len().saturating_sub(bytes.len());
    out[start..].copy_from_slice(&bytes[bytes.len().saturating_sub(256)..]);
    out
}

fn secret_of(inner: tl::enums::PQInnerData) -> ([u8; 16], [u8; 16], [u8; 32]) {
    use tl::enums::PQInnerData as Inner;
    match inner {
        Inner::Data(inner) => (inner.nonce, inner.server_nonce, inner.new_nonce),
        Inner::Dc(inner) => (inner.nonce, inner.server_nonce, inner.new_nonce),
        Inner::Temp(inner) => (inner.nonce, inner.server_nonce, inner.new_nonce),
        Inner::TempDc(inner) => (inner.nonce, inner.server_nonce, inner.new_nonce),
    }
}
