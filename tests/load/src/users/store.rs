//! What is kept of users between two runs: a secret that their passwords come from, and tokens.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use rand::TryRng;
use rand::rngs::SysRng;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// The file of a target's users.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    kept: Kept,
}

#[derive(Default, Serialize, Deserialize)]
struct Kept {
    secret: String,
    /// Refresh tokens by address of the account.
    tokens: BTreeMap<String, String>,
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept")
            .field("accounts", &self.tokens.len())
            .finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the file of a target in a folder; makes a new secret when there is none.
    pub fn open(folder: &Path, target: &str) -> std::io::Result<Self> {
        let name = hex::encode(&Sha256::digest(target.as_bytes())[..6]);
        let path = folder.join(format!("users-{name}.json"));
        let kept = match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(std::io::Error::other)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let mut secret = [0; 32];
                SysRng
                    .try_fill_bytes(&mut secret)
                    .map_err(std::io::Error::other)?;
                Kept {
                    secret: hex::encode(secret),
                    tokens: BTreeMap::new(),
                }
            }
            Err(error) => return Err(error),
        };
        let store = Self { path, kept };
        store.save()?;
        Ok(store)
    }

    /// Address and password of a user. Nobody can reckon the password without the file, and whoever
    /// lost it gets other addresses.
    pub fn identity(&self, number: usize) -> (String, String) {
        let derive = |what: &str| {
            let text = format!("{}/{what}", self.kept.secret);
            hex::encode(Sha256::digest(text.as_bytes()))
        };
        let email = format!(
            "user-{number:05}@{}.load.invalid",
            &derive("addresses")[..8]
        );
        let password = derive(&email)[..40].to_owned();
        (email, password)
    }

    /// The token that the last run left.
    pub fn token(&self, email: &str) -> Option<&str> {
        self.kept.tokens.get(email).map(String::as_str)
    }

    /// Keeps tokens for the next run.
    pub fn keep(&mut self, tokens: impl Iterator<Item = (String, String)>) -> std::io::Result<()> {
        self.kept.tokens.extend(tokens);
        self.save()
    }

    /// Written beside and renamed: a full disk leaves the old one. Only its owner may read it.
    fn save(&self) -> std::io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let beside = self.path.with_extension("new");
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(&serde_json::to_vec(&self.kept)?)?;
        std::fs::rename(&beside, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn identities_last_and_differ_by_target() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Store::open(folder.path(), "http://a").unwrap();
        let (email, password) = first.identity(3);
        first
            .keep([(email.clone(), "tsr_1".to_owned())].into_iter())
            .unwrap();
        let again = Store::open(folder.path(), "http://a").unwrap();
        assert_eq!(again.identity(3), (email.clone(), password.clone()));
        assert_eq!(again.token(&email), Some("tsr_1"));
        assert_ne!(again.identity(4).1, password);
        assert_ne!(
            Store::open(folder.path(), "http://b")
                .unwrap()
                .identity(3)
                .0,
            email
        );
        assert!(!format!("{again:?}").contains("tsr_1"));
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            assert_eq!(
                entry.unwrap().metadata().unwrap().permissions().mode() & 0o777,
                0o600
            );
        }
    }
}
