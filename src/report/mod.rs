//! Reports: a judged run as terminal text, Markdown, JSON and one HTML file.
//!
//! Takes a [`Run`] (the record's header and the finished [`Comparison`]) and returns text. It computes no statistic: every number is the
//! comparison's own, rounded for reading. It knows neither clock, file system nor network, so that the same record gives the same bytes.
//!
//! `words` and `format` hold every sentence and number format once; `view` puts them into the rows that the formats lay out; `chart` draws.
//! Text that comes from SQL files, servers or data is never trusted: HTML and Markdown templates escape by default, and terminal text
//! loses its control characters.

mod chart;
mod contrast;
mod expectations;
pub mod format;
mod headline;
mod html;
mod json;
mod lines;
mod load;
mod markdown;
mod pgbench;
mod prose;
mod recall;
mod terminal;
mod view;
mod words;

pub use contrast::{CONTRAST_JSON_VERSION, contrast_json, contrast_terminal};
pub use html::html;
pub use json::{JSON_VERSION, json};
pub use load::{LOAD_JSON_VERSION, load_json, load_terminal};
pub use markdown::markdown;
pub use pgbench::{Details, PGBENCH_JSON_VERSION, pgbench_json, pgbench_text};
pub use terminal::{Style, terminal};

use anyhow::Context;
use minijinja::Environment;
use minijinja::syntax::SyntaxConfig;

use crate::judge::Comparison;
use crate::record::{Header, Line, Record};

/// What a report is made of.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// What ran, where, with which arguments.
    pub header: &'a Header,
    /// The run, judged.
    pub comparison: &'a Comparison,
    /// How the record ends.
    pub ending: Ending,
}

impl<'a> Run<'a> {
    /// The run of `record`, of which `comparison` was made.
    pub fn new(record: &'a Record, comparison: &'a Comparison) -> Run<'a> {
        let ending = match record.lines.last() {
            _ if record.torn => Ending::Torn,
            Some(Line::End(end)) if end.interrupted => Ending::Interrupted,
            Some(Line::End(_)) => Ending::Complete,
            _ => Ending::Killed,
        };
        Run { header: &record.header, comparison, ending }
    }
}

/// How a record ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// With its last line, in its own time.
    Complete,
    /// With its last line, by a signal.
    Interrupted,
    /// Without its last line.
    Killed,
    /// In the middle of a line, which was left out.
    Torn,
}

/// The template engine with tags that leave no blank lines behind.
fn environment() -> anyhow::Result<Environment<'static>> {
    let mut environment = Environment::new();
    let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.context("the template syntax of the report")?);
    Ok(environment)
}
