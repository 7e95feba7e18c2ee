//! What a simulated world holds, as a file says it.

use std::collections::BTreeMap;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::objects::DC;

/// A scenario: everything that the simulator does follows from it and from what it is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// The same seed makes the same world, bit by bit.
    pub seed: u64,
    /// Date of the newest post at the start.
    pub now: DateTime<Utc>,
    /// Channels made up besides the listed ones.
    pub channels: u16,
    /// Posts of each of those, roughly.
    pub posts: u32,
    /// Whether answers over 512 bytes are compressed, as Telegram does.
    pub gzip: bool,
    /// Secret of the MTProto proxy that the simulator also is: 32 hexadecimal digits.
    pub proxy_secret: Option<String>,
    /// Numbers of further data centres: those and number 2 share the media among them.
    pub elsewhere: Vec<i32>,
    /// Numbers of users that can log in; the first is who the printed session belongs to.
    pub users: u16,
    /// Channels with a name of their own.
    pub channel: Vec<ChannelScenario>,
    /// Limits per method, e.g. `messages.getHistory`; `*` is every method.
    pub limits: BTreeMap<String, Limit>,
    /// When a difference of a channel is refused as too long.
    pub too_long: TooLong,
}

/// A listed channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ChannelScenario {
    /// Public name; none makes the channel private.
    #[serde(default)]
    pub username: Option<String>,
    /// Title.
    pub title: String,
    /// `en` or `ru`.
    #[serde(default)]
    pub language: Language,
    /// Highest message number at the start.
    #[serde(default = "some_posts")]
    pub posts: u32,
    /// Whether members write, not only the channel.
    #[serde(default)]
    pub group: bool,
    /// What follows `t.me/+` in its invite link.
    #[serde(default)]
    pub invite: Option<String>,
    /// Whether the first user has joined it.
    #[serde(default)]
    pub joined: bool,
}

/// Language of a channel's posts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Russian.
    Ru,
}

/// A token bucket that clients are not told about.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Calls per second.
    pub rate: f64,
    /// Calls at once.
    pub burst: f64,
    /// Seconds of the first FLOOD_WAIT.
    #[serde(default = "one")]
    pub wait: u32,
    /// Factor of each further one while the client goes on.
    #[serde(default = "double")]
    pub escalation: f64,
}

/// When `updates.getChannelDifference` answers `channelDifferenceTooLong`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "policy", rename_all = "snake_case", deny_unknown_fields)]
pub enum TooLong {
    /// When the client is more than its `limit` behind (as the documentation once said).
    Limit,
    /// When the client is more than so many changes behind.
    Behind {
        /// Changes.
        changes: i32,
    },
}

/// The scenario cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ScenarioError {
    /// The file cannot be read.
    #[error("the scenario `{path}` cannot be read")]
    Read {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not a scenario.
    #[error("`{path}` is not a scenario: {detail}")]
    Parse {
        /// The file.
        path: String,
        /// Where and why.
        detail: String,
    },
    /// A value is out of range.
    #[error("{0}")]
    Value(String),
}

impl Default for Scenario {
    fn default() -> Self {
        let durov = ChannelScenario {
            username: Some("durov".into()),
            title: "Pavel Durov".into(),
            language: Language::En,
            posts: 468,
            group: false,
            invite: None,
            joined: false,
        };
        Self {
            seed: 42,
            now: DateTime::from_timestamp(1_769_889_600, 0).unwrap_or_default(),
            channels: 36,
            posts: 240,
            gzip: true,
            proxy_secret: None,
            elsewhere: Vec::new(),
            users: 3,
            channel: vec![durov],
            limits: BTreeMap::new(),
            too_long: TooLong::Behind { changes: 100_000 },
        }
    }
}

impl Scenario {
    /// Reads a scenario from a TOML file.
    ///
    /// # Errors
    /// [`ScenarioError`], naming the file and the place in it.
    pub fn read(path: &Path) -> Result<Self, ScenarioError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|source| ScenarioError::Read {
            path: name.clone(),
            source,
        })?;
        let scenario: Self = toml::from_str(&text).map_err(|error| ScenarioError::Parse {
            path: name,
            detail: error.to_string(),
        })?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Checks what types cannot.
    ///
    /// # Errors
    /// [`ScenarioError::Value`] that names the first wrong value.
    pub fn check(&self) -> Result<(), ScenarioError> {
        let wrong = |text: String| Err(ScenarioError::Value(text));
        if self.users == 0 {
            return wrong("`users` must be at least 1".into());
        }
        if let Some(secret) = &self.proxy_secret
            && (secret.len() != 32 || !secret.bytes().all(|byte| byte.is_ascii_hexdigit()))
        {
            return wrong("`proxy_secret` must be 32 hexadecimal digits".into());
        }
        for (at, dc) in self.elsewhere.iter().enumerate() {
            let known = *dc == DC || self.elsewhere[..at].contains(dc);
            if known || !(1..=99).contains(dc) {
                return wrong(format!(
                    "`elsewhere`: {dc} is no number of a further data centre"
                ));
            }
        }
        for (method, limit) in &self.limits {
            if !(limit.rate > 0.0 && limit.burst >= 1.0 && limit.escalation >= 1.0) {
                return wrong(format!(
                    "`limits.{method}`: rate must be positive, burst and escalation at least 1"
                ));
            }
        }
        let mut names: Vec<_> = self
            .channel
            .iter()
            .filter_map(|c| c.username.as_deref())
            .collect();
        names.sort_unstable();
        match names
            .windows(2)
            .find(|pair| pair[0].eq_ignore_ascii_case(pair[1]))
        {
            Some(pair) => wrong(format!("two channels are called `{}`", pair[0])),
            None => Ok(()),
        }
    }
}

fn some_posts() -> u32 {
    240
}

fn one() -> u32 {
    1
}

fn double() -> f64 {
    2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_says_only_what_differs() {
        let scenario: Scenario = toml::from_str(
            "seed = 7\n[[channel]]\nusername = 'news'\ntitle = 'News'\nlanguage = 'ru'\n\
             [limits.\"messages.getHistory\"]\nrate = 2.0\nburst = 5\n\
             [too_long]\npolicy = 'behind'\nchanges = 30\n",
        )
        .unwrap();
        assert_eq!(scenario.seed, 7);
        assert_eq!(scenario.channel[0].language, Language::Ru);
        assert_eq!(scenario.limits["messages.getHistory"].wait, 1);
        assert_eq!(scenario.too_long, TooLong::Behind { changes: 30 });
        scenario.check().unwrap();
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "sed = 7").unwrap();
        let error = Scenario::read(file.path()).unwrap_err().to_string();
        assert!(error.contains("sed"), "{error}");
        let scenario = Scenario {
            proxy_secret: Some("xyz".into()),
            ..Scenario::default()
        };
        assert!(scenario.check().is_err());
        for elsewhere in [vec![DC], vec![4, 4], vec![0], vec![-4]] {
            let scenario = Scenario {
                elsewhere,
                ..Scenario::default()
            };
            assert!(scenario.check().is_err());
        }
    }
}
