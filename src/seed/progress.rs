//! How loading tells how far it is.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

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

/// A bar a table on standard error, gone when it is complete. Draws nothing where that is no terminal.
#[derive(Debug, Default)]
pub struct Bars {
    all: MultiProgress,
    bars: Mutex<HashMap<String, ProgressBar>>,
}

impl Bars {
    /// No bar yet.
    pub fn new() -> Bars {
        Bars::default()
    }

    fn with(&self, table: &str, tell: impl Fn(&ProgressBar)) {
        let bars = self.bars.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = bars.get(table) {
            tell(bar);
        }
    }
}

impl Progress for Bars {
    fn start(&self, table: &str, rows: u64) {
        let style = ProgressStyle::with_template("{prefix:<24} {bar:32} {human_pos:>10} of {human_len} rows, {eta} left")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.all.add(ProgressBar::new(rows).with_style(style).with_prefix(table.to_owned()));
        self.bars.lock().unwrap_or_else(PoisonError::into_inner).insert(table.to_owned(), bar);
    }

    fn advance(&self, table: &str, rows: u64) {
        self.with(table, |bar| bar.inc(rows));
    }

    fn finish(&self, table: &str) {
        self.with(table, ProgressBar::finish_and_clear);
    }
}
