//! Why a transaction failed, and what can still be done then.

use super::super::wire::{DbError, Severity, WireError};
use crate::script::value::EvalError;

/// Why a transaction failed.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The server rejected a statement; the session can go on.
    #[error("{statement}: {error}")]
    Rejected {
        /// `transaction/statement`.
        statement: String,
        /// What the server said.
        error: Box<DbError>,
    },
    /// A value that a script needs cannot be had; the session can go on.
    #[error("{place}: {error}")]
    Script {
        /// `script:line`, or `transaction/statement`.
        place: String,
        /// Why.
        error: EvalError,
    },
    /// A statement ran, and afterwards the session is no longer the one that the request began as; it can go on.
    #[error("{statement}: {what}, which decides whose rights the statements after it have")]
    Changed {
        /// `transaction/statement`.
        statement: String,
        /// What it changed, and from what to what.
        what: String,
    },
    /// The connection is gone or out of step; a new session is needed.
    #[error("{statement}: {error}")]
    Lost {
        /// What was being done.
        statement: String,
        /// What happened.
        error: WireError,
    },
}

impl SessionError {
    /// SQLSTATE, `script`, `identity`, `answer` if that was too large to be kept, or `connection`.
    pub fn code(&self) -> &str {
        match self {
            SessionError::Rejected { error, .. } => error.sqlstate.as_str(),
            SessionError::Script { .. } => "script",
            SessionError::Changed { .. } => "identity",
            SessionError::Lost { error: WireError::TooMuch { .. }, .. } => "answer",
            SessionError::Lost { error, .. } => error.db().map_or("connection", |error| error.sqlstate.as_str()),
        }
    }

    /// Whether the same transaction may succeed if it is run again: it lost against another one.
    pub fn is_conflict(&self) -> bool {
        matches!(self, SessionError::Rejected { error, .. } if error.sqlstate.is_conflict())
    }

    /// Whether the session can run another transaction.
    pub fn is_lost(&self) -> bool {
        matches!(self, SessionError::Lost { .. })
    }
}

/// The error of a statement: one that the server tells leaves the session in order.
pub(super) fn failed(statement: &str, error: WireError) -> SessionError {
    let statement = statement.to_owned();
    match error {
        WireError::Db(error) if error.severity == Severity::Error => SessionError::Rejected { statement, error },
        error => SessionError::Lost { statement, error },
    }
}
