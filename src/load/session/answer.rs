//! What statements returned, where somebody asks for it.

use super::super::wire::{Connection, Prepared, RowBuffer, Rows, WireError};

/// Rows of a query, every value as PostgreSQL prints it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Answer {
    /// Column names.
    pub columns: Vec<String>,
    /// Rows.
    pub rows: Vec<Vec<Option<String>>>,
}

/// What one statement returned.
#[derive(Clone, Debug)]
pub struct StatementAnswer {
    /// The statement's name.
    pub statement: String,
    /// All rows of all its executions.
    pub answer: Answer,
    /// Rows that its executions count in their command tags, together: inserted, updated, deleted, or returned.
    pub affected: u64,
}

impl Answer {
    /// Adds the rows in `buffer`.
    pub(super) fn add(&mut self, prepared: &Prepared, buffer: &RowBuffer) {
        if self.columns.is_empty() {
            self.columns = prepared.columns.iter().map(|column| column.name.clone()).collect();
        }
        self.rows.extend(text_of(buffer));
    }
}

/// Rows of a query that takes no parameters, every value as text.
pub async fn query_text(connection: &mut Connection, sql: &str) -> Result<Vec<Vec<Option<String>>>, WireError> {
    let mut buffer = RowBuffer::new();
    connection.simple(sql, Rows::Collect(&mut buffer)).await?;
    Ok(text_of(&buffer).collect())
}

fn text_of(buffer: &RowBuffer) -> impl Iterator<Item = Vec<Option<String>>> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    buffer.iter().map(move |row| row.map(|cell| cell.map(text)).collect())
}
