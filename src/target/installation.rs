//! Finds PostgreSQL installations on this machine and chooses the one to start.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::TargetError;

/// The commands that make up an installation as pgduel needs it.
const NEEDED_COMMANDS: [&str; 2] = ["postgres", "initdb"];
/// Views with `security_invoker`, without which a view reads past row-level security, came with 15.
const OLDEST_MAJOR: u32 = 15;
/// Iterative scans of vector indexes came with 0.8.
const OLDEST_PGVECTOR: (u32, u32) = (0, 8);

/// One PostgreSQL installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Where `postgres` and `initdb` are.
    pub bin: PathBuf,
    /// The major version, say 17.
    pub major: u32,
    /// What it cannot do; empty if it can serve.
    missing: Vec<&'static str>,
}

impl Installation {
    /// The one in `chosen`, which must be able to serve, or the newest on this machine that can.
    pub fn choose(chosen: Option<&Path>) -> Result<Self, TargetError> {
        match chosen {
            Some(bin) => Self::at(bin),
            None => {
                let found = Self::find_all();
                newest_usable(&found).cloned().ok_or_else(|| TargetError::NoInstallation(none_usable(&found)))
            }
        }
    }

    /// The installation in `bin`, an error if it cannot serve.
    fn at(bin: &Path) -> Result<Self, TargetError> {
        let problem = |what: String| {
            let found = Self::find_all();
            TargetError::NoInstallation(format!("--pg-bin {}: {what}. {}", bin.display(), listing(&found)))
        };
        let bin_absolute = std::path::absolute(bin).map_err(TargetError::file("find", bin))?;
        if let Some(command) = NEEDED_COMMANDS.iter().find(|command| !bin_absolute.join(command).is_file()) {
            return Err(problem(format!("no {command} there; expected a directory like /usr/lib/postgresql/17/bin")));
        }
        let installation = Self::inspect(&bin_absolute).ok_or_else(|| problem("its postgres does not tell its version".to_owned()))?;
        if installation.missing.is_empty() {
            Ok(installation)
        } else {
            Err(problem(format!("PostgreSQL {} there has no {}", installation.major, installation.missing.join(" and no "))))
        }
    }

    /// Every installation in the usual places and on `PATH`, in no particular order.
    pub fn find_all() -> Vec<Self> {
        candidate_directories().iter().filter_map(|bin| Self::inspect(bin)).collect()
    }

    fn inspect(bin: &Path) -> Option<Self> {
        if NEEDED_COMMANDS.iter().any(|command| !bin.join(command).is_file()) {
            return None;
        }
        let major = major_version(bin)?;
        let extensions = extension_directory(bin, major);
        let has = |file: &str| extensions.as_ref().is_some_and(|directory| directory.join(file).is_file());
        let mut missing = Vec::new();
        if major < OLDEST_MAJOR {
            missing.push("version that pgduel supports (15 or newer)");
        }
        let pgvector = extensions.as_ref().and_then(|directory| std::fs::read_to_string(directory.join("vector.control")).ok());
        match pgvector.as_deref().map(default_version) {
            None => missing.push("pgvector"),
            Some(version) if version < Some(OLDEST_PGVECTOR) => missing.push("pgvector of 0.8.0 or newer"),
            Some(_) => {}
        }
        if !has("pg_stat_statements.control") {
            missing.push("contrib modules (pg_stat_statements)");
        }
        Some(Self { bin: bin.to_owned(), major, missing })
    }
}

fn newest_usable(found: &[Installation]) -> Option<&Installation> {
    found.iter().filter(|installation| installation.missing.is_empty()).max_by_key(|installation| installation.major)
}

fn none_usable(found: &[Installation]) -> String {
    format!("no PostgreSQL on this machine can run pgduel's server. {}", listing(found))
}

/// What is there, and how to get what is not.
fn listing(found: &[Installation]) -> String {
    let install = match found.iter().map(|installation| installation.major).max() {
        _ if cfg!(target_os = "macos") => "brew install postgresql@17 pgvector".to_owned(),
        Some(major) => format!("apt-get install postgresql-{major}-pgvector"),
        None => "apt-get install postgresql, then pgvector".to_owned(),
    };
    let mut text = if found.is_empty() {
        "Found none.".to_owned()
    } else {
        let mut text = "Found:".to_owned();
        for installation in found {
            let state = if installation.missing.is_empty() {
                "can be used".to_owned()
            } else {
                format!("no {}", installation.missing.join(", no "))
            };
            text.push_str(&format!("\n  PostgreSQL {} in {}: {state}", installation.major, installation.bin.display()));
        }
        text
    };
    text.push_str(&format!("\nTo install what is missing: `make setup` in pgduel's repository, or {install}"));
    text
}

