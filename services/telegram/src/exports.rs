//! The folder of exports: files appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use touchstone_api::telegram::{ExportFile, ExportFiles, Post};

use crate::domain::export::{self, Json, Text};

/// The folder.
#[derive(Debug, Clone)]
pub struct Exports(PathBuf);

/// An export that is being written. Dropping it removes what was written so far.
///
/// The number of posts stands before them and is known only at the end, so the posts go to two
/// temporary files, and the whole files are put together from these.
#[derive(Debug)]
pub struct Export {
    folder: PathBuf,
    channel: String,
    at: DateTime<Utc>,
    json: Part,
    text: Part,
    total: usize,
    buffer: String,
}

#[derive(Debug)]
struct Part {
    name: String,
    body: BufWriter<File>,
    temporary: tempfile::TempPath,
}

impl Exports {
    /// Opens the folder, making it if need be.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn open(folder: impl Into<PathBuf>) -> io::Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    /// Begins an export of a channel's posts.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn begin(&self, channel: &str, at: DateTime<Utc>) -> io::Result<Export> {
        let ExportFiles { json, txt } = export::names(channel, at);
        Ok(Export {
            json: self.part(json)?,
            text: self.part(txt)?,
            folder: self.0.clone(),
            channel: channel.to_owned(),
            at,
            total: 0,
            buffer: String::new(),
        })
    }

    fn part(&self, name: String) -> io::Result<Part> {
        let (file, temporary) = tempfile::Builder::new()
            .prefix(".part-")
            .tempfile_in(&self.0)?
            .into_parts();
        Ok(Part {
            name,
            body: BufWriter::with_capacity(1 << 18, file),
            temporary,
        })
    }

    /// The exports, newest first.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn list(&self) -> io::Result<Vec<ExportFile>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| export::is_ours(name)) else {
                continue;
            };
            let Ok(facts) = entry.metadata() else {
                // It was removed in between.
                continue;
            };
            if !facts.is_file() {
                continue;
            }
            let created: DateTime<Utc> = facts.modified()?.into();
            files.push(ExportFile {
                filename: name.to_owned(),
                size: facts.len(),
                created: created.to_rfc3339_opts(SecondsFormat::Secs, false),
            });
        }
        files.sort_by(|a, b| (&b.created, &b.filename).cmp(&(&a.created, &a.filename)));
        Ok(files)
    }

    /// Opens an export; `None` when the name is not one of ours or there is no such file. Links are
    /// not followed.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn read(&self, name: &str) -> io::Result<Option<(File, u64)>> {
        if !export::is_ours(name) {
            return Ok(None);
        }
        let path = self.0.join(name);
        match fs::symlink_metadata(&path) {
            Ok(facts) if facts.is_file() => Ok(Some((File::open(&path)?, facts.len()))),
            Ok(_) => Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl Export {
    /// Appends posts.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn push(&mut self, posts: &[Post]) -> io::Result<()> {
        for post in posts {
            self.buffer.clear();
            Json::post(post, self.total == 0, &mut self.buffer);
            self.json.body.write_all(self.buffer.as_bytes())?;
            self.buffer.clear();
            Text::post(post, &mut self.buffer);
            self.text.body.write_all(self.buffer.as_bytes())?;
            self.total += 1;
        }
        Ok(())
    }

    /// Puts the files together and lets them appear under their names.
    ///
    /// # Errors
    /// Those of the file system; then no file appears.
    pub fn finish(self) -> io::Result<ExportFiles> {
        let (head, tail) = (
            Json::head(&self.channel, self.at, self.total),
            Json::tail(self.total == 0),
        );
        let text = Text::head(&self.channel, self.at, self.total);
        let json = whole(&self.folder, self.json, &head, tail)?;
        let txt = whole(&self.folder, self.text, &text, "")?;
        let files = ExportFiles {
            json: appear(&self.folder, json)?,
            txt: appear(&self.folder, txt)?,
        };
        // The names are part of the folder.
        File::open(&self.folder)?.sync_all()?;
        Ok(files)
    }
}

/// A whole file under a temporary name, on the disk.
fn whole(
    folder: &Path,
    part: Part,
    head: &str,
    tail: &str,
) -> io::Result<(String, tempfile::NamedTempFile)> {
    part.body
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    let mut body = File::open(&part.temporary)?;
    let mut file = tempfile::Builder::new()
        .prefix(".part-")
        .tempfile_in(folder)?;
    file.write_all(head.as_bytes())?;
    io::copy(&mut body, file.as_file_mut())?;
    file.write_all(tail.as_bytes())?;
    file.as_file().sync_all()?;
    Ok((part.name, file))
}

/// Renames a file to its name; one of the same second is not overwritten but numbered.
fn appear(folder: &Path, (name, file): (String, tempfile::NamedTempFile)) -> io::Result<String> {
    let (stem, ending) = name.rsplit_once('.').unwrap_or((&name, ""));
    let mut file = file;
    for number in 1..1_000_u32 {
        let name = match number {
            1 => name.clone(),
            _ => format!("{stem}_{number}.{ending}"),
        };
        match file.persist_noclobber(folder.join(&name)) {
            Ok(_) => return Ok(name),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => file = error.file,
            Err(error) => return Err(error.error),
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> DateTime<Utc> {
        "2026-01-31T20:05:13Z".parse().unwrap()
    }

    #[test]
    fn an_export_that_is_dropped_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::open(folder.path()).unwrap();
        drop(exports.begin("durov", at()).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn exports_of_one_second_do_not_overwrite_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::open(folder.path()).unwrap();
        let first = exports.begin("durov", at()).unwrap().finish().unwrap();
        let second = exports.begin("durov", at()).unwrap().finish().unwrap();
        assert_eq!(first.json, "telegram_posts_durov_20260131_200513.json");
        assert_eq!(second.json, "telegram_posts_durov_20260131_200513_2.json");
        assert_eq!(exports.list().unwrap().len(), 4);
        assert_eq!(
            fs::read_dir(folder.path()).unwrap().count(),
            4,
            "no temporary files"
        );
    }

    #[test]
    fn only_our_own_files_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::open(folder.path().join("exports")).unwrap();
        fs::write(folder.path().join("telegram_posts_a.json"), "secret").unwrap();
        std::os::unix::fs::symlink(
            folder.path().join("telegram_posts_a.json"),
            folder.path().join("exports/telegram_posts_b.json"),
        )
        .unwrap();
        for name in [
            "../telegram_posts_a.json",
            "telegram_posts_b.json",
            "telegram_posts_c.json",
        ] {
            assert!(exports.read(name).unwrap().is_none(), "{name}");
        }
        assert!(exports.list().unwrap().is_empty());
    }
}
