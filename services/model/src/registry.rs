//! The known models and the state of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;
use touchstone_api::model::{Model, ModelRuntime, ModelStatus, ModelTask};

use crate::config::{Config, ModelConfig};
use crate::runtime::bert::folder::{NetworkConfig, looks_like_a_model, weight_bytes};
use crate::runtime::{Prefixes, Runtime, openai};

/// Length of the hash embedder's vectors unless configured.
const HASH_DIMENSION: usize = 256;
/// Longest id.
const ID_LIMIT: usize = 64;

/// Whether a text can be the id of a model, and so the name of a folder and a part of a path.
pub fn is_valid_id(id: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    id.len() <= ID_LIMIT
        && id.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && id.bytes().all(inner)
}

/// What is known of a model before it is loaded.
#[derive(Debug, Clone)]
pub struct Spec {
    /// Name.
    pub id: String,
    /// What it does.
    pub task: ModelTask,
    /// Where it comes from.
    pub origin: Origin,
    /// Whether it answers when none is named.
    pub active: bool,
    /// Whether it is loaded at start.
    pub auto_load: bool,
}

/// Where a model comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A folder.
    Folder {
        /// Which.
        path: PathBuf,
        /// Put before texts, instead of what the folder says.
        prefixes: Option<Prefixes>,
        /// Longest input, if shorter than the folder's.
        max_tokens: Option<usize>,
    },
    /// A server.
    Openai(openai::Settings),
    /// Feature hashing into so many buckets.
    Hash(usize),
}

impl Origin {
    /// Bytes of memory that loading will take, about.
    pub fn estimated_bytes(&self) -> u64 {
        match self {
            Self::Folder { path, .. } => weight_bytes(path),
            Self::Openai(_) | Self::Hash(_) => 0,
        }
    }
}

/// Whether a model is in memory.
#[derive(Debug, Clone)]
pub enum State {
    /// No.
    Unloaded,
    /// On its way; so many bytes are set aside for it.
    Loading(u64),
    /// Yes.
    Loaded(Arc<Runtime>),
    /// It could not be loaded.
    Failed(Arc<str>),
}

impl State {
    /// Bytes that it holds or has set aside.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Unloaded | Self::Failed(_) => 0,
            Self::Loading(bytes) => *bytes,
            Self::Loaded(runtime) => runtime.memory_bytes(),
        }
    }
}

/// One model.
#[derive(Debug)]
pub struct Entry {
    /// What is known of it.
    pub spec: Spec,
    /// Its state, to be waited for.
    pub state: watch::Sender<State>,
}

impl Entry {
    fn new(spec: Spec) -> Arc<Self> {
        Arc::new(Self {
            spec,
            state: watch::Sender::new(State::Unloaded),
        })
    }

    /// The wire form.
    pub fn describe(&self) -> Model {
        let state = self.state.borrow().clone();
        let (runtime, source) = match &self.spec.origin {
            Origin::Folder { path, .. } => (ModelRuntime::Candle, path.display().to_string()),
            Origin::Openai(settings) => (ModelRuntime::Openai, without_credentials(&settings.url)),
            Origin::Hash(_) => (ModelRuntime::Hash, "builtin".to_owned()),
        };
        let mut model = Model {
            id: self.spec.id.clone(),
            task: self.spec.task,
            runtime,
            source,
            status: ModelStatus::Unloaded,
            error: None,
            dimension: None,
            max_tokens: None,
            memory_bytes: 0,
            active: self.spec.active,
            lexical: runtime == ModelRuntime::Hash,
        };
        match state {
            State::Unloaded => {}
            State::Loading(_) => model.status = ModelStatus::Loading,
            State::Failed(reason) => {
                model.status = ModelStatus::Failed;
                model.error = Some(reason.to_string());
            }
            State::Loaded(runtime) => {
                model.status = ModelStatus::Loaded;
                model.dimension = runtime.dimension();
                model.max_tokens = runtime.max_tokens();
                model.memory_bytes = runtime.memory_bytes();
            }
        }
        model
    }
}

