//! A server that belongs to whoever started it.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::kinds::{Kind, Recipe};
use crate::process::{self, Reaper};
use crate::{find, tree, volume};

/// Longest wait for a server to answer; machines that build something else are slow.
const PATIENCE: Duration = Duration::from_mins(2);
/// Other processes take ports, too.
const ATTEMPTS: u32 = 3;

/// Whether what a server acknowledged must be on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// As the server's own defaults have it.
    Durable,
    /// Good for tests that lose nothing but themselves.
    Fast,
}

/// A server of one test, with the faults that it can suffer; ends when dropped.
#[derive(Clone, Debug)]
pub struct Exclusive {
    kind: Kind,
    url: Arc<str>,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    recipe: Recipe,
    directory: PathBuf,
    process: Option<Child>,
    reaper: Reaper,
}

impl Exclusive {
    /// A PostgreSQL server; `None` after a line on standard error.
    pub async fn postgres() -> Option<Self> {
        Self::start(Kind::Postgres).await
    }

    /// A Redis server that keeps nothing on disk.
    pub async fn redis() -> Option<Self> {
        Self::start(Kind::Redis).await
    }

    /// A Kafka server, broker and controller in one.
    pub async fn kafka() -> Option<Self> {
        Self::start(Kind::Kafka).await
    }

    /// A Qdrant server.
    pub async fn qdrant() -> Option<Self> {
        Self::start(Kind::Qdrant).await
    }

    /// A ClickHouse server.
    pub async fn clickhouse() -> Option<Self> {
        Self::start(Kind::ClickHouse).await
    }

    /// A server of the kind; `None` after a line on standard error.
    ///
    /// # Panics
    /// When it is missing and `TOUCHSTONE_REQUIRE_SERVERS` lists it.
    pub async fn start(kind: Kind) -> Option<Self> {
        let start = move || Self::start_blocking(kind, Durability::Durable);
        match tokio::task::spawn_blocking(start).await {
            Ok(Ok(server)) => Some(server),
            Ok(Err(why)) => crate::missing(kind, &why),
            Err(error) => crate::missing(kind, &error),
        }
    }

    /// A server whose data is on a small file system of its own, which [`fill`](Self::fill) fills;
    /// `None` after a line on standard error, also where this process may mount nothing.
    ///
    /// # Panics
    /// When it is missing and `TOUCHSTONE_REQUIRE_SERVERS` lists it.
    pub async fn on_small_disk(kind: Kind) -> Option<Self> {
        let start = move || Self::start_on(kind, Durability::Durable, Some(volume::SIZE));
        match tokio::task::spawn_blocking(start).await {
            Ok(Ok(server)) => Some(server),
            Ok(Err(why)) if why.starts_with(volume::REFUSED) => {
                crate::say(&format!("SKIPPED: no small disk for {kind}: {why}"));
                None
            }
            Ok(Err(why)) => crate::missing(kind, &why),
            Err(error) => crate::missing(kind, &error),
        }
    }

    pub(crate) fn start_blocking(kind: Kind, durability: Durability) -> Result<Self, String> {
        Self::start_on(kind, durability, None)
    }

