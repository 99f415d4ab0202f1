//! What can go wrong between pgduel and a PostgreSQL server, in words that say what to do next.

use std::io;
use std::path::PathBuf;

use super::guard::Refusals;

/// An error of this module. Its text is complete for a person; variants are for callers that act on them.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// No PostgreSQL installation can serve.
    #[error("{0}")]
    NoInstallation(String),

    /// A connection string is not one.
    #[error("the database URL is not usable: {reason}. Expected postgres://user:password@host:port/database")]
    InvalidUrl {
        /// What is wrong with it, without quoting it.
        reason: &'static str,
    },

    /// The directory for the embedded server cannot be used.
    #[error("cannot use {} for pgduel's server: {reason}. Set PGDUEL_HOME to another directory", path.display())]
    Home {
        /// The directory, or the ancestor that is in the way.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },

    /// The embedded server did not start, or its cluster could not be created.
    #[error("PostgreSQL did not start: {reason}")]
    Start {
        /// What happened, with the end of the server's log where there is one.
        reason: String,
    },

    /// The embedded server did not stop.
    #[error("PostgreSQL (process {pid}) did not stop within {waited_s} s; end it by hand: kill -QUIT {pid}")]
    Stop {
        /// The postmaster.
        pid: i32,
        /// How long was waited, in seconds.
        waited_s: u64,
    },

    /// The server could not be reached or refused the connection.
    #[error("cannot connect to {target}: {}", server_words(error))]
    Connect {
        /// `user@host:port/database`, without a password.
        target: String,
        /// The driver's error.
        error: sqlx::Error,
    },

    /// A statement failed.
    #[error("{doing}: {}", server_words(error))]
    Sql {
        /// What was being done.
        doing: String,
        /// The driver's error, with the server's message and SQLSTATE.
        error: sqlx::Error,
    },

    /// A database is not pgduel's to change.
    #[error("will not change database \"{database}\": {refusals}")]
    Refused {
        /// The database.
        database: String,
        /// Every reason, not only the first.
        refusals: Refusals,
    },

    /// The server or its user lacks what a run needs; in words.
    #[error("{0}")]
    Unsuited(String),

    /// A file or directory could not be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    File {
        /// A verb: "read", "create", ...
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl TargetError {
    /// For `map_err` on a driver's result: says what was being done.
    pub(super) fn sql(doing: impl Into<String>) -> impl FnOnce(sqlx::Error) -> Self {
        let doing = doing.into();
        move |error| Self::Sql { doing, error }
    }

    /// For `map_err` on a file operation.
    pub(super) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }

    /// Whether another URL, user or database would do: nothing failed, but this was refused.
    pub fn is_users_to_mend(&self) -> bool {
        match self {
            Self::InvalidUrl { .. } | Self::Refused { .. } | Self::Unsuited(_) => true,
            // Privileges, authorization, and a database that does not exist.
            _ => self.sqlstate().is_some_and(|code| ["42501", "3D000"].contains(&code.as_str()) || code.starts_with("28")),
        }
    }

    /// The SQLSTATE that the server gave, if it was the server that refused.
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Connect { error, .. } | Self::Sql { error, .. } => {
                error.as_database_error().and_then(|error| error.code()).map(|code| code.into_owned())
            }
            _ => None,
        }
    }
}

/// What the server said, without the place in its source code that the driver adds; else the driver's words.
fn server_words(error: &sqlx::Error) -> String {
    error.as_database_error().map_or_else(|| error.to_string(), |error| error.message().to_owned())
}