/// A URL without user and password.
fn without_credentials(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

/// All models, configured and found.
#[derive(Debug)]
pub struct Registry {
    directory: PathBuf,
    active: Option<String>,
    configured: BTreeSet<String>,
    entries: RwLock<BTreeMap<String, Arc<Entry>>>,
}

impl Registry {
    /// The configured models; [`Registry::scan`] adds those in the directory.
    pub fn new(config: &Config) -> Self {
        let active = config.active_id().map(str::to_owned);
        let entries: BTreeMap<_, _> = config
            .models
            .iter()
            .map(|model| {
                let is_active = active.as_deref() == Some(model.id.as_str());
                let spec = configured(model, &config.directory, is_active);
                (model.id.clone(), Entry::new(spec))
            })
            .collect();
        Self {
            directory: config.directory.clone(),
            configured: entries.keys().cloned().collect(),
            active,
            entries: RwLock::new(entries),
        }
    }

    /// Looks into the directory: new folders become known, vanished ones that are not loaded are
    /// forgotten. Reads the disk: call it from a blocking thread.
    pub fn scan(&self) {
        let found = self.folders();
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|id, entry| {
            let loose = matches!(*entry.state.borrow(), State::Unloaded | State::Failed(_));
            self.configured.contains(id) || found.contains_key(id) || !loose
        });
        for (id, (path, task)) in found {
            let active = self.active.as_deref() == Some(id.as_str());
            entries.entry(id.clone()).or_insert_with(|| {
                let origin = Origin::Folder {
                    path,
                    prefixes: None,
                    max_tokens: None,
                };
                Entry::new(Spec {
                    id,
                    task,
                    origin,
                    active,
                    auto_load: active,
                })
            });
        }
    }

    fn folders(&self) -> BTreeMap<String, (PathBuf, ModelTask)> {
        let Ok(listing) = fs::read_dir(&self.directory) else {
            return BTreeMap::new();
        };
        listing
            .filter_map(|folder| {
                let folder = folder.ok()?;
                let id = folder.file_name().into_string().ok()?;
                let path = folder.path();
                (is_valid_id(&id) && looks_like_a_model(&path))
                    .then(|| (id, (path.clone(), task_of(&path))))
            })
            .collect()
    }

    /// A model.
    pub fn get(&self, id: &str) -> Option<Arc<Entry>> {
        self.entries
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(id)
            .cloned()
    }

    /// Every model, by id.
    pub fn all(&self) -> Vec<Arc<Entry>> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.values().cloned().collect()
    }

    /// Memory of all loaded models and of those on their way.
    pub fn memory_bytes(&self) -> u64 {
        self.all()
            .iter()
            .map(|entry| entry.state.borrow().bytes())
            .sum()
    }

    /// Id of the active embedder.
    pub fn active(&self) -> Option<&str> {
        self.active.as_deref()
    }
}

/// What a folder's network does; a damaged one is an embedder until loading tells.
fn task_of(folder: &Path) -> ModelTask {
    NetworkConfig::read(folder).map_or(ModelTask::Embed, |config| config.task())
}

fn configured(model: &ModelConfig, directory: &Path, active: bool) -> Spec {
    let origin = match model.runtime {
        ModelRuntime::Candle => Origin::Folder {
            path: model
                .path
                .clone()
                .unwrap_or_else(|| directory.join(&model.id)),
            prefixes: model.prefixes.clone(),
            max_tokens: model.max_tokens,
        },
        ModelRuntime::Openai => Origin::Openai(openai::Settings {
            url: model.url.clone().unwrap_or_default(),
            key: model.key.clone(),
            model: model.model.clone().unwrap_or_else(|| model.id.clone()),
            dimension: model.dimension,
            timeout: model.timeout,
            prefixes: model.prefixes.clone().unwrap_or_default(),
        }),
        ModelRuntime::Hash => Origin::Hash(model.dimension.unwrap_or(HASH_DIMENSION)),
    };
    let task = match (&origin, model.task) {
        (_, Some(task)) => task,
        (Origin::Folder { path, .. }, None) => task_of(path),
        (_, None) => ModelTask::Embed,
    };
    Spec {
        id: model.id.clone(),
        task,
        origin,
        active,
        auto_load: active || model.auto_load,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_safe_names() {
        for id in ["a", "all-MiniLM-L6-v2", "x.y_z", "0"] {
            assert!(is_valid_id(id), "{id}");
        }
        let long = "x".repeat(ID_LIMIT + 1);
        for id in [
            "", ".", "..", ".hidden", "a/b", "a\\b", "a b", "é", "-x", &long,
        ] {
            assert!(!is_valid_id(id), "{id}");
        }
    }

    #[test]
    fn urls_are_shown_without_credentials() {
        assert_eq!(
            without_credentials("https://u:p@host/v1?a@b"),
            "https://host/v1?a@b"
        );
        assert_eq!(
            without_credentials("http://host/v1/@x"),
            "http://host/v1/@x"
        );
    }
}