    fn start_on(kind: Kind, durability: Durability, size: Option<&str>) -> Result<Self, String> {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let recipe = Recipe::find(kind, durability)?;
            let image = recipe.container.is_some();
            if image && size.is_some() {
                return Err(format!("{}: it runs in a container", volume::REFUSED));
            }
            match Inner::start(recipe, size) {
                Ok(inner) => {
                    return Ok(Self {
                        kind,
                        url: inner.recipe.url.clone().into(),
                        inner: Arc::new(Mutex::new(inner)),
                    });
                }
                Err(why) => last = why,
            }
            // An image that cannot be had now cannot be had in a second.
            if image {
                break;
            }
        }
        Err(last)
    }

    /// Where it listens; the same after a restart.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// What it is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// `host:port`, for a proxy in front of it.
    pub fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.inner().recipe.port).into()
    }

    /// SIGKILL for the server and every process of its own; returns when they are gone.
    pub async fn kill(&self) {
        self.blocking(|inner| {
            inner.kill();
            Ok(())
        })
        .await;
    }

    /// SIGSTOP: connections stay open and nothing answers.
    pub async fn freeze(&self) {
        self.blocking(|inner| {
            inner.stop_or_continue("STOP");
            Ok(())
        })
        .await;
    }

    /// SIGCONT after [`freeze`](Self::freeze).
    pub async fn thaw(&self) {
        self.blocking(|inner| {
            inner.stop_or_continue("CONT");
            Ok(())
        })
        .await;
    }

    /// Starts it again with its data; kills it first if it runs. Returns when it answers.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn restart(&self) {
        self.blocking(|inner| {
            inner.kill();
            inner.run()
        })
        .await;
    }

    /// Leaves no room on its file system, which is one of [`on_small_disk`](Self::on_small_disk).
    ///
    /// # Panics
    /// When there is room left.
    pub async fn fill(&self) {
        self.blocking(|inner| volume::fill(&inner.directory)).await;
    }

    /// Takes back what [`fill`](Self::fill) did.
    ///
    /// # Panics
    /// When there was nothing to take back.
    pub async fn drain(&self) {
        self.blocking(|inner| volume::drain(&inner.directory)).await;
    }

    /// Takes its data away. Redis is flushed, the others start again empty.
    ///
    /// # Panics
    /// When it does not get ready.
    pub async fn wipe(&self) {
        self.blocking(Inner::wipe).await;
    }

    #[expect(clippy::panic, reason = "a fault that cannot be made fails the test")]
    async fn blocking(&self, work: impl FnOnce(&mut Inner) -> Result<(), String> + Send + 'static) {
        let server = self.clone();
        let done = tokio::task::spawn_blocking(move || work(&mut server.inner())).await;
        match done {
            Ok(Ok(())) => {}
            Ok(Err(why)) => panic!("{}: {why}", self.kind),
            Err(error) => panic!("{}: {error}", self.kind),
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn start(recipe: Recipe, size: Option<&str>) -> Result<Self, String> {
        let directory = tempfile::Builder::new()
            .prefix("touchstone-")
            .tempdir()
            .map_err(|error| format!("no temporary directory: {error}"))?
            .keep();
        let reaper = Reaper::new(&directory, recipe.container.as_deref())
            .map_err(|error| format!("no shell: {error}"))?;
        if let Some(size) = size {
            volume::mount(&directory, size)?;
        }
        let mut inner = Self {
            recipe,
            directory,
            process: None,
            reaper,
        };
        inner.prepare()?;
        inner.run()?;
        Ok(inner)
    }

    fn prepare(&self) -> Result<(), String> {
        let own = |path: &Path| match self.recipe.program.user {
            Some((user, group)) => std::os::unix::fs::chown(path, Some(user), Some(group)),
            None => Ok(()),
        };
        for (name, content) in &self.recipe.files {
            let path = self.directory.join(name);
            std::fs::write(
                &path,
                content.replace("{directory}", &self.directory.to_string_lossy()),
            )
            .and_then(|()| own(&path))
            .map_err(|error| error.to_string())?;
        }
        own(&self.directory).map_err(|error| error.to_string())?;
        for step in &self.recipe.prepare {
            step.run(&self.directory)?;
        }
        Ok(())
    }

    fn run(&mut self) -> Result<(), String> {
        let mut child = self.recipe.program.start(&self.directory)?;
        self.reaper.watch(&[child.id()]);
        let started = Instant::now();
        loop {
            if (self.recipe.answers)(self.recipe.port) {
                self.process = Some(child);
                return Ok(());
            }
            let ended = child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || started.elapsed() > PATIENCE {
                process::kill(&mut child);
                self.reaper.watch(&[]);
                let words = process::last_words(&self.directory);
                return Err(format!("does not get ready: {words}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.process.take() {
            if let Some(container) = &self.recipe.container {
                docker(&["kill", container]);
            }
            process::kill(&mut child);
            self.reaper.watch(&[]);
        }
    }

    fn stop_or_continue(&mut self, signal: &str) {
        let Some(child) = &self.process else {
            return;
        };
        if let Some(container) = &self.recipe.container {
            let verb = if signal == "STOP" { "pause" } else { "unpause" };
            docker(&[verb, container]);
            return;
        }
        let all = tree::of(child.id());
        // A stopped child does not notice that its parent died.
        self.reaper.watch(&all);
        tree::signal(signal, &all);
    }

    fn wipe(&mut self) -> Result<(), String> {
        if let Some(flush) = self.recipe.flush {
            return flush(self.recipe.port).map_err(|error| error.to_string());
        }
        self.kill();
        if let Some(container) = &self.recipe.container {
            docker(&["rm", "-f", container]);
        }
        for entry in std::fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten()
        {
            let path = entry.path();
            let gone = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            gone.map_err(|error| error.to_string())?;
        }
        self.prepare()?;
        self.run()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.kill();
    }
}

fn docker(arguments: &[&str]) {
    if find::docker() {
        let _ = std::process::Command::new("docker")
            .args(arguments)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .status();
    }
}
