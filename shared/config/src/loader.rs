use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use figment::providers::{Format, Serialized, Toml};
use figment::value::Value;
use figment::{Figment, Profile};

use crate::{Problems, Section, read_secret};

/// Prefix of the structured environment names.
const PREFIX: &str = "TOUCHSTONE_";
/// Ending of the plain names whose value is a path to a file with the value.
const FILE_SUFFIX: &str = "_FILE";

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    /// One line per mistake.
    pub problems: Vec<String>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the configuration has {} mistake(s)",
            self.problems.len()
        )?;
        self.problems
            .iter()
            .try_for_each(|problem| write!(f, "\n  - {problem}"))
    }
}

/// Collects the layers and reads sections out of them.
#[derive(Clone, Debug, Default)]
pub struct Loader {
    file: Option<(PathBuf, toml::Table)>,
    environment: BTreeMap<String, String>,
    overrides: Vec<(String, String)>,
}

impl Loader {
    /// Only the compiled-in defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file with one table per section.
    pub fn file(mut self, path: &Path) -> Result<Self, Error> {
        let one = |problem: String| Error {
            problems: vec![problem],
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| one(format!("cannot read `{}`: {error}", path.display())))?;
        let table = text
            .parse::<toml::Table>()
            .map_err(|error| one(format!("`{}` is not TOML: {error}", path.display())))?;
        self.file = Some((path.to_owned(), table));
        Ok(self)
    }

    /// Adds environment variables (see [`crate::process_environment`]).
    pub fn environment(mut self, variables: BTreeMap<String, String>) -> Self {
        self.environment = variables;
        self
    }

    /// Adds a value from the command line; `key` is `section.a.b`.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.overrides.push((key.into(), value.into()));
        self
    }

    /// Names the tables of the file and the structured variables that belong to none of `known`.
    pub fn unknown_sections(&self, known: &[&str]) -> Vec<String> {
        let tables = self.file.iter().flat_map(|(path, table)| {
            table
                .keys()
                .filter(|name| !known.contains(&name.as_str()))
                .map(move |name| format!("`{}`: unknown section `{name}`", path.display()))
        });
        let variables = self.environment.keys().filter_map(|name| {
            let section = name
                .strip_prefix(PREFIX)?
                .split_once("__")?
                .0
                .to_lowercase();
            (!known.contains(&section.as_str()))
                .then(|| format!("`{name}`: unknown section `{section}`"))
        });
        let overrides = self.overrides.iter().filter_map(|(key, _)| {
            let section = key.split('.').next().unwrap_or_default();
            (!known.contains(&section)).then(|| format!("`{key}`: unknown section `{section}`"))
        });
        tables.chain(variables).chain(overrides).collect()
    }

    /// Reads a section; all of its mistakes at once.
    pub fn section<S: Section>(&self) -> Result<S, Error> {
        let mut figment = Figment::from(Toml::string(S::DEFAULTS).profile(Profile::Default));
        let mut problems = Vec::new();
        if let Some((path, table)) = &self.file
            && let Some(section) = table.get(S::NAME)
        {
            match section {
                toml::Value::Table(section) => {
                    figment = figment.merge(Serialized::from(section, Profile::Default));
                }
                _ => problems.push(format!(
                    "`{}`: `{}` must be a table",
                    path.display(),
                    S::NAME
                )),
            }
        }
        for (key, value) in self.values_of::<S>(&mut problems) {
            figment = figment.merge((key, value));
        }
        match figment.extract::<S>() {
            Ok(section) => {
                let mut found = Problems::new(S::NAME);
                section.validate(&mut found);
                problems.extend(found.into_found());
                if problems.is_empty() {
                    Ok(section)
                } else {
                    Err(Error { problems })
                }
            }
            Err(errors) => {
                problems.extend(errors.into_iter().map(|error| describe(S::NAME, &error)));
                Err(Error { problems })
            }
        }
    }

    /// Dotted keys inside the section with their values, weakest first.
    fn values_of<S: Section>(&self, problems: &mut Vec<String>) -> Vec<(String, Value)> {
        let mut values = Vec::new();
        for (name, key) in S::PLAIN {
            match self.plain(name) {
                Ok(value) => values.extend(value.map(|value| ((*key).to_owned(), value))),
                Err(problem) => problems.push(problem),
            }
        }
        let prefix = format!("{PREFIX}{}__", S::NAME.to_uppercase());
        let structured = self.environment.iter().filter_map(|(name, value)| {
            let key = name
                .strip_prefix(&prefix)?
                .to_lowercase()
                .replace("__", ".");
            Some((key, parse(value)))
        });
        let dotted = format!("{}.", S::NAME);
        let overrides = self
            .overrides
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(&dotted)?.to_owned(), parse(value))));
        values.extend(structured.chain(overrides));
        values
    }

    /// The value of a plain name, or what stands in the file that `<NAME>_FILE` names.
    fn plain(&self, name: &str) -> Result<Option<Value>, String> {
        let variable = |name: &str| self.environment.get(name).filter(|value| !value.is_empty());
        let file = format!("{name}{FILE_SUFFIX}");
        match (variable(name), variable(&file)) {
            (None, None) => Ok(None),
            (Some(value), None) => Ok(Some(parse(value))),
            (Some(_), Some(_)) => Err(format!("`{name}` and `{file}`: set one of them")),
            // A secret of digits is a text all the same.
            (None, Some(path)) => read_secret(Path::new(path))
                .map(|secret| Some(Value::from(secret.expose())))
                .map_err(|error| format!("`{file}`: {error}")),
        }
    }
}

