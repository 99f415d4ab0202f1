//! How loading tells how far it is.

/// Told about the rows of each table as they are sent.
pub trait Progress: Send + Sync {
    /// A table begins, with so many rows.
    fn start(&self, table: &str, rows: u64);
    /// So many more rows of it were sent.
    fn advance(&self, table: &str, rows: u64);
    /// It is complete.
    fn finish(&self, table: &str);
}

/// Says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn start(&self, _: &str, _: u64) {}
    fn advance(&self, _: &str, _: u64) {}
    fn finish(&self, _: &str) {}
}
