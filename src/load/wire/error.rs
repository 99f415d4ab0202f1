//! What can go wrong on a connection: the server's word, or the loss of the connection.

use std::fmt;
use std::io;

use super::frame::Cursor;
use super::params::BindError;
use super::rows::MOST_HELD;

/// A five-character SQLSTATE, such as `57014`.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SqlState([u8; 5]);

impl SqlState {
    /// Stands for a code that is missing or is not five letters and digits.
    pub const UNKNOWN: SqlState = SqlState(*b"?????");
    /// `query_canceled`: statement timeout or cancel request.
    pub const QUERY_CANCELED: SqlState = SqlState(*b"57014");
    /// `admin_shutdown`: the backend was terminated.
    pub const ADMIN_SHUTDOWN: SqlState = SqlState(*b"57P01");
    /// `serialization_failure`
    pub const SERIALIZATION_FAILURE: SqlState = SqlState(*b"40001");
    /// `deadlock_detected`
    pub const DEADLOCK_DETECTED: SqlState = SqlState(*b"40P01");
    /// `too_many_connections`
    pub const TOO_MANY_CONNECTIONS: SqlState = SqlState(*b"53300");
    /// `disk_full`
    pub const DISK_FULL: SqlState = SqlState(*b"53100");

    /// Whether a prepared statement was not there, or was there already. Where no script prepares its own, that happens if the session is not
    /// the one that it was.
    fn is_of_another_session(self) -> bool {
        matches!(&self.0, b"26000" | b"42P05")
    }

    /// Reads a code; anything but five letters and digits becomes [`SqlState::UNKNOWN`].
    pub fn new(code: &str) -> SqlState {
        match <[u8; 5]>::try_from(code.as_bytes()) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_alphanumeric) => SqlState(bytes),
            _ => SqlState::UNKNOWN,
        }
    }

    /// Whether the transaction lost against another one, and may succeed if it is run again.
    pub fn is_conflict(self) -> bool {
        [SqlState::SERIALIZATION_FAILURE, SqlState::DEADLOCK_DETECTED].contains(&self)
    }

    /// All five characters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("?????")
    }

    /// The class: the first two characters.
    pub fn class(&self) -> &str {
        self.as_str().get(..2).unwrap_or("??")
    }
}

impl fmt::Display for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SqlState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is behind a prepared statement that is not where it was left.
const OTHER_SESSION: &str = "a pooler in transaction mode may stand between, which hands each transaction another session; prepared \
                             statements need session mode, PgBouncer 1.21 or newer with max_prepared_statements, or the server itself";

/// How bad an error is, by the server's word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Severity {
    /// The statement failed; the connection lives on.
    Error,
    /// `FATAL` or `PANIC`: the server closes the connection.
    Fatal,
}

/// An error that the server reported.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct DbError {
    /// SQLSTATE.
    pub sqlstate: SqlState,
    /// Whether the connection survives it.
    pub severity: Severity,
    /// The message.
    pub message: String,
    /// The detail, if any.
    pub detail: Option<String>,
    /// The hint, if any.
    pub hint: Option<String>,
    /// Position in the statement, in characters from 1.
    pub position: Option<u32>,
}

impl DbError {
    /// Reads the fields of an ErrorResponse.
    pub(super) fn parse(body: &[u8]) -> Result<DbError, WireError> {
        let mut error = DbError {
            sqlstate: SqlState::UNKNOWN,
            severity: Severity::Error,
            message: String::new(),
            detail: None,
            hint: None,
            position: None,
        };
        let mut fields = Cursor::new(body, "ErrorResponse");
        loop {
            let field = fields.u8()?;
            if field == 0 {
                error.hint = error.hint.or_else(|| error.sqlstate.is_of_another_session().then(|| OTHER_SESSION.to_owned()));
                return Ok(error);
            }
            let value = String::from_utf8_lossy(fields.cstr()?).into_owned();
            match field {
                b'C' => error.sqlstate = SqlState::new(&value),
                // 'V' is the severity that is never translated.
                b'V' if value == "FATAL" || value == "PANIC" => error.severity = Severity::Fatal,
                b'M' => error.message = value,
                b'D' => error.detail = Some(value),
                b'H' => error.hint = Some(value),
                b'P' => error.position = value.parse().ok(),
                _ => {}
            }
        }
    }
}

