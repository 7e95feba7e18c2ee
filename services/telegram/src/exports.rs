//! The folder of exports: files appear whole or not at all.

use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use tempfile::TempPath;
use touchstone_api::telegram::{ExportFile, ExportFiles, Post};

use crate::domain::export::{self, Json, Text};

/// The folder.
#[derive(Debug, Clone)]
pub struct Exports(PathBuf);

/// An export that is being written. Dropping it removes what was written so far.
///
/// The number of posts stands before them and is known only at the end. The number that is expected is
/// written; when there were fewer, the files are put together anew.
#[derive(Debug)]
pub struct Export {
    folder: PathBuf,
    channel: String,
    at: DateTime<Utc>,
    json: Part,
    text: Part,
    expected: usize,
    total: usize,
    buffer: String,
}

/// A file under a temporary name.
#[derive(Debug)]
struct Part {
    file: BufWriter<File>,
    temporary: TempPath,
    /// Bytes before the posts.
    head: u64,
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

    /// Begins an export of a channel's posts, of which so many are `expected`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn begin(&self, channel: &str, at: DateTime<Utc>, expected: usize) -> io::Result<Export> {
        Ok(Export {
            json: Part::begin(&self.0, &Json::head(channel, at, expected))?,
            text: Part::begin(&self.0, &Text::head(channel, at, expected))?,
            folder: self.0.clone(),
            channel: channel.to_owned(),
            at,
            expected,
            total: 0,
            buffer: String::new(),
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
            self.json.file.write_all(self.buffer.as_bytes())?;
            self.buffer.clear();
            Text::post(post, &mut self.buffer);
            self.text.file.write_all(self.buffer.as_bytes())?;
            self.total += 1;
        }
        Ok(())
    }

    /// Ends the files and lets them appear under their names.
    ///
    /// # Errors
    /// Those of the file system; then no file appears.
    pub fn finish(mut self) -> io::Result<ExportFiles> {
        if self.total != self.expected {
            let json = Json::head(&self.channel, self.at, self.total);
            let text = Text::head(&self.channel, self.at, self.total);
            self.json = self.json.anew(&self.folder, &json)?;
            self.text = self.text.anew(&self.folder, &text)?;
        }
        let json = self.json.end(Json::tail(self.total == 0))?;
        let text = self.text.end("")?;
        appear(
            &self.folder,
            &export::stem(&self.channel, self.at),
            json,
            text,
        )
    }
}

impl Part {
    fn begin(folder: &Path, head: &str) -> io::Result<Self> {
        let (file, temporary) = tempfile::Builder::new()
            .prefix(".part-")
            .tempfile_in(folder)?
            .into_parts();
        let mut file = BufWriter::with_capacity(1 << 18, file);
        file.write_all(head.as_bytes())?;
        Ok(Self {
            file,
            temporary,
            head: head.len() as u64,
        })
    }

    /// The same posts behind another head.
    fn anew(self, folder: &Path, head: &str) -> io::Result<Self> {
        let mut new = Self::begin(folder, head)?;
        let file = self.file.into_inner();
        file.map_err(io::IntoInnerError::into_error)?;
        let mut posts = File::open(&self.temporary)?;
        posts.seek(SeekFrom::Start(self.head))?;
        io::copy(&mut posts, &mut new.file)?;
        Ok(new)
    }

    /// The whole file, on the disk.
    fn end(mut self, tail: &str) -> io::Result<TempPath> {
        self.file.write_all(tail.as_bytes())?;
        let file = self.file.into_inner();
        let file = file.map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(self.temporary)
    }
}

