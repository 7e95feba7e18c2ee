//! The keys that sign access tokens.

use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use touchstone_api::auth::{Jwk, Jwks};
use touchstone_identity::Signer;
use zeroize::Zeroizing;

use crate::config::Config;
use crate::store::{SigningKey, Store};

/// There is no key to sign with.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The key's file cannot be read.
    #[error("`{path}` cannot be read")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Others may read the key's file.
    #[error("`{path}` can be read by others; `chmod 600` it")]
    Exposed {
        /// The file.
        path: String,
    },
    /// The file holds no Ed25519 key.
    #[error("`{path}` holds no Ed25519 private key in PKCS#8 (PEM or DER)")]
    NotAKey {
        /// The file.
        path: String,
    },
    /// No key was made.
    #[error("a new signing key cannot be made")]
    Generation,
    /// The store failed.
    #[error("the signing keys cannot be read from the store")]
    Store(#[from] touchstone_store::Error),
}

/// What signs, and what is published of it.
#[derive(Debug)]
pub struct Keys {
    /// Signs with the newest key.
    pub signer: Signer,
    /// Every key in force; empty with a shared secret.
    pub jwks: Jwks,
}

impl Keys {
    /// Takes the shared secret, else the key of the file, else the keys of the store, making the
    /// first one.
    pub async fn load(
        config: &Config,
        store: &dyn Store,
        now: DateTime<Utc>,
    ) -> Result<Self, KeyError> {
        if !config.jwt_secret.is_empty() {
            let signer = Signer::shared_secret(config.jwt_secret.expose().as_bytes());
            return Ok(Self {
                signer,
                jwks: Jwks::default(),
            });
        }
        if !config.signing_key_file.is_empty() {
            let key = read(&config.signing_key_file, now)?;
            return Self::of(&[key]).ok_or(KeyError::Generation);
        }
        let mut keys = store.adopt_signing_key(None, now).await?;
        if keys.is_empty() {
            let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Generation)?;
            let candidate = signing_key(&pair, now).ok_or(KeyError::Generation)?;
            keys = store.adopt_signing_key(Some(&candidate), now).await?;
        }
        Self::of(&keys).ok_or(KeyError::Generation)
    }

    /// The newest key comes first.
    fn of(keys: &[SigningKey]) -> Option<Self> {
        let newest = keys.first()?;
        let jwk = |key: &SigningKey| Jwk {
            kty: "OKP".into(),
            crv: "Ed25519".into(),
            kid: key.kid.clone(),
            x: key.public_key.clone(),
            alg: "EdDSA".into(),
            use_: "sig".into(),
        };
        Some(Self {
            signer: Signer::ed25519(&newest.kid, &newest.private_key),
            jwks: Jwks {
                keys: keys.iter().map(jwk).collect(),
            },
        })
    }
}

fn signing_key(pair: &Ed25519KeyPair, now: DateTime<Utc>) -> Option<SigningKey> {
    let document = pair.to_pkcs8().ok()?;
    let public_key = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    Some(SigningKey {
        kid: thumbprint(&public_key),
        private_key: Zeroizing::new(document.as_ref().to_vec()),
        public_key,
        created_at: now,
    })
}

/// RFC 7638 over the members that RFC 8037 requires, in lexical order.
fn thumbprint(x: &str) -> String {
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}

fn read(path: &str, now: DateTime<Utc>) -> Result<SigningKey, KeyError> {
    let unreadable = |source| KeyError::Unreadable {
        path: path.to_owned(),
        source,
    };
    if is_exposed(Path::new(path)).map_err(unreadable)? {
        return Err(KeyError::Exposed {
            path: path.to_owned(),
        });
    }
    let bytes = Zeroizing::new(std::fs::read(path).map_err(unreadable)?);
    let der = match std::str::from_utf8(&bytes) {
        Ok(text) if text.contains("-----BEGIN PRIVATE KEY-----") => from_pem(text),
        _ => Some(bytes),
    };
    der.and_then(|der| Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).ok())
        .and_then(|pair| signing_key(&pair, now))
        .ok_or_else(|| KeyError::NotAKey {
            path: path.to_owned(),
        })
}

fn from_pem(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let (_, rest) = text.split_once("-----BEGIN PRIVATE KEY-----")?;
    let (body, _) = rest.split_once("-----END PRIVATE KEY-----")?;
    let body: Zeroizing<String> =
        Zeroizing::new(body.chars().filter(|c| !c.is_ascii_whitespace()).collect());
    STANDARD.decode(body.as_bytes()).ok().map(Zeroizing::new)
}

fn is_exposed(path: &Path) -> std::io::Result<bool> {
    Ok(touchstone_config::exposed(&std::fs::metadata(path)?).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store;
    use touchstone_types::{Clock, FrozenClock};

    fn config() -> Config {
        Config {
            store: "sqlite::memory:".into(),
            ..touchstone_config::defaults()
        }
    }

    async fn load(config: &Config) -> Result<Keys, KeyError> {
        let store = store::open(&config.store, &config.postgres).await.unwrap();
        Keys::load(config, &*store, FrozenClock::default().now()).await
    }

    #[tokio::test]
    async fn the_first_start_makes_a_key_that_later_starts_find() {
        let directory = tempfile::tempdir().unwrap();
        let uri = format!("sqlite://{}/auth.db", directory.path().display());
        let config = Config {
            store: uri.into(),
            ..config()
        };
        let first = load(&config).await.unwrap().jwks;
        let second = load(&config).await.unwrap().jwks;
        assert_eq!(first, second);
        assert_eq!(first.keys.len(), 1);
        assert_eq!(
            (first.keys[0].kty.as_str(), first.keys[0].alg.as_str()),
            ("OKP", "EdDSA")
        );
        assert_eq!(first.keys[0].kid, thumbprint(&first.keys[0].x));
    }

    #[tokio::test]
    async fn a_shared_secret_publishes_nothing() {
        let config = Config {
            jwt_secret: "a secret of thirty-two bytes, not fewer".into(),
            ..config()
        };
        let keys = load(&config).await.unwrap();
        assert!(keys.jwks.keys.is_empty());
        assert!(!format!("{keys:?}").contains("kkkk"));
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_key_file_is_read_as_pem_and_der_and_only_when_it_is_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let pair = Ed25519KeyPair::generate().unwrap();
        let v1 = pair.to_pkcs8v1().unwrap();
        let pem = format!(
            "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
            STANDARD.encode(v1.as_ref())
        );
        let public = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
        let files: [(&str, &[u8], u32); 4] = [
            ("key.pem", pem.as_bytes(), 0o600),
            ("key.der", v1.as_ref(), 0o400),
            ("open.pem", pem.as_bytes(), 0o644),
            (
                "not.pem",
                b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
                0o600,
            ),
        ];
        for (name, bytes, mode) in files {
            let path = directory.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let config = Config {
                signing_key_file: path.to_str().unwrap().to_owned(),
                ..config()
            };
            match (name, load(&config).await) {
                ("key.pem" | "key.der", Ok(keys)) => assert_eq!(keys.jwks.keys[0].x, public),
                ("open.pem", Err(KeyError::Exposed { .. }))
                | ("not.pem", Err(KeyError::NotAKey { .. })) => {}
                (name, other) => panic!("{name}: {other:?}"),
            }
        }
    }
}
