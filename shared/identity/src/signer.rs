use std::fmt;

use jsonwebtoken::{Algorithm, EncodingKey, Header};

use crate::AccessClaims;

/// A token could not be signed.
#[derive(Debug, thiserror::Error)]
#[error("the signing key does not work")]
pub struct SignerError(#[source] jsonwebtoken::errors::Error);

/// Signs access tokens; only auth has one.
pub struct Signer {
    header: Header,
    key: EncodingKey,
}

impl Signer {
    /// Signs with an Ed25519 key in PKCS#8 DER, known to verifiers as `kid`.
    pub fn ed25519(kid: impl Into<String>, pkcs8: &[u8]) -> Self {
        let header = Header {
            kid: Some(kid.into()),
            ..Header::new(Algorithm::EdDSA)
        };
        Self {
            header,
            key: EncodingKey::from_ed_der(pkcs8),
        }
    }

    /// Signs with a secret that every verifier knows (HS256).
    pub fn shared_secret(secret: &[u8]) -> Self {
        Self {
            header: Header::new(Algorithm::HS256),
            key: EncodingKey::from_secret(secret),
        }
    }

    /// The JWT of `claims`.
    pub fn sign(&self, claims: &AccessClaims) -> Result<String, SignerError> {
        jsonwebtoken::encode(&self.header, claims, &self.key).map_err(SignerError)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signer({:?}, ***)", self.header.alg)
    }
}
