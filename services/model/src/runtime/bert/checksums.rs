//! The checksum listing of a model's folder.

use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Component, Path};

use sha2::{Digest, Sha256};

use crate::runtime::LoadError;

/// Name of the checksum listing.
pub const CHECKSUMS: &str = "SHA256SUMS";

/// Checks every file that the folder's checksum listing names; without a listing all is well.
pub fn verify_checksums(folder: &Path) -> Result<(), LoadError> {
    let unreadable = |file: &str, source| LoadError::Unreadable {
        file: file.to_owned(),
        source,
    };
    let listing = match fs::read_to_string(folder.join(CHECKSUMS)) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreadable(CHECKSUMS, error)),
    };
    for (name, expected) in parse_checksums(&listing)? {
        let actual = checksum(&folder.join(&name)).map_err(|error| unreadable(&name, error))?;
        if actual != expected {
            return Err(LoadError::Damaged {
                file: name,
                reason: format!("its SHA-256 differs from the one in `{CHECKSUMS}`"),
            });
        }
    }
    Ok(())
}

/// Reads `<hex>  <name>` lines; names that leave the folder are refused.
pub fn parse_checksums(listing: &str) -> Result<Vec<(String, String)>, LoadError> {
    let damaged = |reason: String| LoadError::Damaged {
        file: CHECKSUMS.to_owned(),
        reason,
    };
    listing
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            let (sum, name) = line
                .split_once(char::is_whitespace)
                .ok_or_else(|| damaged("a line is not `<sha256>  <name>`".to_owned()))?;
            let name = name
                .trim_start()
                .trim_start_matches(['*', '.', '/'])
                .to_owned();
            let inside = Path::new(&name)
                .components()
                .all(|part| matches!(part, Component::Normal(_)));
            if sum.len() != 64 || name.is_empty() || !inside || name.contains('\\') {
                return Err(damaged(format!("the line of `{name}` is not usable")));
            }
            Ok((name, sum.to_ascii_lowercase()))
        })
        .collect()
}

/// SHA-256 of a file in hexadecimal.
pub fn checksum(path: &Path) -> std::io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 16];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refuses_checksum_lines_that_leave_the_folder() {
        let sum = "0".repeat(64);
        let parsed = parse_checksums(&format!("{sum}  a.json\n{sum} *1_Pooling/config.json\n"));
        assert_eq!(parsed.unwrap()[1].0, "1_Pooling/config.json");
        assert!(parse_checksums(&format!("{sum}  a/../../b")).is_err());
        assert!(parse_checksums("abc  a.json").is_err());
        assert!(parse_checksums("abc").is_err());
    }
}
