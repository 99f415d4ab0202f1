//! Creates the cluster in a slot and writes its settings.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;

use super::home::{RunAs, new_secret};
use super::slot::Slot;
use crate::target::error::TargetError;
use crate::target::installation::Installation;
use crate::target::secret::Secret;
use crate::target::settings::{Durability, configuration_file};

/// The superuser of embedded servers. `postgres` is the role that owns what a suite's files create.
pub(super) const SUPERUSER: &str = "pgduel";
/// Both sort by code point, so text and its indexes are in the same order on every machine. Not every system has the first.
const LOCALES: [&str; 2] = ["C.UTF-8", "C"];
const SETTINGS_FILE: &str = "pgduel.conf";

/// Makes sure that the slot holds a cluster, and returns its password.
pub(super) async fn ensure(installation: &Installation, slot: &Slot, run_as: RunAs, durability: Durability) -> Result<Secret, TargetError> {
    let data = slot.data();
    if data.is_dir() {
        return read_password(slot);
    }
    let password = write_new_password(slot, run_as)?;
    // Created beside and renamed when complete: an interrupted initdb leaves no half cluster behind.
    let unfinished = slot.directory().join("data.new");
    let mut last_error = String::new();
    for locale in LOCALES {
        remove_directory(&unfinished)?;
        match run_initdb(installation, slot, &unfinished, run_as, locale, durability).await? {
            Ok(()) => {
                append(&unfinished.join("postgresql.conf"), "\ninclude = 'pgduel.conf'\n")?;
                fs::rename(&unfinished, &data).map_err(TargetError::file("rename", &unfinished))?;
                return Ok(password);
            }
            Err(output) => last_error = output,
        }
    }
    remove_directory(&unfinished)?;
    Err(TargetError::Start { reason: format!("initdb failed:\n{}", last_error.trim_end()) })
}

async fn run_initdb(
    installation: &Installation,
    slot: &Slot,
    data: &Path,
    run_as: RunAs,
    locale: &str,
    durability: Durability,
) -> Result<Result<(), String>, TargetError> {
    let program = installation.bin.join("initdb");
    let mut command = std::process::Command::new(&program);
    command
        .arg("--pgdata")
        .arg(data)
        .arg("--pwfile")
        .arg(slot.password_file())
        .args(["--username", SUPERUSER, "--auth=scram-sha-256", "--encoding=UTF8", "--data-checksums"])
        .arg(format!("--locale={locale}"))
        .current_dir(slot.directory());
    if durability == Durability::Off {
        command.arg("--no-sync");
    }
    run_as.apply(&mut command);
    let output = tokio::process::Command::from(command)
        .kill_on_drop(true)
        .output()
        .await
        .map_err(|error| TargetError::Start { reason: format!("cannot run {}: {error}", program.display()) })?;
    Ok(match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    })
}

/// Whether the settings that a running server was started with are these.
pub(super) fn has_settings(slot: &Slot, settings: &[(String, String)]) -> bool {
    fs::read_to_string(slot.data().join(SETTINGS_FILE)).is_ok_and(|text| text == configuration_file(settings))
}

/// Writes the settings for the next start.
pub(super) fn write_settings(slot: &Slot, settings: &[(String, String)], run_as: RunAs) -> Result<(), TargetError> {
    let path = slot.data().join(SETTINGS_FILE);
    fs::write(&path, configuration_file(settings)).map_err(TargetError::file("write", &path))?;
    run_as.own(&path)
}

/// The password of the cluster that is there.
pub(super) fn read_password(slot: &Slot) -> Result<Secret, TargetError> {
    let path = slot.password_file();
    let text = fs::read_to_string(&path).unwrap_or_default();
    if text.trim().is_empty() {
        return Err(TargetError::Start {
            reason: format!(
                "{} is missing or empty, and the cluster beside it cannot be used without. Remove {} to start afresh",
                path.display(),
                slot.directory().display()
            ),
        });
    }
    Ok(Secret::new(text.trim()))
}

fn write_new_password(slot: &Slot, run_as: RunAs) -> Result<Secret, TargetError> {
    let path = slot.password_file();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(TargetError::file("remove", path)(error));
        }
        _ => {}
    }
    let password = new_secret(&path).map_err(TargetError::file("write", &path))?;
    run_as.own(&path)?;
    Ok(password)
}

fn append(path: &Path, text: &str) -> Result<(), TargetError> {
    OpenOptions::new()
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(TargetError::file("write", path))
}

fn remove_directory(path: &Path) -> Result<(), TargetError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(TargetError::file("remove", path)(error)),
        _ => Ok(()),
    }
}
