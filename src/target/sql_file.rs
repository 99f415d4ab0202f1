//! Applies an SQL file to a database, statement by statement, and times each.

use std::path::{Path, PathBuf};
use std::time::Instant;

use miette::{Diagnostic, NamedSource, SourceSpan};
use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgDatabaseError, PgErrorPosition};
use sqlx::{AssertSqlSafe, PgConnection};

use super::error::TargetError;
use crate::sql::{Statement, line_of, split_statements};

/// How much of a statement is kept to recognise it by, in characters.
const HEAD_LENGTH: usize = 80;

/// A statement that was applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AppliedStatement {
    /// Its beginning, on one line.
    pub sql_head: String,
    /// The line of the file on which it starts, from 1.
    pub line: usize,
    /// From sending it to its completion, in nanoseconds.
    pub duration_ns: u64,
}

/// A statement of a file that PostgreSQL rejected, or a file that is not SQL.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{}:{line}: {}{message}", path.display(), state(sqlstate))]
pub struct SqlFileError {
    /// The file.
    pub path: PathBuf,
    /// The line that is at fault, from 1.
    pub line: usize,
    /// PostgreSQL's code, say 42703; `None` if it was not PostgreSQL that refused.
    pub sqlstate: Option<String>,
    /// What is wrong.
    pub message: String,
    /// PostgreSQL's detail and hint.
    #[help]
    pub help: Option<String>,
    #[source_code]
    source_code: NamedSource<String>,
    #[label("here")]
    span: SourceSpan,
}

fn state(sqlstate: &Option<String>) -> String {
    sqlstate.as_ref().map(|code| format!("[{code}] ")).unwrap_or_default()
}

/// What can go wrong with a file.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ApplyError {
    /// In the file.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Sql(#[from] Box<SqlFileError>),
    /// It went through, and changed what all databases of the server share.
    #[error("{}: changes the settings, the password or the members of the role that owns the tables, which all arms share; it was undone", _0.display())]
    #[diagnostic(help("move it to platform, whose files the superuser applies once"))]
    Shared(PathBuf),
    /// Before it could be tried.
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// Applies the file at `path`; see [`apply_sql`].
pub async fn apply_sql_file(connection: &mut PgConnection, path: &Path) -> Result<Vec<AppliedStatement>, ApplyError> {
    apply_filled_sql_file(connection, path, str::to_owned).await
}

/// The same, with what `fill` makes of its text.
pub async fn apply_filled_sql_file(
    connection: &mut PgConnection,
    path: &Path,
    fill: impl FnOnce(&str) -> String,
) -> Result<Vec<AppliedStatement>, ApplyError> {
    let sql = tokio::fs::read_to_string(path).await.map_err(TargetError::file("read", path))?;
    apply_sql(connection, path, &fill(&sql)).await
}

/// Applies `sql`, which came from `path`, one statement at a time and each in a transaction of its own unless the file
/// says BEGIN: so `CREATE INDEX CONCURRENTLY` works, and every statement has a time. Stops at the first error; what went
/// before stays, but an open transaction is rolled back.
pub async fn apply_sql(connection: &mut PgConnection, path: &Path, sql: &str) -> Result<Vec<AppliedStatement>, ApplyError> {
    let file = File { path, sql };
    let statements = split_statements(sql).map_err(|error| file.error(error.range, None, error.reason.to_owned(), None))?;
    let mut applied = Vec::with_capacity(statements.len());
    for statement in statements {
        let text = sql.get(statement.range.clone()).unwrap_or_default();
        let started = Instant::now();
        let result = sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut *connection).await;
        let duration_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        if let Err(error) = result {
            // Only a warning where no transaction is open; an error only where the connection is gone.
            let _ = sqlx::raw_sql("rollback").execute(&mut *connection).await;
            return Err(match error {
                sqlx::Error::Io(_) | sqlx::Error::Tls(_) => {
                    TargetError::sql(format!("{}:{}", path.display(), statement.line))(error).into()
                }
                error => file.rejected(&statement, &error).into(),
            });
        }
        applied.push(AppliedStatement { sql_head: head(text), line: statement.line, duration_ns });
    }
    Ok(applied)
}

struct File<'a> {
    path: &'a Path,
    sql: &'a str,
}

impl File<'_> {
    fn rejected(&self, statement: &Statement, error: &sqlx::Error) -> Box<SqlFileError> {
        let range = statement.range.clone();
        let Some(database) = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>()) else {
            return self.error(range, None, error.to_string(), None);
        };
        let text = self.sql.get(range.clone()).unwrap_or_default();
        let range = match database.position() {
            Some(PgErrorPosition::Original(position)) => {
                word_at(text, position).map(|word| range.start + word.start..range.start + word.end).unwrap_or(range)
            }
            _ => range,
        };
        let help: Vec<&str> = [database.detail(), database.hint()].into_iter().flatten().collect();
        self.error(range, Some(database.code().to_owned()), database.message().to_owned(), (!help.is_empty()).then(|| help.join("\n")))
    }

    fn error(&self, range: std::ops::Range<usize>, sqlstate: Option<String>, message: String, help: Option<String>) -> Box<SqlFileError> {
        Box::new(SqlFileError {
            path: self.path.to_owned(),
            line: line_of(self.sql, range.start),
            sqlstate,
            message,
            help,
            source_code: NamedSource::new(self.path.display().to_string(), self.sql.to_owned()).with_language("SQL"),
            span: range.into(),
        })
    }
}

/// The bytes of the word at a position that PostgreSQL gave: in characters, from 1.
fn word_at(text: &str, position: usize) -> Option<std::ops::Range<usize>> {
    let (start, _) = text.char_indices().nth(position.checked_sub(1)?)?;
    let rest = text.get(start..)?;
    let length = rest
        .find(|character: char| !(character.is_alphanumeric() || character == '_'))
        .unwrap_or(rest.len())
        .max(rest.chars().next().map_or(0, char::len_utf8));
    Some(start..start + length)
}

/// The beginning of a statement on one line.
fn head(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(HEAD_LENGTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_not_bytes() {
        assert_eq!(word_at("select 'ä', nope", 13), Some(13..17));
        assert_eq!(word_at("a", 1), Some(0..1));
        assert_eq!(word_at("a", 0), None);
        assert_eq!(word_at("a", 9), None);
    }

    #[test]
    fn a_head_is_one_short_line() {
        assert_eq!(head("create\n  table  t ()"), "create table t ()");
        assert_eq!(head(&"é".repeat(100)).chars().count(), HEAD_LENGTH + 1);
    }
}