/// Reads numbers, booleans, lists and tables as what they are, anything else as a string.
fn parse(text: &str) -> Value {
    let literal = text.starts_with(['[', '{', '"', '\''])
        || matches!(text, "true" | "false")
        || text.parse::<i64>().is_ok()
        || text.parse::<f64>().is_ok_and(f64::is_finite);
    if literal
        && let Ok(mut table) = format!("v = {text}").parse::<toml::Table>()
        && let Some(value) = table.remove("v")
        && let Ok(value) = Value::serialize(value)
    {
        return value;
    }
    Value::from(text)
}

/// One line for one mistake, without the value, which may be a secret.
fn describe(section: &str, error: &figment::Error) -> String {
    use figment::error::Kind;
    let path = error.path.join(".");
    let key = if path.is_empty() {
        section.to_owned()
    } else {
        format!("{section}.{path}")
    };
    match &error.kind {
        Kind::MissingField(field) => format!("`{section}.{field}`: is missing"),
        Kind::UnknownField(field, known) => {
            format!(
                "`{key}`: unknown key `{field}`, expected one of {}",
                known.join(", ")
            )
        }
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            format!("`{key}`: expected {}", plain(expected))
        }
        Kind::UnknownVariant(_, known) => format!("`{key}`: expected one of {}", known.join(", ")),
        other => format!("`{key}`: {other}"),
    }
}

/// The name of a type in the words of somebody who writes a configuration.
fn plain(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        "f32" | "f64" => "a number",
        "bool" | "a boolean" => "true or false",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Secret;
    use serde::{Deserialize, Serialize};
    use std::time::Duration;

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        limit: u32,
        #[serde(with = "humantime_serde")]
        timeout: Duration,
        size: bytesize::ByteSize,
        key: Secret,
        inner: Inner,
    }

    #[derive(Debug, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        names: Vec<String>,
    }

    impl Section for Sample {
        const NAME: &'static str = "sample";
        const DEFAULTS: &'static str =
            "limit = 3\ntimeout = \"2s\"\nsize = \"4 MiB\"\nkey = \"\"\n[inner]\nnames = [\"a\"]";
        const PLAIN: &'static [(&'static str, &'static str)] = &[("SAMPLE_KEY", "key")];
        fn validate(&self, problems: &mut Problems) {
            problems.check(self.limit > 0, "limit", "must be positive");
            problems.check(
                self.timeout < Duration::from_mins(1),
                "timeout",
                "must be under 60s",
            );
        }
    }

    fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    #[test]
    fn later_layers_win() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("touchstone.toml");
        std::fs::write(
            &path,
            "[sample]\nlimit = 5\n[sample.inner]\nnames = [\"file\"]",
        )
        .unwrap();
        let loader = Loader::new()
            .file(&path)
            .unwrap()
            .environment(env(&[
                ("SAMPLE_KEY", "plain"),
                ("TOUCHSTONE_SAMPLE__LIMIT", "7"),
                ("TOUCHSTONE_SAMPLE__INNER__NAMES", "[\"x\", \"y\"]"),
            ]))
            .set("sample.limit", "9");
        let sample: Sample = loader.section().unwrap();
        assert_eq!((sample.limit, sample.key.expose()), (9, "plain"));
        assert_eq!(sample.inner.names, ["x", "y"]);
        assert_eq!(sample.size.as_u64(), 4 << 20);
    }

    #[test]
    fn reports_every_broken_rule_at_once() {
        let loader = Loader::new()
            .set("sample.limit", "0")
            .set("sample.timeout", "2m");
        let error = loader.section::<Sample>().unwrap_err();
        assert_eq!(
            error.problems,
            [
                "`sample.limit`: must be positive",
                "`sample.timeout`: must be under 60s"
            ]
        );
    }

    #[test]
    fn never_echoes_a_value_and_names_the_key() {
        let loader = Loader::new().set("sample.limit", "hunter2");
        let text = loader.section::<Sample>().unwrap_err().to_string();
        assert!(
            text.contains("sample.limit") && !text.contains("hunter2"),
            "{text}"
        );
    }

    #[test]
    fn refuses_unknown_keys_and_sections() {
        let loader = Loader::new()
            .set("sample.limmit", "1")
            .set("smaple.limit", "1");
        assert!(
            loader
                .section::<Sample>()
                .unwrap_err()
                .to_string()
                .contains("limmit")
        );
        assert_eq!(
            loader.unknown_sections(&["sample"]),
            ["`smaple.limit`: unknown section `smaple`"]
        );
    }

    #[test]
    fn a_plain_name_may_stand_in_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        std::fs::write(&path, "123456789\n").unwrap();
        std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
        let file = path.to_str().unwrap();
        let loader = |pairs: &[(&str, &str)]| Loader::new().environment(env(pairs));
        let sample: Sample = loader(&[("SAMPLE_KEY_FILE", file)]).section().unwrap();
        assert_eq!(sample.key.expose(), "123456789");

        let both = loader(&[("SAMPLE_KEY_FILE", file), ("SAMPLE_KEY", "x")]);
        let problems = both.section::<Sample>().unwrap_err().problems;
        assert_eq!(
            problems,
            ["`SAMPLE_KEY` and `SAMPLE_KEY_FILE`: set one of them"]
        );

        let absent = loader(&[("SAMPLE_KEY_FILE", "/nowhere/key")]);
        let text = absent.section::<Sample>().unwrap_err().to_string();
        assert!(text.contains("`SAMPLE_KEY_FILE`: cannot read"), "{text}");
    }

    #[test]
    fn words_stay_strings_and_literals_become_values() {
        assert_eq!(parse("postgres://x"), Value::from("postgres://x"));
        assert_eq!(parse("true"), Value::from(true));
    }
}
