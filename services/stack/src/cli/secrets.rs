//! `touchstone secrets init`: makes the secrets of a deployment, and never a second time.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;

use super::args::{SecretsArgs, SecretsCommand, SecretsInitArgs};
use super::out::Out;
use crate::secrets;

/// What a new `.env` begins with: every variable, commented.
const REFERENCE: &str = include_str!("../../../../.env.example");
/// User and group of the container image.
const CONTAINER_ID: u32 = 10_001;

pub(crate) fn run(args: &SecretsArgs, out: Out) -> anyhow::Result<ExitCode> {
    let SecretsCommand::Init(init) = &args.command;
    let made = if init.kubernetes {
        let values = complete(BTreeMap::new());
        out.piece(&secrets::kubernetes(&init.namespace, &values));
        return Ok(ExitCode::SUCCESS);
    } else if let Some(directory) = &init.directory {
        into_directory(directory, out)?
    } else {
        into_env(init)?
    };
    let place = init.directory.as_ref().unwrap_or(&init.file).display();
    if out.is_json() {
        out.value(&serde_json::json!({ "made": made, "place": place.to_string() }))?;
    } else if made.is_empty() {
        out.line(format!("{place} has every secret; nothing was changed"));
    } else {
        out.line(format!("made {} in {place}", made.join(", ")));
    }
    Ok(ExitCode::SUCCESS)
}

/// Every secret, those that are missing new, and the URLs made of them.
fn complete(mut values: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let own = |(name, value): (&str, String)| (name.to_owned(), value);
    values.extend(secrets::missing(&values).into_iter().map(own));
    values.extend(secrets::urls(&values).into_iter().map(own));
    values
}

/// Adds what is missing to the `.env` file, which nobody else may read from then on.
fn into_env(init: &SecretsInitArgs) -> anyhow::Result<Vec<&'static str>> {
    let shown = init.file.display();
    let (text, exists) = match std::fs::read_to_string(&init.file) {
        Ok(text) => (text, true),
        Err(error) if error.kind() == ErrorKind::NotFound => (REFERENCE.to_owned(), false),
        Err(error) => return Err(error).with_context(|| format!("cannot read `{shown}`")),
    };
    let missing = secrets::missing(&secrets::read_env(&text));
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let mut added = if exists { String::new() } else { text.clone() };
    if !text.ends_with('\n') && !text.is_empty() {
        added.push('\n');
    }
    added.push_str("\n# Made by `touchstone secrets init`.\n");
    for (name, value) in &missing {
        added.extend([name, "=", value, "\n"]);
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    let mut file = private(&mut options)
        .open(&init.file)
        .with_context(|| format!("cannot write `{shown}`"))?;
    restrict(&file, 0o600)?;
    file.write_all(added.as_bytes())?;
    file.sync_all()?;
    Ok(missing.into_iter().map(|(name, _)| name).collect())
}

/// Writes a file per secret; those that are there stay.
fn into_directory(directory: &Path, out: Out) -> anyhow::Result<Vec<&'static str>> {
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot make `{}`", directory.display()))?;
    let mut known = BTreeMap::new();
    for (name, _) in secrets::SECRETS {
        let path = directory.join(secrets::file_name(name));
        match std::fs::read_to_string(&path) {
            Ok(value) => known.insert(name.to_owned(), value.trim_end().to_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read `{}`", path.display()));
            }
        };
    }
    let mut made = Vec::new();
    let mut foreign = false;
    let missing = secrets::missing(&known);
    known.extend(
        missing
            .iter()
            .map(|(name, value)| ((*name).to_owned(), value.clone())),
    );
    for (name, value) in missing.into_iter().chain(secrets::urls(&known)) {
        let path = directory.join(secrets::file_name(name));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        let mut file = match private(&mut options).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => continue,
            Err(error) => {
                return Err(error).with_context(|| format!("cannot write `{}`", path.display()));
            }
        };
        file.write_all(value.as_bytes())?;
        file.sync_all()?;
        foreign |= hand_to_containers(&file).is_err();
        made.push(name);
    }
    if foreign {
        out.note(format!(
            "only root can hand the files to the containers' group: \
             sudo chgrp -R {CONTAINER_ID} {0} && sudo chown -R root {0} && sudo chmod 0440 {0}/*",
            directory.display()
        ));
    }
    Ok(made)
}

/// Root's, readable by the group that the containers run with.
fn hand_to_containers(file: &std::fs::File) -> std::io::Result<()> {
    #[cfg(unix)]
    std::os::unix::fs::fchown(file, Some(0), Some(CONTAINER_ID))?;
    restrict(file, 0o440)
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600)
}

#[cfg(unix)]
fn restrict(file: &std::fs::File, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

#[cfg(not(unix))]
fn restrict(_: &std::fs::File, _: u32) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use touchstone_config::read_secret;

    fn init(file: &Path) -> SecretsInitArgs {
        SecretsInitArgs {
            file: file.to_owned(),
            directory: None,
            kubernetes: false,
            namespace: "rag-system".into(),
        }
    }

    #[test]
    fn a_second_run_changes_nothing_and_what_is_set_stays() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(".env");
        std::fs::write(&file, "SERVICE_KEY=kept\nHOST=::1").unwrap();
        let made = into_env(&init(&file)).unwrap();
        assert!(!made.contains(&"SERVICE_KEY") && made.contains(&"POSTGRES_PASSWORD"));
        let text = std::fs::read_to_string(&file).unwrap();
        let values = secrets::read_env(&text);
        assert_eq!(
            (values["SERVICE_KEY"].as_str(), values["HOST"].as_str()),
            ("kept", "::1")
        );
        assert!(touchstone_config::exposed(&std::fs::metadata(&file).unwrap()).is_none());
        assert_eq!(into_env(&init(&file)).unwrap(), Vec::<&str>::new());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
    }

    #[test]
    fn a_new_file_begins_with_the_reference() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join(".env");
        assert_eq!(
            into_env(&init(&file)).unwrap().len(),
            secrets::SECRETS.len()
        );
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with(REFERENCE));
        assert_eq!(text.matches("\nPOSTGRES_PASSWORD=").count(), 1);
    }

    #[test]
    fn files_can_be_read_as_secrets_and_stay() {
        let directory = tempfile::tempdir().unwrap();
        let directory = directory.path().join("secrets");
        let out = Out::new(false);
        let made = into_directory(&directory, out).unwrap();
        assert!(made.contains(&"SERVICE_KEY") && made.contains(&"DATABASE_URL"));
        let read = |name: &str| read_secret(&directory.join(name)).unwrap();
        let password = read("postgres_password");
        assert!(read("database_url").expose().contains(password.expose()));
        assert_eq!(into_directory(&directory, out).unwrap(), Vec::<&str>::new());
        assert_eq!(read("postgres_password").expose(), password.expose());
    }

    #[test]
    fn the_kubernetes_object_has_a_key_per_file() {
        let text = secrets::kubernetes("rag-system", &complete(BTreeMap::new()));
        for (name, _) in secrets::SECRETS {
            assert!(text.contains(&format!("\n  {}: \"", secrets::file_name(name))));
        }
        assert!(text.contains("\n  database_url: \"postgres://touchstone:"));
    }
}
