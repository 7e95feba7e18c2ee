//! Secrets that are shown once and stored as hashes: refresh tokens and API keys.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use touchstone_identity::API_KEY_PREFIX;
use zeroize::Zeroizing;

/// First characters of every refresh token.
pub const REFRESH_PREFIX: &str = "tsr_";
/// Random bytes in a secret.
const SECRET_BYTES: usize = 32;
/// Their length in base64url.
const SECRET_CHARS: usize = 43;
/// How much of an API key is kept in the clear, to find it and to show it: the prefix and 8
/// characters, 48 of its 256 random bits.
pub const SHOWN_CHARS: usize = API_KEY_PREFIX.len() + 8;

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct NoRandomness;

/// Fills an array from the operating system. Secrets never come from a seeded source.
pub fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|_| NoRandomness)?;
    Ok(bytes)
}

/// SHA-256 of a secret: what the store keeps. The secrets are 256 random bits, so that a slow
/// hash would add nothing.
#[derive(Clone, Copy)]
pub struct SecretHash([u8; 32]);

impl SecretHash {
    /// Hashes a secret.
    pub fn of(secret: &str) -> Self {
        Self(Sha256::digest(secret).into())
    }

    /// Wraps what the store kept; `None` when it is not 32 bytes.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// The bytes to keep.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Compares in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(***)")
    }
}

/// The key from which a family derives each child token out of its parent.
#[derive(Clone)]
pub struct FamilySeed(Zeroizing<[u8; 32]>);

impl FamilySeed {
    /// A new one.
    pub fn random() -> Result<Self, NoRandomness> {
        random().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// Wraps what the store kept; `None` when it is not 32 bytes.
    pub fn from_stored(bytes: &[u8]) -> Option<Self> {
        bytes
            .try_into()
            .ok()
            .map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// The bytes to keep.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for FamilySeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FamilySeed(***)")
    }
}

/// An opaque secret in the clear, on its way to its owner; erased on drop, never printed.
#[derive(Clone)]
pub struct Opaque(Zeroizing<String>);

impl Opaque {
    /// A new refresh token, the first of its family.
    pub fn refresh_token() -> Result<Self, NoRandomness> {
        Self::random(REFRESH_PREFIX)
    }

    /// A new API key.
    pub fn api_key() -> Result<Self, NoRandomness> {
        Self::random(API_KEY_PREFIX)
    }

    /// The child of a refresh token: the same one each time, and known only to who holds the
    /// parent and the family's seed.
    pub fn child_of(parent: &str, seed: &FamilySeed) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, seed.as_bytes());
        Self::encode(REFRESH_PREFIX, hmac::sign(&key, parent.as_bytes()).as_ref())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Its hash.
    pub fn hash(&self) -> SecretHash {
        SecretHash::of(&self.0)
    }

    fn random(prefix: &str) -> Result<Self, NoRandomness> {
        let bytes = Zeroizing::new(random::<SECRET_BYTES>()?);
        Ok(Self::encode(prefix, bytes.as_slice()))
    }

    fn encode(prefix: &str, bytes: &[u8]) -> Self {
        Self(Zeroizing::new(format!(
            "{prefix}{}",
            URL_SAFE_NO_PAD.encode(bytes)
        )))
    }
}

impl fmt::Debug for Opaque {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opaque(***)")
    }
}

/// Whether `text` has the form of a secret with this prefix, so that nothing else is looked up.
pub fn has_form(text: &str, prefix: &str) -> bool {
    text.strip_prefix(prefix).is_some_and(|rest| {
        rest.len() == SECRET_CHARS
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    })
}

/// SHA-256 over parts, each with its length, so that no two lists of parts meet.
pub fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_have_their_form_and_differ() {
        let (one, other) = (Opaque::api_key().unwrap(), Opaque::api_key().unwrap());
        assert!(has_form(one.expose(), API_KEY_PREFIX), "{}", one.expose());
        assert!(!has_form(one.expose(), REFRESH_PREFIX));
        assert!(!has_form(&one.expose()[..46], API_KEY_PREFIX));
        assert_ne!(one.expose(), other.expose());
        assert!(one.hash().matches(&SecretHash::of(one.expose())));
        assert!(!one.hash().matches(&other.hash()));
    }

    #[test]
    fn a_child_repeats_for_its_parent_and_family_only() {
        let (seed, parent) = (
            FamilySeed::random().unwrap(),
            Opaque::refresh_token().unwrap(),
        );
        let child = Opaque::child_of(parent.expose(), &seed);
        assert!(has_form(child.expose(), REFRESH_PREFIX));
        assert_eq!(
            child.expose(),
            Opaque::child_of(parent.expose(), &seed).expose()
        );
        let stranger = FamilySeed::random().unwrap();
        assert_ne!(
            child.expose(),
            Opaque::child_of(parent.expose(), &stranger).expose()
        );
        assert_ne!(
            child.expose(),
            Opaque::child_of(child.expose(), &seed).expose()
        );
    }

    #[test]
    fn nothing_prints_a_secret() {
        let (seed, token) = (
            FamilySeed::random().unwrap(),
            Opaque::refresh_token().unwrap(),
        );
        let text = format!("{seed:?} {token:?} {:?}", token.hash());
        assert_eq!(text, "FamilySeed(***) Opaque(***) SecretHash(***)");
    }

    #[test]
    fn fingerprints_keep_parts_apart() {
        assert_ne!(fingerprint(&[b"ab", b"c"]), fingerprint(&[b"a", b"bc"]));
    }
}