/// Lets both files appear under one name, which no other export has: those of one second are numbered.
/// When that fails, both are gone.
fn appear(
    folder: &Path,
    stem: &str,
    mut json: TempPath,
    mut text: TempPath,
) -> io::Result<ExportFiles> {
    for number in 1..1_000_u32 {
        let stem = match number {
            1 => stem.to_owned(),
            _ => format!("{stem}_{number}"),
        };
        let files = ExportFiles {
            json: format!("{stem}.json"),
            txt: format!("{stem}.txt"),
        };
        match taken(&folder.join(&files.json), json)? {
            Ok(seen) => json = seen,
            Err(hidden) => {
                json = hidden;
                continue;
            }
        }
        match taken(&folder.join(&files.txt), text)? {
            Ok(seen) => {
                // The names are part of the folder.
                File::open(folder)?.sync_all()?;
                for seen in [json, seen] {
                    seen.keep().map_err(|error| error.error)?;
                }
                return Ok(files);
            }
            Err(hidden) => text = hidden,
        }
    }
    Err(io::ErrorKind::AlreadyExists.into())
}

/// Renames a file, as long as nobody has the name; it still goes when it is dropped. The inner error is
/// the file as it was, when somebody has the name.
fn taken(name: &Path, file: TempPath) -> io::Result<Result<TempPath, TempPath>> {
    match file.persist_noclobber(name) {
        Ok(()) => TempPath::try_from_path(name).map(Ok),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(Err(error.path)),
        Err(error) => Err(error.error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> DateTime<Utc> {
        "2026-01-31T20:05:13Z".parse().unwrap()
    }

    fn post(message_id: i32) -> Post {
        Post {
            message_id,
            channel_id: 1,
            channel_title: "Durov".into(),
            channel_username: None,
            text: "text".into(),
            date: "2026-01-07T09:55:48+00:00".into(),
            sender_id: 1,
            views: None,
            forwards: None,
            reply_to_msg_id: None,
            media_type: None,
            media_url: None,
            sync_type: touchstone_api::telegram::SyncType::Realtime,
        }
    }

    #[test]
    fn an_export_that_is_dropped_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::open(folder.path()).unwrap();
        drop(exports.begin("durov", at(), 0).unwrap());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn fewer_posts_than_expected_make_the_same_files_as_if_nobody_had_expected_more() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::open(folder.path()).unwrap();
        let made = |expected: usize| {
            let mut export = exports.begin("durov", at(), expected).unwrap();
            for id in [3, 2] {
                export.push(&[post(id)]).unwrap();
            }
            let files = export.finish().unwrap();
            let read = |name| fs::read_to_string(folder.path().join(name)).unwrap();
            (read(files.json), read(files.txt))
        };
        let expected = made(2);
        assert!(expected.0.contains("\"total_posts\": 2,") && expected.1.contains(": 2\n"));
        assert_eq!(made(10_000), expected);
        assert_eq!(made(0), expected);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 6);
    }

    #[test]
    fn exports_of_one_second_do_not_overwrite_each_other() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::open(folder.path()).unwrap();
        let first = exports.begin("durov", at(), 0).unwrap().finish().unwrap();
        let second = exports.begin("durov", at(), 0).unwrap().finish().unwrap();
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
    fn both_files_of_an_export_have_the_same_name() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::open(folder.path()).unwrap();
        // Of other exports one file is left, which is not to be overwritten.
        let taken = [
            "telegram_posts_durov_20260131_200513.txt",
            "telegram_posts_durov_20260131_200513_2.json",
        ];
        for name in taken {
            fs::write(folder.path().join(name), "kept").unwrap();
        }
        let files = exports.begin("durov", at(), 0).unwrap().finish().unwrap();
        assert_eq!(files.json, "telegram_posts_durov_20260131_200513_3.json");
        assert_eq!(files.txt, "telegram_posts_durov_20260131_200513_3.txt");
        for name in taken {
            assert_eq!(fs::read(folder.path().join(name)).unwrap(), b"kept");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
    }

    #[test]
    fn an_export_of_which_one_file_cannot_appear_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let exports = Exports::open(folder.path()).unwrap();
        let export = exports.begin("durov", at(), 0).unwrap();
        fs::remove_file(&export.text.temporary).unwrap();
        assert!(export.finish().is_err());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
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
