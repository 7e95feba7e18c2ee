//! Secrets that stand in files, as orchestrators and compose mount them.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::Secret;

/// No secret is longer.
const MAX_BYTES: u64 = 64 * 1024;

/// A file cannot give a secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// It cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Others can read or write it.
    #[error(
        "`{}` has mode {mode:04o}; others must not read it: 0600, or 0640 when it belongs to root",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is nothing in it.
    #[error("`{}` is empty", .0.display())]
    Empty(PathBuf),
    /// It is no text of a plausible length.
    #[error("`{}` holds no secret: UTF-8 of at most 64 KiB is expected", .0.display())]
    NotText(PathBuf),
}

/// Reads the secret in `path`, without the line breaks at its end.
///
/// # Errors
/// [`SecretFileError::Exposed`] when somebody besides the owner could read the file. A file of root
/// may be readable by its group: so do orchestrators hand secrets to processes that are not root.
pub fn read_secret(path: &Path) -> Result<Secret, SecretFileError> {
    let failed = |source| SecretFileError::Read {
        path: path.to_owned(),
        source,
    };
    // Opened first, so that what is checked is what is read.
    let file = std::fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if let Some(mode) = exposed(&metadata) {
        return Err(SecretFileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut text = String::new();
    match file.take(MAX_BYTES + 1).read_to_string(&mut text) {
        Ok(read) if read as u64 <= MAX_BYTES => {}
        Err(error) if error.kind() != std::io::ErrorKind::InvalidData => {
            return Err(failed(error));
        }
        _ => return Err(SecretFileError::NotText(path.to_owned())),
    }
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(SecretFileError::Empty(path.to_owned())),
        secret => Ok(Secret::from(secret)),
    }
}

/// The permission bits of a file that more people can use than should.
#[cfg(unix)]
pub fn exposed(metadata: &std::fs::Metadata) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    /// Everything for group and others.
    const ALL: u32 = 0o077;
    /// The group may read a file that only root can change.
    const OF_ROOT: u32 = 0o037;
    let forbidden = if metadata.uid() == 0 { OF_ROOT } else { ALL };
    let mode = metadata.mode() & 0o7777;
    (mode & forbidden != 0).then_some(mode)
}

/// The permission bits of a file that more people can use than should: not known here.
#[cfg(not(unix))]
pub const fn exposed(_: &std::fs::Metadata) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        (directory, path)
    }

    #[test]
    fn line_breaks_at_the_end_are_not_part_of_a_secret() {
        let (_directory, path) = file(b" two words \r\n\n", 0o600);
        assert_eq!(read_secret(&path).unwrap().expose(), " two words ");
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_without_being_shown() {
        for mode in [0o644, 0o604, 0o660, 0o602, 0o650] {
            let (_directory, path) = file(b"hunter2", mode);
            let error = read_secret(&path).unwrap_err();
            assert!(matches!(error, SecretFileError::Exposed { .. }), "{mode:o}");
            assert!(!error.to_string().contains("hunter2"));
            assert!(error.to_string().contains(&format!("{mode:04o}")));
        }
    }

    #[test]
    fn the_group_may_read_only_what_belongs_to_root() {
        let (_directory, path) = file(b"hunter2", 0o440);
        let mine = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&path).unwrap());
        assert_eq!(read_secret(&path).is_ok(), mine == 0);
    }

    #[test]
    fn what_is_no_secret_is_named() {
        let (_directory, path) = file(b"\n", 0o600);
        assert!(matches!(read_secret(&path), Err(SecretFileError::Empty(_))));
        let (_directory, path) = file(&[0xff, 0xfe], 0o600);
        assert!(matches!(
            read_secret(&path),
            Err(SecretFileError::NotText(_))
        ));
        let (_directory, path) = file(&vec![b'a'; 64 * 1024 + 1], 0o600);
        assert!(matches!(
            read_secret(&path),
            Err(SecretFileError::NotText(_))
        ));
        let error = read_secret(&path.with_file_name("absent")).unwrap_err();
        assert!(matches!(error, SecretFileError::Read { .. }), "{error}");
    }
}
