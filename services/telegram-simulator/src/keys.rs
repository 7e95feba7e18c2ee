//! The data centre's own RSA key and the authorization keys that it knows.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Mutex, OnceLock, PoisonError};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::RsaKeyPair;
use base64::Engine;
use pkcs1::der::{Decode, Encode};

use crate::wire::crypto::{self, RsaKey};

/// The RSA key could not be made.
#[derive(Debug, thiserror::Error)]
#[error("the RSA key of the data centre could not be made: {0}")]
pub struct KeyError(String);

/// An RSA key made for this process alone, when the first handshake wants it.
#[derive(Debug, Default)]
pub(crate) struct ServerKey(OnceLock<(RsaKey, String)>);

impl ServerKey {
    /// The key itself.
    pub(crate) fn private(&self) -> Result<&RsaKey, KeyError> {
        self.made().map(|(key, _)| key)
    }

    /// The public half, as PKCS #1 in PEM.
    pub(crate) fn public_pem(&self) -> Result<&str, KeyError> {
        self.made().map(|(_, pem)| pem.as_str())
    }

    fn made(&self) -> Result<&(RsaKey, String), KeyError> {
        if let Some(made) = self.0.get() {
            return Ok(made);
        }
        let made = make()?;
        Ok(self.0.get_or_init(|| made))
    }
}

fn make() -> Result<(RsaKey, String), KeyError> {
    let failed = |error: &dyn std::fmt::Display| KeyError(error.to_string());
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(|e| failed(&e))?;
    let der = pair.as_der().map_err(|e| failed(&e))?;
    let info = pkcs8::PrivateKeyInfoRef::from_der(der.as_ref()).map_err(|e| failed(&e))?;
    let key =
        pkcs1::RsaPrivateKeyRef::from_der(info.private_key.as_bytes()).map_err(|e| failed(&e))?;
    let rsa = RsaKey::new(
        key.modulus.as_bytes(),
        key.public_exponent.as_bytes(),
        key.private_exponent.as_bytes(),
    );
    let public = key.public_key().to_der().map_err(|e| failed(&e))?;
    Ok((rsa, pem("RSA PUBLIC KEY", &public)))
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        let _ = writeln!(out, "{line}");
        rest = tail;
    }
    let _ = writeln!(out, "-----END {label}-----");
    out
}

/// An authorization key and who is logged in with it.
#[derive(Debug, Clone)]
pub(crate) struct Authorization {
    pub key: [u8; 256],
    /// The data centre that it is good for.
    pub dc: i32,
    /// `None` until somebody logs in.
    pub user: Option<i64>,
    /// What encrypted messages must carry now.
    pub salt: i64,
}

/// The authorization keys that the data centre knows.
#[derive(Debug, Default)]
pub(crate) struct KeyStore(Mutex<HashMap<i64, Authorization>>);

impl KeyStore {
    /// Adds a key; returns its identifier.
    pub(crate) fn add(&self, dc: i32, key: [u8; 256], user: Option<i64>, salt: i64) -> i64 {
        let id = crypto::key_id(&key);
        let authorization = Authorization {
            key,
            dc,
            user,
            salt,
        };
        self.lock().insert(id, authorization);
        id
    }

    pub(crate) fn get(&self, id: i64) -> Option<Authorization> {
        self.lock().get(&id).cloned()
    }

    /// Logs somebody in or out.
    pub(crate) fn set_user(&self, id: i64, user: Option<i64>) {
        if let Some(authorization) = self.lock().get_mut(&id) {
            authorization.user = user;
        }
    }

    /// Changes the salt of every key.
    pub(crate) fn rotate_salts(&self) {
        for authorization in self.lock().values_mut() {
            authorization.salt = next_salt(authorization.salt);
        }
    }

    /// Forgets a key: its clients meet the transport error 404.
    pub(crate) fn forget(&self, id: i64) -> bool {
        self.lock().remove(&id).is_some()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i64, Authorization>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The salt after `salt`: any bijection without small cycles does.
pub(crate) fn next_salt(salt: i64) -> i64 {
    salt.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_opens_what_a_client_seals_with_todays_padding() {
        use grammers_tl_types::Serializable;
        let server = ServerKey::default();
        let key = server.private().unwrap();
        let (modulus, exponent) = key.public_numbers();
        let client = grammers_crypto::rsa::Key::new(&modulus, &exponent).unwrap();
        let text = "what only the data centre may read".to_owned();
        let sealed = grammers_crypto::rsa::encrypt_hashed(&text.to_bytes(), &client, &[7; 224]);
        let opened = key.open(&sealed).unwrap();
        assert_eq!(opened.read::<String>(), Some(text));
    }

    #[test]
    fn the_public_half_is_pem() {
        let server = ServerKey::default();
        let pem = server.public_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN RSA PUBLIC KEY-----\n"));
        assert!(pem.lines().all(|line| line.len() <= 64));
    }
}
