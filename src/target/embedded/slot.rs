//! Slots: numbered places for one cluster each, so that runs side by side do not collide. Slot 0 is the usual one and
//! keeps the seeded templates. A slot belongs to the process that holds its lock; the lock is the operating system's,
//! so it ends with the process, however that ends.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};

use super::home::{RunAs, private_directory};
use crate::target::error::TargetError;

/// More runs at once than this on one machine measure nothing but each other.
pub(super) const SLOTS: u16 = 16;
/// The kernel's limit on a socket's path is 104 (macOS) or 108 bytes; what follows the directory is ".s.PGSQL.65535".
const LONGEST_SOCKET_DIRECTORY: usize = 104 - 1 - ".s.PGSQL.65535.lock".len();

/// A place for a cluster, and the right to use it.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: u16,
    directory: PathBuf,
    run_as: RunAs,
    /// Held, never read: closing it gives the slot back.
    _lock: File,
}

/// What a try to take a slot came to.
#[derive(Debug)]
pub(super) enum Taken {
    Mine(Slot),
    /// Another pgduel has it; its process id where it said so.
    InUse(Option<i32>),
}

impl Slot {
    /// The first slot in `base` that nobody uses.
    pub(super) fn first_free(base: &Path, run_as: RunAs) -> Result<Self, TargetError> {
        for number in 0..SLOTS {
            if let Taken::Mine(slot) = Self::take(base, number, run_as)? {
                return Ok(slot);
            }
        }
        Err(TargetError::Start { reason: format!("all {SLOTS} places for a server in {} are in use by running pgduels", base.display()) })
    }

    /// Slot `number`, if nobody else has it.
    pub(super) fn take(base: &Path, number: u16, run_as: RunAs) -> Result<Taken, TargetError> {
        let path = base.join(format!("slot-{number}.lock"));
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(TargetError::file("open", &path))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut holder = String::new();
                let _ = lock.read_to_string(&mut holder);
                return Ok(Taken::InUse(holder.trim().parse().ok()));
            }
            Err(error) => return Err(TargetError::file("lock", &path)(error.into())),
        }
        // For messages only, so a failure to write it does not matter.
        let _ = lock.set_len(0).and_then(|()| lock.rewind()).and_then(|()| writeln!(lock, "{}", std::process::id()));
        let slot = Self { number, directory: base.join(format!("slot-{number}")), run_as, _lock: lock };
        private_directory(&slot.directory, run_as)?;
        Ok(Taken::Mine(slot))
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The cluster itself.
    pub(super) fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// The superuser's password, mode 0600.
    pub(super) fn password_file(&self) -> PathBuf {
        self.directory.join("password")
    }

    /// What the server says, of this start and the ones before.
    pub(super) fn log_file(&self) -> PathBuf {
        self.directory.join("server.log")
    }

    /// Its presence says that the server shall outlive the pgduel that started it.
    pub(super) fn keep_file(&self) -> PathBuf {
        self.directory.join("keep-running")
    }

    /// The directory of the server's socket, mode 0700, created if need be. In the slot, unless that path is longer
    /// than a socket's may be.
    pub(super) fn socket_directory(&self) -> Result<PathBuf, TargetError> {
        let usual = self.directory.join("socket");
        let directory = if usual.as_os_str().len() <= LONGEST_SOCKET_DIRECTORY {
            usual
        } else {
            let digest = Sha256::digest(self.directory.as_os_str().as_encoded_bytes());
            let name: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            PathBuf::from("/tmp").join(format!("pgduel-{name}"))
        };
        private_directory(&directory, self.run_as)?;
        Ok(directory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_slot_is_taken_once_and_free_again_when_dropped() {
        let base = tempfile::tempdir().expect("a directory");
        std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o755)).expect("its mode");
        let run_as = RunAs::detect().expect("an account");
        let first = Slot::first_free(base.path(), run_as).expect("a slot");
        let second = Slot::first_free(base.path(), run_as).expect("another");
        assert_eq!((first.number, second.number), (0, 1));
        match Slot::take(base.path(), 0, run_as).expect("an answer") {
            Taken::InUse(holder) => assert_eq!(holder, i32::try_from(std::process::id()).ok()),
            Taken::Mine(_) => panic!("slot 0 was taken twice"),
        }
        drop(first);
        assert_eq!(Slot::first_free(base.path(), run_as).expect("a slot").number, 0);
    }

    #[test]
    fn a_socket_path_too_long_for_the_kernel_is_moved() {
        let base = tempfile::tempdir().expect("a directory");
        let deep = base.path().join("d".repeat(90));
        std::fs::create_dir(&deep).expect("a directory");
        std::fs::set_permissions(&deep, std::fs::Permissions::from_mode(0o755)).expect("its mode");
        let slot = Slot::first_free(&deep, RunAs::detect().expect("an account")).expect("a slot");
        let socket = slot.socket_directory().expect("a socket directory");
        assert!(socket.as_os_str().len() <= LONGEST_SOCKET_DIRECTORY);
        assert_eq!(std::fs::metadata(&socket).expect("it exists").permissions().mode() & 0o777, 0o700);
        std::fs::remove_dir(socket).expect("removed");
    }
}
