//! Which instance this is. One that takes the place of a dead one goes by its name, so that it has the
//! dead one's lease at once instead of when it runs out.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;

use uuid::Uuid;

/// The file with the name; whoever goes by it keeps the file locked.
const FILE: &str = ".instance";

/// Tells one start of a machine from all others.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// An instance, as long as it lives.
#[derive(Debug)]
pub(crate) struct Instance {
    id: Uuid,
    /// The kernel frees it when the process ends, however that happens.
    _locked: Option<File>,
}

impl Instance {
    /// Takes the place of a dead instance of this folder, or goes by a new name.
    pub(crate) fn of(folder: &Path, new: Uuid) -> Self {
        let boot = std::fs::read_to_string(BOOT).unwrap_or_default();
        match succeed(folder, boot.trim(), new) {
            Ok(instance) => instance,
            Err(error) => {
                // Then it waits like any other one.
                tracing::debug!(%error, "cannot see whether this takes an instance's place");
                Self::new(new)
            }
        }
    }

    fn new(id: Uuid) -> Self {
        Self { id, _locked: None }
    }

    /// Its name.
    pub(super) fn id(&self) -> Uuid {
        self.id
    }
}

/// The kernel that locks the file is the one under which the name was written, and nobody has the lock:
/// whoever went by the name is dead. On another machine nobody could say that.
fn succeed(folder: &Path, boot: &str, new: Uuid) -> io::Result<Instance> {
    let mut options = File::options();
    let options = options.read(true).write(true).create(true).truncate(false);
    let mut file = options.open(folder.join(FILE))?;
    if boot.is_empty() || file.try_lock().is_err() {
        return Ok(Instance::new(new));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let name = text.strip_prefix(boot).map(str::trim);
    let id = name.and_then(|name| name.parse().ok()).unwrap_or(new);
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{boot} {id}")?;
    Ok(Instance {
        id,
        _locked: Some(file),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    /// Who comes after a dead instance, once nobody has its lock any more: a process that another test
    /// starts has it for a moment, too.
    fn next(folder: &Path, number: u128, dead: Uuid) -> Instance {
        for _ in 0..1_000 {
            let next = succeed(folder, "boot", id(number)).unwrap();
            if next.id() == dead {
                return next;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("nobody goes by the name of the dead one");
    }

    #[test]
    fn who_comes_after_a_dead_instance_goes_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let first = succeed(folder.path(), "boot", id(1)).unwrap();
        assert_eq!(first.id(), id(1));
        drop(first);
        drop(next(folder.path(), 2, id(1)));
        next(folder.path(), 3, id(1));
    }

    #[test]
    fn beside_one_that_lives_everybody_has_a_name_of_their_own() {
        let folder = tempfile::tempdir().unwrap();
        let first = succeed(folder.path(), "boot", id(1)).unwrap();
        let second = succeed(folder.path(), "boot", id(2)).unwrap();
        assert_eq!((first.id(), second.id()), (id(1), id(2)));
        // And what stands there is still the name of the one that lives.
        drop(first);
        next(folder.path(), 3, id(1));
    }

    #[test]
    fn nobody_takes_the_place_of_one_that_another_machine_may_run() {
        let folder = tempfile::tempdir().unwrap();
        drop(succeed(folder.path(), "boot", id(1)).unwrap());
        assert_eq!(succeed(folder.path(), "other", id(2)).unwrap().id(), id(2));
        let real = Instance::of(folder.path(), id(5));
        assert_eq!(real.id(), id(5), "what was written on another machine");
        drop(real);
        std::fs::write(folder.path().join(FILE), "boot but no name").unwrap();
        assert_eq!(succeed(folder.path(), "boot", id(3)).unwrap().id(), id(3));
        assert_eq!(succeed(folder.path(), "", id(4)).unwrap().id(), id(4));
    }
}