/// Directories that may hold an installation, each once.
fn candidate_directories() -> BTreeSet<PathBuf> {
    let mut directories = BTreeSet::new();
    // Debian and Ubuntu; Red Hat's packages; Homebrew on both kinds of Mac; Postgres.app.
    for (parent, prefix, suffix) in [
        ("/usr/lib/postgresql", "", "bin"),
        ("/usr", "pgsql-", "bin"),
        ("/opt/homebrew/opt", "postgresql", "bin"),
        ("/usr/local/opt", "postgresql", "bin"),
        ("/usr/local", "pgsql", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ] {
        let Ok(entries) = std::fs::read_dir(parent) else {
            continue;
        };
        directories.extend(
            entries
                .flatten()
                .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
                .map(|entry| entry.path().join(suffix)),
        );
    }
    directories.extend(std::env::var_os("PATH").iter().flat_map(std::env::split_paths).filter(|directory| directory.is_absolute()));
    // The same installation behind a symbolic link counts once.
    directories
        .into_iter()
        .filter(|directory| directory.join("postgres").exists())
        .map(|directory| directory.canonicalize().unwrap_or(directory))
        .collect()
}

/// From `postgres --version`, say "postgres (PostgreSQL) 17.2 (Debian ...)" or "... 18beta1".
fn major_version(bin: &Path) -> Option<u32> {
    let output = Command::new(bin.join("postgres")).arg("--version").output().ok()?;
    parse_major(&String::from_utf8_lossy(&output.stdout))
}

/// Major and minor version that an extension's control file names.
fn default_version(control: &str) -> Option<(u32, u32)> {
    let line = control.lines().find_map(|line| line.trim_start().strip_prefix("default_version"))?;
    let mut parts = line.trim_start_matches([' ', '=', '\'']).split(['.', '\'']).map_while(|part| part.parse().ok());
    parts.next().zip(parts.next())
}

fn parse_major(version: &str) -> Option<u32> {
    let number = version.split(')').nth(1)?.trim_start();
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Where the installation's extension control files are: `pg_config` knows; a machine without the
/// development package has none, then by Debian's layout or beside `bin`.
fn extension_directory(bin: &Path, major: u32) -> Option<PathBuf> {
    let by_pg_config = Command::new(bin.join("pg_config"))
        .arg("--sharedir")
        .output()
        .ok()
        .filter(|output| output.status.success())
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let prefix = bin.parent()?;
    [
        by_pg_config,
        Some(PathBuf::from(format!("/usr/share/postgresql/{major}"))),
        Some(prefix.join("share/postgresql")),
        Some(prefix.join(format!("share/postgresql@{major}"))),
        Some(prefix.join("share")),
    ]
    .into_iter()
    .flatten()
    .map(|share| share.join("extension"))
    .find(|directory| directory.join("plpgsql.control").is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn installation(major: u32, missing: &[&'static str]) -> Installation {
        Installation { bin: PathBuf::from(format!("/pg/{major}/bin")), major, missing: missing.to_vec() }
    }

    #[test]
    fn versions_are_read_from_releases_and_betas() {
        assert_eq!(parse_major("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)"), Some(15));
        assert_eq!(parse_major("postgres (PostgreSQL) 18beta1"), Some(18));
        assert_eq!(parse_major("postgres"), None);
        assert_eq!(parse_major(""), None);
    }

    #[test]
    fn the_version_of_an_extension_is_in_its_control_file() {
        let control = "comment = 'vector data type'\ndefault_version = '0.8.0'\nmodule_pathname = '$libdir/vector'\n";
        assert_eq!(default_version(control), Some((0, 8)));
        assert_eq!(default_version("default_version='1.12'"), Some((1, 12)));
        assert!(default_version("default_version = '0.7.4'\n") < Some(OLDEST_PGVECTOR));
        assert_eq!(default_version("relocatable = true"), None);
    }

    #[test]
    fn the_newest_that_can_serve_wins_not_the_newest() {
        let found = [installation(15, &[]), installation(17, &["pgvector"]), installation(16, &[])];
        assert_eq!(newest_usable(&found).map(|chosen| chosen.major), Some(16));
        assert_eq!(newest_usable(&found[1..2]), None);
    }

    #[test]
    fn the_error_lists_what_is_there_and_what_to_do() {
        let text = none_usable(&[installation(17, &["pgvector"])]);
        assert!(text.contains("PostgreSQL 17 in /pg/17/bin: no pgvector"), "{text}");
        assert!(text.contains("make setup"), "{text}");
        assert!(none_usable(&[]).contains("Found none."));
    }
}
