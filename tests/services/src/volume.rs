//! A small file system for one server, and what fills it.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Enough for any server that has not much to keep.
pub const SIZE: &str = "768m";
/// Begins the reason why there is none.
pub const REFUSED: &str = "no file system of its own";
/// What takes the room.
const BALLAST: &str = "ballast";
const BLOCK: usize = 1 << 20;

/// Puts a file system in memory over the directory.
pub fn mount(directory: &Path, size: &str) -> Result<(), String> {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o"]);
    let option = format!("size={size},mode=0755");
    let done = command.arg(option).arg("tmpfs").arg(directory).output();
    match done {
        Ok(done) if done.status.success() => Ok(()),
        Ok(done) => {
            let words = String::from_utf8_lossy(&done.stderr);
            Err(format!("{REFUSED}: {}", words.trim()))
        }
        Err(error) => Err(format!("{REFUSED}: {error}")),
    }
}

/// Writes until nothing more can be written.
pub fn fill(directory: &Path) -> Result<(), String> {
    let mut file = File::options()
        .create(true)
        .append(true)
        .open(directory.join(BALLAST))
        .map_err(|error| error.to_string())?;
    let mut block = BLOCK;
    let zeros = vec![0; BLOCK];
    while block > 0 {
        match file.write(&zeros[..block]) {
            Ok(0) => block /= 2,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::StorageFull => block /= 2,
            Err(error) => return Err(error.to_string()),
        }
    }
    Ok(())
}

/// Gives the room back.
pub fn drain(directory: &Path) -> Result<(), String> {
    std::fs::remove_file(directory.join(BALLAST)).map_err(|error| error.to_string())
}
