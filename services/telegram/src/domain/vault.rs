//! What opens the account at other data centres, sealed before it is written down.
//!
//! The key of the seal follows from the session: whoever has that is logged in anyway, and without
//! it what was written down is noise. It needs no secret of its own, which could be lost.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use zeroize::Zeroizing;

use super::string_session::StringSession;

/// Separates this use of the session's key from every other.
const SALT: &[u8] = b"touchstone telegram vault 1";

/// Seals and opens.
pub struct Vault(RandomizedNonceKey);

/// The vault cannot be made, or does not seal; neither happens with a key of the right length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the keys of other data centres cannot be sealed")]
pub struct VaultError;

impl From<aws_lc_rs::error::Unspecified> for VaultError {
    fn from(_: aws_lc_rs::error::Unspecified) -> Self {
        Self
    }
}

impl Vault {
    /// The vault of an account.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn of(session: &StringSession) -> Result<Self, VaultError> {
        let derived = Salt::new(HKDF_SHA256, SALT).extract(session.key());
        let mut key = Zeroizing::new([0; 32]);
        derived
            .expand(&[b"aes-256-gcm"], HKDF_SHA256)?
            .fill(&mut key[..])?;
        Ok(Self(RandomizedNonceKey::new(&AES_256_GCM, &key[..])?))
    }

    /// Seals `plain` under a name: it opens under the same one alone.
    ///
    /// # Errors
    /// [`VaultError`].
    pub fn seal(&self, name: &str, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        let mut sealed = plain.to_vec();
        let aad = Aad::from(name.as_bytes());
        let nonce = self.0.seal_in_place_append_tag(aad, &mut sealed)?;
        sealed.extend(nonce.as_ref());
        Ok(sealed)
    }

    /// Opens what was sealed; `None` when it was not, or was changed, or had another name.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (sealed, nonce) = sealed.split_at_checked(sealed.len().checked_sub(NONCE_LEN)?)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = Zeroizing::new(sealed.to_vec());
        let aad = Aad::from(name.as_bytes());
        let length = self.0.open_in_place(nonce, aad, &mut bytes).ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Vault(***)")
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE;

    use super::*;

    fn vault(key: u8) -> Vault {
        let mut bytes = vec![2, 127, 0, 0, 1, 1, 187];
        bytes.extend([key; 256]);
        let text = format!("1{}", URL_SAFE.encode(bytes));
        Vault::of(&StringSession::parse(&text).unwrap()).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_with_the_same_session_under_the_same_name() {
        let sealed = vault(7).seal("dc 4", b"a key").unwrap();
        let opened = vault(7).open("dc 4", &sealed).unwrap();
        assert_eq!(&opened[..], b"a key");
        assert_eq!(vault(8).open("dc 4", &sealed), None, "another session");
        assert_eq!(vault(7).open("dc 5", &sealed), None, "another name");
        assert!(!sealed.windows(5).any(|part| part == b"a key"));
        assert_ne!(sealed, vault(7).seal("dc 4", b"a key").unwrap(), "a nonce");
    }

    #[test]
    fn what_was_changed_or_cut_does_not_open() {
        let vault = vault(7);
        let sealed = vault.seal("dc 4", b"a key").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(vault.open("dc 4", &changed), None, "{at}");
            assert_eq!(vault.open("dc 4", &sealed[..at]), None, "{at}");
        }
    }
}
