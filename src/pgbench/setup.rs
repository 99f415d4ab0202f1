//! What comes before a run on pgbench's tables.

use crate::load::wire::{Connection, RowBuffer, Rows, SqlState, WireError};

/// SQLSTATE of a table that does not exist.
const NO_TABLE: &str = "42P01";

/// Why pgbench's tables cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// They are not there.
    #[error("the tables of pgbench are not in this database; make them with pgbench -i (pgduel has no -i of its own)")]
    NotInitialized,
    /// They are empty.
    #[error("table pgbench_branches is empty; fill it with pgbench -i")]
    Empty,
    /// Something else.
    #[error("cannot look at the tables of pgbench: {0}")]
    Wire(#[from] WireError),
}

/// The scale that `pgbench -i` was given: one branch each.
pub async fn scale(connection: &mut Connection) -> Result<i64, SetupError> {
    let mut rows = RowBuffer::new();
    match connection.simple("select count(*) from pgbench_branches", Rows::Collect(&mut rows)).await {
        Ok(_) => {}
        Err(WireError::Db(error)) if error.sqlstate == SqlState::new(NO_TABLE) => return Err(SetupError::NotInitialized),
        Err(error) => return Err(error.into()),
    }
    match rows.text(0, 0).and_then(|count| count.parse().ok()) {
        Some(scale) if scale > 0 => Ok(scale),
        _ => Err(SetupError::Empty),
    }
}

/// Tidies up after earlier runs: the small tables, and with `all` the accounts too. As in pgbench that is done whatever the scripts are. What
/// fails is returned in words and does no harm, as scripts may use none of these tables.
pub async fn vacuum(connection: &mut Connection, all: bool) -> Vec<String> {
    let mut statements = vec!["vacuum pgbench_branches", "vacuum pgbench_tellers", "truncate pgbench_history"];
    if all {
        statements.push("vacuum analyze pgbench_accounts");
    }
    let mut failed = Vec::new();
    for statement in statements {
        if let Err(error) = connection.simple(statement, Rows::Discard).await {
            failed.push(format!("{statement}: {error}"));
        }
    }
    failed
}
