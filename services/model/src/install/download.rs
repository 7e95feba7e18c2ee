//! Fetches a model's files from a server, with limits and checksums.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;

use super::{Error, FILES};
use crate::runtime::LoadError;
use crate::runtime::bert::checksums::{CHECKSUMS, parse_checksums};

/// Names the parts of weights that are split.
const WEIGHTS_INDEX: &str = "model.safetensors.index.json";
const WEIGHTS: &str = "model.safetensors";
/// Largest small file.
const SMALL_FILE_LIMIT: u64 = 64 << 20;
/// Largest weight file.
const WEIGHTS_LIMIT: u64 = 8 << 30;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest silence of a server.
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// Fetches a model from a base URL.
pub struct Download {
    client: reqwest::Client,
    base: String,
}

impl Download {
    /// A download from `source`; nothing is fetched yet.
    pub fn new(source: &str) -> Result<Self, Error> {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build()
            .map_err(|source| Error::Fetch {
                file: "anything".to_owned(),
                source,
            })?;
        Ok(Self {
            client,
            base: source.trim_end_matches('/').to_owned(),
        })
    }

    /// Fetches the files of the model into a folder.
    pub async fn run(&self, folder: &Path) -> Result<(), Error> {
        let sums = self.sums(folder).await?;
        let expected = |name: &str| sums.get(name).map(String::as_str);
        for name in FILES {
            self.fetch(folder, name, SMALL_FILE_LIMIT, expected(name))
                .await?;
        }
        for name in self.weights(folder).await? {
            if !self
                .fetch(folder, &name, WEIGHTS_LIMIT, expected(&name))
                .await?
            {
                return Err(LoadError::Missing(name).into());
            }
        }
        Ok(())
    }

    async fn sums(&self, folder: &Path) -> Result<BTreeMap<String, String>, Error> {
        if !self
            .fetch(folder, CHECKSUMS, SMALL_FILE_LIMIT, None)
            .await?
        {
            return Ok(BTreeMap::new());
        }
        let path = folder.join(CHECKSUMS);
        let listing = fs::read_to_string(&path).map_err(|source| Error::Io { path, source })?;
        Ok(parse_checksums(&listing)?.into_iter().collect())
    }

    /// Names of the weight files: those of the index when the weights are split.
    async fn weights(&self, folder: &Path) -> Result<Vec<String>, Error> {
        #[derive(serde::Deserialize)]
        struct Index {
            weight_map: BTreeMap<String, String>,
        }
        if !self
            .fetch(folder, WEIGHTS_INDEX, SMALL_FILE_LIMIT, None)
            .await?
        {
            return Ok(vec![WEIGHTS.to_owned()]);
        }
        let damaged = |reason: String| LoadError::Damaged {
            file: WEIGHTS_INDEX.to_owned(),
            reason,
        };
        let path = folder.join(WEIGHTS_INDEX);
        let index = fs::read(&path).map_err(|source| Error::Io {
            path: path.clone(),
            source,
        })?;
        let index: Index =
            serde_json::from_slice(&index).map_err(|error| damaged(error.to_string()))?;
        fs::remove_file(&path).map_err(|source| Error::Io { path, source })?;
        let mut names: Vec<_> = index.weight_map.into_values().collect();
        names.sort_unstable();
        names.dedup();
        let usable = |name: &String| {
            !name.contains(['/', '\\'])
                && Path::new(name)
                    .extension()
                    .is_some_and(|extension| extension == "safetensors")
        };
        if names.is_empty() || !names.iter().all(usable) {
            return Err(damaged("it names files that are no weights".to_owned()).into());
        }
        Ok(names)
    }

    /// Fetches one file; `false` when the server has none.
    async fn fetch(
        &self,
        folder: &Path,
        name: &str,
        limit: u64,
        expected: Option<&str>,
    ) -> Result<bool, Error> {
        let file = || name.to_owned();
        let failed = |source: reqwest::Error| Error::Fetch {
            file: file(),
            source: source.without_url(),
        };
        let too_large = || Error::TooLarge {
            file: file(),
            limit: ByteSize(limit),
        };
        let url = format!("{}/{name}", self.base);
        let mut response = self.client.get(url).send().await.map_err(failed)?;
        let status = response.status();
        if status == http::StatusCode::NOT_FOUND {
            return match expected {
                Some(_) => Err(LoadError::Missing(file()).into()),
                None => Ok(false),
            };
        }
        if !status.is_success() {
            return Err(Error::Status {
                file: file(),
                status: status.as_u16(),
            });
        }
        if response
            .content_length()
            .is_some_and(|length| length > limit)
        {
            return Err(too_large());
        }
        let path = folder.join(name);
        let io = |source| Error::Io {
            path: path.clone(),
            source,
        };
        if let Some(parent) = path.parent() {
            tokio::fs::create_dir_all(parent).await.map_err(io)?;
        }
        let mut target = tokio::fs::File::create(&path).await.map_err(io)?;
        let mut hasher = Sha256::new();
        let mut size = 0;
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            size += chunk.len() as u64;
            if size > limit {
                return Err(too_large());
            }
            hasher.update(&chunk);
            target.write_all(&chunk).await.map_err(io)?;
        }
        target.sync_all().await.map_err(io)?;
        if expected.is_some_and(|sum| sum != hex::encode(hasher.finalize())) {
            let reason = format!("its SHA-256 differs from the one in `{CHECKSUMS}`");
            return Err(LoadError::Damaged {
                file: file(),
                reason,
            }
            .into());
        }
        Ok(true)
    }
}
