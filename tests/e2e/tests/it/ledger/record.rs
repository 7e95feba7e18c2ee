//! What the client was told, kept outside of the system under test.

use std::collections::HashSet;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Mutex, MutexGuard};
use std::time::Instant;

use serde_json::json;

/// What an answer says of the effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// 2xx: must be there.
    Ok,
    /// 4xx: must not be there.
    Fail,
    /// Time-out, 5xx, lost connection: once or not at all.
    Info,
}

/// One answer, or its absence. An operation that is repeated has several with the same key.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub sha256: String,
    pub class: Class,
    pub id: Option<String>,
}

/// An append-only file, on disk before the client goes on.
pub struct Ledger {
    started: Instant,
    file: Mutex<File>,
    entries: Mutex<Vec<Entry>>,
}

impl Ledger {
    pub fn create(path: &Path) -> Self {
        Self {
            started: Instant::now(),
            file: Mutex::new(File::create(path).unwrap()),
            entries: Mutex::default(),
        }
    }

    /// Appends an entry; `begun` is when the request was sent.
    pub fn append(&self, begun: Instant, entry: Entry) {
        let line = json!({
            "key": entry.key,
            "sha256": entry.sha256,
            "class": format!("{:?}", entry.class).to_lowercase(),
            "id": entry.id,
            "t0_ms": begun.duration_since(self.started).as_millis(),
            "t1_ms": self.started.elapsed().as_millis(),
        });
        {
            let mut file = self.file.lock().unwrap();
            writeln!(file, "{line}").unwrap();
            file.sync_data().unwrap();
        }
        self.entries().push(entry);
    }

    pub fn entries(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.entries.lock().unwrap()
    }

    /// Operations whose first end was not known, and which were accepted in the end.
    pub fn repeated(&self) -> usize {
        let entries = self.entries();
        let of = |class| {
            let keys = entries.iter().filter(move |entry| entry.class == class);
            keys.map(|entry| entry.key.as_str()).collect::<HashSet<_>>()
        };
        of(Class::Info).intersection(&of(Class::Ok)).count()
    }

    pub fn count(&self, class: Class) -> usize {
        let entries = self.entries();
        entries.iter().filter(|entry| entry.class == class).count()
    }
}
