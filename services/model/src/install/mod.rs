//! Brings a model into the models directory: `touchstone models pull`.
//!
//! The files are gathered in a hidden folder beside their place, checked, loaded once, and moved
//! into place by one rename: a model is there whole or not at all.

mod download;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use touchstone_api::model::ModelTask;

use self::download::Download;
use crate::registry::is_valid_id;
use crate::runtime::LoadError;
use crate::runtime::bert::Options;
use crate::runtime::bert::checksums::{CHECKSUMS, checksum, parse_checksums, verify_checksums};
use crate::runtime::bert::folder::{NetworkConfig, weight_files};
use crate::service::load_folder;

/// Files of a model besides its weights; the first is in every model.
const FILES: [&str; 8] = [
    "config.json",
    "tokenizer.json",
    "vocab.txt",
    "tokenizer_config.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "1_Pooling/config.json",
];

/// Why a model was not installed. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The id is no safe folder name.
    #[error("`{0}` cannot be the id of a model: 1 to 64 letters, digits, `.`, `_` or `-`")]
    Id(String),
    /// The place is taken.
    #[error("there is a model `{id}` in `{}` already; remove it or choose another id", directory.display())]
    Exists {
        /// Which.
        id: String,
        /// Where.
        directory: PathBuf,
    },
    /// The source is neither a folder nor a URL that is understood.
    #[error("`{0}` is neither a folder nor a file:// or http(s):// URL")]
    Source(String),
    /// The files are not those of a model that can be loaded.
    #[error("the model cannot be used")]
    Model(#[from] LoadError),
    /// The disk refused.
    #[error("cannot write `{}`", path.display())]
    Io {
        /// What was written.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The server did not answer.
    #[error("cannot fetch `{file}`")]
    Fetch {
        /// Which file.
        file: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// The server answered with an error.
    #[error("cannot fetch `{file}`: the server answered with status {status}")]
    Status {
        /// Which file.
        file: String,
        /// Its status.
        status: u16,
    },
    /// A file is larger than such a file can be.
    #[error("`{file}` is larger than {limit}")]
    TooLarge {
        /// Which file.
        file: String,
        /// The limit.
        limit: ByteSize,
    },
    /// The work was dropped.
    #[error("the installation was stopped")]
    Stopped,
}

/// A file of an installed model.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct InstalledFile {
    /// Name inside the folder.
    pub name: String,
    /// Size.
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// A model that is in place and was loaded once.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Installed {
    /// Its id.
    pub id: String,
    /// Its folder.
    pub path: PathBuf,
    /// What it does.
    pub task: ModelTask,
    /// Length of its vectors, for embedders.
    pub dimension: Option<usize>,
    /// Longest input in tokens.
    pub max_tokens: Option<usize>,
    /// Memory that it takes when loaded.
    pub memory_bytes: u64,
    /// Its files; the same listing lies in its folder as `SHA256SUMS` and is checked at each load.
    pub files: Vec<InstalledFile>,
}

/// Installs a model from a folder, a `file://` URL or an `http(s)://` base URL.
///
/// A `SHA256SUMS` file at the source is obeyed: every file must have the sum that it names. The id
/// is the last part of the source unless given.
pub async fn install(
    source: &str,
    models_dir: &Path,
    id: Option<&str>,
) -> Result<Installed, Error> {
    let http = source.starts_with("http://") || source.starts_with("https://");
    let local = source.strip_prefix("file://").unwrap_or(source);
    if !http && !Path::new(local).is_dir() {
        return Err(Error::Source(source.to_owned()));
    }
    let id = id.map_or_else(|| id_of(source), str::to_owned);
    if !is_valid_id(&id) {
        return Err(Error::Id(id));
    }
    let target = models_dir.join(&id);
    if target.exists() {
        return Err(Error::Exists {
            id,
            directory: models_dir.to_owned(),
        });
    }
    let staging = Staging::create(models_dir, &id)?;
    if http {
        Download::new(source)?.run(&staging.0).await?;
    } else {
        let (from, to) = (PathBuf::from(local), staging.0.clone());
        blocking(move || copy(&from, &to)).await?;
    }
    blocking(move || finish(staging, id, target)).await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or(Err(Error::Stopped))
}

/// The last telling part of a source: of Hugging Face's `…/name/resolve/main` it is `name`.
fn id_of(source: &str) -> String {
    let path = source.split(['?', '#']).next().unwrap_or_default();
    let mut parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).collect();
    if let [.., "resolve", _] = parts.as_slice() {
        parts.truncate(parts.len() - 2);
    }
    parts
        .last()
        .map(|part| (*part).to_owned())
        .unwrap_or_default()
}

