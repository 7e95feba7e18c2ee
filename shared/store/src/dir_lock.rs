use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use touchstone_error::{Classify, ErrorKind};

/// Name of the lock file in a data directory.
const LOCK_FILE: &str = "touchstone.lock";

/// The exclusive right to a data directory, held until dropped or until the process ends.
#[derive(Debug)]
pub struct DirLock {
    path: PathBuf,
    // The lock lives as long as the descriptor.
    _file: File,
}

/// A data directory cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum DirLockError {
    /// Somebody else works on it.
    #[error("another process uses this data directory: `{}`", .0.display())]
    Taken(PathBuf),
    /// It cannot be made or written.
    #[error("cannot use the data directory `{}`", path.display())]
    Io {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Classify for DirLockError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Taken(_) => ErrorKind::Conflict,
            Self::Io { .. } => ErrorKind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::Taken(_) => "store.directory_in_use",
            Self::Io { .. } => "store.unavailable",
        }
    }
}

impl DirLock {
    /// Takes the directory, making it first if need be.
    pub fn acquire(directory: impl AsRef<Path>) -> Result<Self, DirLockError> {
        let path = directory.as_ref().to_path_buf();
        let io = |source| DirLockError::Io {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(&path).map_err(io)?;
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path.join(LOCK_FILE))
            .map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path, _file: file }),
            Err(TryLockError::WouldBlock) => Err(DirLockError::Taken(path)),
            Err(TryLockError::Error(source)) => Err(io(source)),
        }
    }

    /// Whether a directory was taken once, and nobody has it now.
    pub(crate) fn is_free(directory: &Path) -> bool {
        let file = OpenOptions::new()
            .write(true)
            .open(directory.join(LOCK_FILE));
        file.is_ok_and(|file| file.try_lock().is_ok())
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_holder_is_refused_until_the_first_lets_go() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("new/data");
        let first = DirLock::acquire(&data).unwrap();
        assert_eq!(first.path(), data);
        let refused = DirLock::acquire(&data).unwrap_err();
        assert!(matches!(refused, DirLockError::Taken(_)));
        assert!(
            refused
                .to_string()
                .starts_with("another process uses this data directory")
        );
        drop(first);
        assert!(DirLock::acquire(&data).is_ok());
    }
}
