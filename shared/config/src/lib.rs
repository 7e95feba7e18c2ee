//! Layered configuration with every mistake reported at once.
//!
//! Each service owns one [`Section`]: a plain `serde` struct and a commented `config.default.toml`
//! that is compiled in and is the reference. Values come, later beating earlier, from
//!
//! 1. the compiled-in defaults,
//! 2. a TOML file with one table per section,
//! 3. the plain names of `.env.example` ([`Section::PLAIN`]); `<NAME>_FILE` names a file that holds
//!    the value instead (see [`read_secret`]),
//! 4. `TOUCHSTONE_<SECTION>__A__B`,
//! 5. the command line (`section.a.b=value`).
//!
//! This is the only crate that reads the environment.

pub mod credentials;
mod env;
mod loader;
mod secret;
mod secret_file;

pub use env::{process_environment, variable};
pub use loader::{Error, Loader};
pub use secret::Secret;
pub use secret_file::{SecretFileError, exposed, read_secret};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A service's part of the configuration.
pub trait Section: Serialize + DeserializeOwned {
    /// Name of its table in the file and of its environment prefix.
    const NAME: &'static str;
    /// Every key with its default, commented; without the table's header.
    const DEFAULTS: &'static str;
    /// Plain environment names and the dotted keys that they set.
    const PLAIN: &'static [(&'static str, &'static str)] = &[];

    /// Reports every rule that the values break.
    fn validate(&self, problems: &mut Problems) {
        let _ = problems;
    }
}

/// The compiled-in defaults of a section.
///
/// # Panics
/// When the defaults do not parse or break their own rules; a test of every service calls this.
#[expect(
    clippy::panic,
    reason = "compiled-in text that a test of every section parses"
)]
pub fn defaults<S: Section>() -> S {
    Loader::new()
        .section::<S>()
        .unwrap_or_else(|error| panic!("defaults of `{}`: {error}", S::NAME))
}

/// Mistakes, collected so that all are told at once.
#[derive(Debug, Default)]
pub struct Problems {
    section: &'static str,
    found: Vec<String>,
}

impl Problems {
    /// No problems yet in `section`.
    pub const fn new(section: &'static str) -> Self {
        Self {
            section,
            found: Vec::new(),
        }
    }

    /// Adds a problem with `key` unless `holds`.
    pub fn check(&mut self, holds: bool, key: &str, message: &str) {
        if !holds {
            self.add(key, message);
        }
    }

    /// Adds a problem with `key`.
    pub fn add(&mut self, key: &str, message: impl AsRef<str>) {
        let (section, message) = (self.section, message.as_ref());
        self.found.push(format!("`{section}.{key}`: {message}"));
    }

    /// What was found.
    pub fn into_found(self) -> Vec<String> {
        self.found
    }
}