impl fmt::Display for DbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.sqlstate)?;
        if let Some(detail) = &self.detail {
            write!(f, "; {detail}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; hint: {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for DbError {}

/// Why an operation on a connection failed. After all but [`WireError::Db`] of severity `Error`, [`WireError::Invalid`] and
/// [`WireError::Bind`] the connection is of no further use.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The server said so.
    #[error(transparent)]
    Db(Box<DbError>),
    /// The operating system said so.
    #[error("{doing}: {cause}")]
    Io {
        /// What was being done.
        doing: String,
        /// What went wrong. Not named as a source, as it stands in the message.
        cause: io::Error,
    },
    /// The server closed the connection without a word, as when it crashes.
    #[error("the server closed the connection in the middle of {0}")]
    Closed(&'static str),
    /// The server sent something that the protocol does not allow.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
    /// Authentication could not be done.
    #[error("authentication failed: {0}")]
    Authentication(String),
    /// TLS was asked for and cannot be had.
    #[error("TLS: {0}")]
    Tls(String),
    /// The connection was lost, or left in the middle of a statement, before this call.
    #[error("the connection is no longer usable: an earlier statement on it was cut short or it was lost; open a new one")]
    Broken,
    /// The rows of an answer were to be kept, and are too many.
    #[error("the answer is more than {} MiB, after {rows} rows, and is not kept", MOST_HELD >> 20)]
    TooMuch {
        /// Rows that came.
        rows: usize,
    },
    /// The call itself cannot be right; nothing was sent.
    #[error("{0}")]
    Invalid(String),
    /// A value does not fit its parameter; nothing was sent.
    #[error(transparent)]
    Bind(#[from] BindError),
}

impl WireError {
    /// The server's error, if it is one.
    pub fn db(&self) -> Option<&DbError> {
        match self {
            WireError::Db(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the server lets this role not in, or not in this way.
    pub(super) fn is_refusal(&self) -> bool {
        self.db().is_some_and(|error| error.sqlstate.class() == "28")
    }

    /// Nothing was heard for this long.
    pub(in crate::load) fn timed_out(limit: std::time::Duration) -> WireError {
        WireError::io("waiting for an answer")(io::Error::new(io::ErrorKind::TimedOut, format!("none came within {limit:?}")))
    }

    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> WireError {
        move |cause| WireError::Io { doing: doing.into(), cause }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_field_it_knows_and_skips_the_rest() {
        let body = b"SFEHLER\0VERROR\0C57014\0Mcanceled\0Dbecause\0Hwait\0P17\0Fpostgres.c\0\0";
        let error = DbError::parse(body).unwrap();
        assert_eq!(error.sqlstate, SqlState::QUERY_CANCELED);
        assert_eq!(error.severity, Severity::Error);
        assert_eq!(error.position, Some(17));
        assert_eq!(error.to_string(), "canceled (SQLSTATE 57014); because; hint: wait");
        assert_eq!(error.sqlstate.class(), "57");
    }

    #[test]
    fn a_statement_of_another_session_is_explained() {
        let hint = |body: &[u8]| DbError::parse(body).unwrap().hint;
        assert!(
            hint(b"VERROR\0C26000\0Mprepared statement \"x\" does not exist\0\0").is_some_and(|hint| hint.contains("transaction mode"))
        );
        assert_eq!(hint(b"VERROR\0C26000\0Mno\0Hask\0\0"), Some("ask".to_owned()));
        assert_eq!(hint(b"VERROR\0C42601\0Mno\0\0"), None);
    }

    #[test]
    fn an_unterminated_error_is_a_protocol_error() {
        for body in [&b""[..], b"M", b"Mtext", b"Mtext\0"] {
            assert!(matches!(DbError::parse(body), Err(WireError::Protocol(_))), "{body:?}");
        }
    }

    #[test]
    fn odd_codes_are_unknown() {
        for code in ["", "4200", "420011", "é001", "42 01"] {
            assert_eq!(SqlState::new(code), SqlState::UNKNOWN, "{code}");
        }
    }
}
