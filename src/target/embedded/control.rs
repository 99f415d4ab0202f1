//! `pgduel server status` and `pgduel server stop`: looking at slots that this process does not hold.

use std::path::{Path, PathBuf};

use super::home::{self, RunAs};
use super::postmaster::{self, Found, Postmaster};
use super::slot::{SLOTS, Slot, Taken};
use crate::target::error::TargetError;

/// Whether a pgduel uses a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotUse {
    /// Nobody does.
    Free,
    /// The pgduel with this process id, where known.
    InUse(Option<i32>),
}

/// One slot that has a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotStatus {
    /// The slot's directory.
    pub directory: PathBuf,
    /// The server's process id, if it runs.
    pub pid: Option<i32>,
    /// The server's port, if it runs.
    pub port: Option<u16>,
    /// Whether a pgduel uses it.
    pub in_use: SlotUse,
}

/// What `stop` did about one running server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stopped {
    /// It ended.
    Ended {
        /// The slot's directory.
        directory: PathBuf,
        /// The server's process id.
        pid: i32,
    },
    /// A running pgduel uses it, so it was left alone.
    InUse {
        /// The slot's directory.
        directory: PathBuf,
        /// The pgduel's process id, where known.
        by: Option<i32>,
    },
}

/// Every slot in `home` (`None`: the usual place) that has a cluster, of all versions.
pub fn status(home: Option<&Path>) -> Result<Vec<SlotStatus>, TargetError> {
    let run_as = RunAs::detect()?;
    let mut all = Vec::new();
    for (base, number) in clusters(home)? {
        let directory = base.join(format!("slot-{number}"));
        let in_use = match Slot::take(&base, number, run_as)? {
            Taken::Mine(_) => SlotUse::Free,
            Taken::InUse(by) => SlotUse::InUse(by),
        };
        let running = match postmaster::find(&directory.join("data"))? {
            Found::Running(file) => Some(file),
            Found::Nothing | Found::Stale => None,
        };
        all.push(SlotStatus { directory, pid: running.as_ref().map(|file| file.pid), port: running.and_then(|file| file.port), in_use });
    }
    Ok(all)
}

/// Stops every server in `home` (`None`: the usual place) that no running pgduel uses.
pub async fn stop(home: Option<&Path>) -> Result<Vec<Stopped>, TargetError> {
    let run_as = RunAs::detect()?;
    let mut all = Vec::new();
    for (base, number) in clusters(home)? {
        match Slot::take(&base, number, run_as)? {
            Taken::Mine(slot) => {
                forget_keep(&slot)?;
                if let Found::Running(file) = postmaster::find(&slot.data())? {
                    Postmaster::adopt(file.pid, &slot.data()).stop().await?;
                    all.push(Stopped::Ended { directory: slot.directory().to_owned(), pid: file.pid });
                }
            }
            Taken::InUse(by) => all.push(Stopped::InUse { directory: base.join(format!("slot-{number}")), by }),
        }
    }
    Ok(all)
}

/// The server in this slot no longer outlives its pgduel.
pub(super) fn forget_keep(slot: &Slot) -> Result<(), TargetError> {
    let keep = slot.keep_file();
    match std::fs::remove_file(&keep) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(TargetError::file("remove", keep)(error)),
        _ => Ok(()),
    }
}

/// Directory of a version and number of a slot, for each cluster in `home`.
fn clusters(home: Option<&Path>) -> Result<Vec<(PathBuf, u16)>, TargetError> {
    let home = home::locate(home)?;
    let Ok(versions) = std::fs::read_dir(&home) else {
        return Ok(Vec::new());
    };
    let mut found: Vec<_> = versions
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("pg"))
        .flat_map(|entry| (0..SLOTS).map(move |number| (entry.path(), number)))
        .filter(|(base, number)| base.join(format!("slot-{number}")).join("data").is_dir())
        .collect();
    found.sort();
    Ok(found)
}
