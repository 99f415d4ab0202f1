//! Where the embedded server lives and as whom it runs.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::target::error::TargetError;
use crate::target::secret::Secret;

/// The account of the server's processes. PostgreSQL refuses to run as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RunAs {
    /// Whoever started pgduel.
    Caller,
    /// pgduel was started as root.
    Other {
        /// Numeric ids, as the system wants them.
        uid: u32,
        gid: u32,
    },
}

impl RunAs {
    /// `postgres` where that account exists, else `nobody`, when started as root; else the caller.
    pub(super) fn detect() -> Result<Self, TargetError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Caller);
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|name| Some(Self::Other { uid: id_of(name, "-u")?, gid: id_of(name, "-g")? }))
            .ok_or_else(|| TargetError::Start {
                reason: "PostgreSQL does not run as root, and there is neither a user `postgres` nor `nobody` to run \
                         it as; start pgduel as an ordinary user"
                    .to_owned(),
            })
    }

    /// Makes `command` run as this account.
    pub(super) fn apply(self, command: &mut std::process::Command) {
        use std::os::unix::process::CommandExt;
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives a file or directory that pgduel made to this account.
    pub(super) fn own(self, path: &Path) -> Result<(), TargetError> {
        match self {
            Self::Caller => Ok(()),
            Self::Other { uid, gid } => chown(path, Some(uid), Some(gid)).map_err(TargetError::file("change the owner of", path)),
        }
    }

    fn uid(self) -> u32 {
        match self {
            Self::Caller => rustix::process::geteuid().as_raw(),
            Self::Other { uid, .. } => uid,
        }
    }
}

/// By the `id` command, which also asks directory services that no file knows of.
fn id_of(name: &str, which: &str) -> Option<u32> {
    let output = std::process::Command::new("id").args([which, name]).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

/// The directory of all embedded clusters: `explicit`, else `PGDUEL_HOME`, else the user's cache directory, and for
/// root one that another account can reach.
pub(super) fn locate(explicit: Option<&Path>) -> Result<PathBuf, TargetError> {
    let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = if let Some(home) = explicit.map(Path::to_owned).or_else(|| variable("PGDUEL_HOME")) {
        home
    } else if rustix::process::geteuid().is_root() {
        PathBuf::from("/var/cache/pgduel")
    } else if let Some(cache) = variable("XDG_CACHE_HOME").filter(|path| path.is_absolute()) {
        cache.join("pgduel")
    } else if let Some(user) = variable("HOME") {
        user.join(".cache/pgduel")
    } else {
        return Err(TargetError::Home { path: PathBuf::from("~/.cache/pgduel"), reason: "HOME is not set".to_owned() });
    };
    std::path::absolute(&home).map_err(TargetError::file("find", home))
}

/// Creates `home` and the directory of one major version in it; both must be pgduel's own and within reach of the
/// server's account. Returns the latter.
pub(super) fn prepare(home: &Path, major: u32, run_as: RunAs) -> Result<PathBuf, TargetError> {
    let base = home.join(format!("pg{major}"));
    for directory in [home, base.as_path()] {
        if !directory.exists() {
            fs::create_dir_all(directory).map_err(TargetError::file("create", directory))?;
            // Whatever the umask is: the server's account has to pass through.
            fs::set_permissions(directory, Permissions::from_mode(0o755)).map_err(TargetError::file("change the mode of", directory))?;
        }
        check_owned(directory, run_as)?;
    }
    check_reachable(&base, run_as)?;
    Ok(base)
}

/// A new random secret in a new file that only this account can read.
pub(super) fn new_secret(file: &Path) -> std::io::Result<Secret> {
    let secret: String = (0..4).map(|_| format!("{:016x}", rand::random::<u64>())).collect();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?;
    file.write_all(secret.as_bytes())?;
    Ok(Secret::new(secret))
}

/// What the passwords of pgduel's roles are made from on servers whose superuser has none that pgduel knows: `login-key` in pgduel's own directory, made
/// when it is first needed.
pub(in crate::target) fn login_key() -> Result<Secret, TargetError> {
    let home = locate(None)?;
    fs::create_dir_all(&home).map_err(TargetError::file("create", &home))?;
    let file = home.join("login-key");
    match new_secret(&file) {
        Ok(secret) => return Ok(secret),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(TargetError::file("write", file)(error)),
    }
    let text = fs::read_to_string(&file).map_err(TargetError::file("read", &file))?;
    match text.trim() {
        "" => Err(TargetError::Unsuited(format!("{} is empty; remove it, so that pgduel makes a new one", file.display()))),
        text => Ok(Secret::new(text)),
    }
}

/// Creates `directory` with mode 0700 for the server's account, or checks the one that is there.
pub(super) fn private_directory(directory: &Path, run_as: RunAs) -> Result<(), TargetError> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Ok(()) => run_as.own(directory),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            // An interrupted start may have left it with root.
            check_owned(directory, run_as)?;
            run_as.own(directory)?;
            fs::set_permissions(directory, Permissions::from_mode(0o700)).map_err(TargetError::file("change the mode of", directory))
        }
        Err(error) => Err(TargetError::file("create", directory)(error)),
    }
}

/// Somebody else's directory in a shared place such as /tmp could be used to read or replace what pgduel writes.
fn check_owned(directory: &Path, run_as: RunAs) -> Result<(), TargetError> {
    let refuse = |reason: &str| Err(TargetError::Home { path: directory.to_owned(), reason: reason.to_owned() });
    let metadata = fs::symlink_metadata(directory).map_err(TargetError::file("read", directory))?;
    if metadata.is_symlink() && fs::metadata(directory).is_ok_and(|target| target.is_dir()) {
        // A person may keep the cache on another disk; the link itself must be theirs.
        return match metadata.uid() == rustix::process::geteuid().as_raw() {
            true => check_owned(&directory.canonicalize().map_err(TargetError::file("read", directory))?, run_as),
            false => refuse("it is a link that belongs to somebody else"),
        };
    }
    if !metadata.is_dir() {
        return refuse("it is not a directory");
    }
    if ![rustix::process::geteuid().as_raw(), run_as.uid()].contains(&metadata.uid()) {
        return refuse("it belongs to another user");
    }
    if metadata.mode() & 0o022 != 0 {
        return refuse("others may write to it (chmod go-w)");
    }
    Ok(())
}

/// PostgreSQL's own error for a closed parent directory does not say which one it is.
fn check_reachable(directory: &Path, run_as: RunAs) -> Result<(), TargetError> {
    let RunAs::Other { uid, gid } = run_as else {
        return Ok(());
    };
    for ancestor in directory.ancestors() {
        let metadata = fs::metadata(ancestor).map_err(TargetError::file("read", ancestor))?;
        let needed = if metadata.uid() == uid {
            0o100
        } else if metadata.gid() == gid {
            0o010
        } else {
            0o001
        };
        if metadata.mode() & needed == 0 {
            return Err(TargetError::Home {
                path: ancestor.to_owned(),
                reason: format!("the server runs as user {uid}, who may not enter it"),
            });
        }
    }
    Ok(())
}