/// The hidden folder; removed when the installation does not finish.
#[derive(Debug)]
struct Staging(PathBuf);

impl Staging {
    fn create(models_dir: &Path, id: &str) -> Result<Self, Error> {
        let path = models_dir.join(format!(".{id}.part"));
        let failed = |source| Error::Io {
            path: path.clone(),
            source,
        };
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        fs::create_dir_all(&path).map_err(failed)?;
        Ok(Self(path))
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // After a success there is nothing at this path any more.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Copies a model's files out of a folder, and nothing else.
fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let mut names: Vec<String> = FILES.iter().map(|name| (*name).to_owned()).collect();
    names.extend(weight_files(from)?);
    names.push(CHECKSUMS.to_owned());
    for name in names {
        let (source, target) = (from.join(&name), to.join(&name));
        if !source.is_file() {
            continue;
        }
        if let Some(parent) = target.parent() {
            fs::create_dir_all(parent).map_err(|source| Error::Io {
                path: parent.to_owned(),
                source,
            })?;
        }
        fs::copy(&source, &target).map_err(|source| Error::Io {
            path: target,
            source,
        })?;
    }
    Ok(())
}

/// Checks, loads once, lists and moves into place.
fn finish(staging: Staging, id: String, target: PathBuf) -> Result<Installed, Error> {
    let folder = &staging.0;
    let kept: BTreeMap<String, u64> = files_in(folder)?;
    keep_present(folder, &kept)?;
    verify_checksums(folder)?;
    let task = NetworkConfig::read(folder)?.task();
    let options = Options {
        name: id.clone(),
        prefixes: None,
        max_tokens: None,
        batch_tokens: 512,
    };
    let runtime = load_folder(folder, task, &options)?;
    let mut files = Vec::with_capacity(kept.len());
    let mut listing = String::new();
    for (name, bytes) in kept {
        let path = folder.join(&name);
        let sha256 = checksum(&path).map_err(|source| Error::Io { path, source })?;
        listing += &line(&sha256, &name);
        files.push(InstalledFile {
            name,
            bytes,
            sha256,
        });
    }
    let path = folder.join(CHECKSUMS);
    fs::write(&path, listing).map_err(|source| Error::Io { path, source })?;
    fs::rename(folder, &target).map_err(|source| Error::Io {
        path: target.clone(),
        source,
    })?;
    Ok(Installed {
        id,
        path: target,
        task,
        dimension: runtime.dimension(),
        max_tokens: runtime.max_tokens(),
        memory_bytes: runtime.memory_bytes(),
        files,
    })
}

/// A line of a checksum listing.
fn line(sum: &str, name: &str) -> String {
    format!("{sum}  {name}\n")
}

/// Drops the lines of the source's checksum listing that name files which were not taken over
/// (read-mes, other formats).
fn keep_present(folder: &Path, present: &BTreeMap<String, u64>) -> Result<(), Error> {
    let path = folder.join(CHECKSUMS);
    let Ok(listing) = fs::read_to_string(&path) else {
        return Ok(());
    };
    let mut lines = String::new();
    for (name, sum) in parse_checksums(&listing)? {
        if present.contains_key(&name) {
            lines += &line(&sum, &name);
        }
    }
    fs::write(&path, lines).map_err(|source| Error::Io { path, source })
}

/// The files of a folder by name, with their sizes, without the listing.
fn files_in(folder: &Path) -> Result<BTreeMap<String, u64>, Error> {
    let mut names: Vec<String> = FILES.iter().map(|name| (*name).to_owned()).collect();
    names.extend(weight_files(folder)?);
    Ok(names
        .into_iter()
        .filter_map(|name| {
            let file = fs::metadata(folder.join(&name)).ok()?;
            file.is_file().then_some((name, file.len()))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_come_from_the_end_of_the_source() {
        for source in [
            "/models/all-MiniLM-L6-v2",
            "/models/all-MiniLM-L6-v2/",
            "file:///models/all-MiniLM-L6-v2",
            "https://host/org/all-MiniLM-L6-v2/resolve/main/",
            "https://host/all-MiniLM-L6-v2?x=1",
        ] {
            assert_eq!(id_of(source), "all-MiniLM-L6-v2", "{source}");
        }
    }
}
