//! What is wrong in a file that a person wrote: where, what, and what is allowed there.
//!
//! Takes a [`Source`] (file name and text) and places in it, returns [`Diagnostic`]s that print graphically (they are
//! [`miette::Diagnostic`]s) or as one `file:line: message` line. [`document`] reads TOML into a tree that knows the place of every key and
//! value. Nothing here knows what the keys mean.

pub mod document;
mod raw;
mod suggest;

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use miette::{LabeledSpan, NamedSource, SourceCode};

use crate::shown::{plain, steers};

pub use raw::raw_offset;
pub use suggest::{closest, list};

/// Longest file that is read, in bytes. Nobody writes more by hand; what is larger is a mistake.
pub const LARGEST_FILE: u64 = 1 << 20;

/// A file's name and text.
#[derive(Clone)]
pub struct Source(Arc<Inner>);

struct Inner {
    file: PathBuf,
    text: Arc<str>,
    shown: NamedSource<Arc<str>>,
}

impl Source {
    /// A source of this name and text.
    pub fn new(file: &Path, text: &str) -> Source {
        let text: Arc<str> = text.into();
        // Lengths in bytes stay, as places count them.
        let harmless = |c: char| !steers(c) || matches!(c, '\n' | '\r' | '\t');
        let shown: Arc<str> = match text.chars().all(harmless) {
            true => text.clone(),
            false => text.chars().map(|c| if harmless(c) { c.to_string() } else { "?".repeat(c.len_utf8()) }).collect::<String>().into(),
        };
        let shown = NamedSource::new(plain(&file.to_string_lossy()), shown);
        Source(Arc::new(Inner { file: file.to_owned(), text, shown }))
    }

    /// Name of the file.
    pub fn file(&self) -> &Path {
        &self.0.file
    }

    /// Its name, to be shown.
    pub fn name(&self) -> &str {
        self.0.shown.name()
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Line and column of a byte offset, both from 1; the column counts characters.
    pub fn line_column(&self, offset: usize) -> (usize, usize) {
        let mut end = offset.min(self.text().len());
        while !self.text().is_char_boundary(end) {
            end -= 1;
        }
        let before = self.text().get(..end).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("file", &self.0.file).field("bytes", &self.0.text.len()).finish()
    }
}

impl Default for Source {
    fn default() -> Source {
        Source::new(Path::new(""), "")
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// The file. Its text is empty if the file could not be read.
    pub source: Source,
    /// Bytes of the text that it is about.
    pub span: Range<usize>,
    /// Key such as `transaction.statement.sql`; empty if no key is concerned.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What is allowed, or what to do next.
    pub help: Option<String>,
}

impl Diagnostic {
    /// Something wrong with a file as a whole, such as that it cannot be read.
    pub fn of_file(file: &Path, message: impl Into<String>, help: Option<String>) -> Diagnostic {
        Diagnostic { source: Source::new(file, ""), span: 0..0, key: String::new(), message: message.into(), help }
    }

    /// Line, from 1.
    pub fn line(&self) -> usize {
        self.source.line_column(self.span.start).0
    }

    /// Column in characters, from 1.
    pub fn column(&self) -> usize {
        self.source.line_column(self.span.start).1
    }

    /// `file:line: key: message; help`, for a log or a pipe.
    pub fn plain(&self) -> String {
        let place = match self.source.text().is_empty() {
            true => self.source.name().to_owned(),
            false => format!("{}:{}", self.source.name(), self.line()),
        };
        match &self.help {
            Some(help) => format!("{place}: {self}; {}", plain(help)),
            None => format!("{place}: {self}"),
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.key.is_empty() {
            true => f.write_str(&plain(&self.message)),
            false => f.write_str(&plain(&format!("{}: {}", self.key, self.message))),
        }
    }
}

impl std::error::Error for Diagnostic {}

impl miette::Diagnostic for Diagnostic {
    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        match (&self.help, self.source.text().is_empty()) {
            (Some(help), false) => Some(Box::new(plain(help))),
            (Some(help), true) => Some(Box::new(format!("{}: {}", self.source.name(), plain(help)))),
            (None, true) => Some(Box::new(self.source.name())),
            (None, false) => None,
        }
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        (!self.source.text().is_empty()).then_some(&self.source.0.shown as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        if self.source.text().is_empty() {
            return None;
        }
        // The first line of a long span is enough to find it.
        let end = self.span.end.min(self.source.text().len());
        let start = self.span.start.min(end);
        let text = self.source.text().get(start..end).unwrap_or_default();
        let length = text.lines().next().unwrap_or_default().len();
        Some(Box::new(std::iter::once(LabeledSpan::new(Some("here".into()), start, length))))
    }
}

/// Diagnostics of one file, as they are found.
#[derive(Debug)]
pub struct Findings {
    source: Source,
    found: Vec<Diagnostic>,
    more: usize,
}

/// Most diagnostics that are kept of one file. Nobody reads more, and each costs a walk through the text.
const MOST: usize = 100;

impl Findings {
    /// None yet.
    pub fn new(source: Source) -> Findings {
        Findings { source, found: Vec::new(), more: 0 }
    }

    /// The file.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Adds one about a span of bytes.
    pub fn add(&mut self, span: Range<usize>, key: &str, message: impl Into<String>, help: impl Into<String>) {
        if self.is_full() {
            self.more += 1;
            return;
        }
        let help = help.into();
        let help = (!help.is_empty()).then_some(help);
        self.found.push(Diagnostic { source: self.source.clone(), span, key: without_indexes(key), message: message.into(), help });
    }

    /// Adds what was found in another file that this one names.
    pub fn adopt(&mut self, found: Vec<Diagnostic>) {
        self.found.extend(found);
    }

    /// Number kept so far.
    pub fn count(&self) -> usize {
        self.found.len()
    }

    /// Whether further ones are only counted.
    pub fn is_full(&self) -> bool {
        self.found.len() >= MOST
    }

    /// All of them in file order; `Ok(value)` if there is none. A missing value without a finding cannot happen, but is no panic either.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Vec<Diagnostic>> {
        match (self.found.is_empty(), value) {
            (true, Some(value)) => Ok(value),
            (true, None) => Err(vec![Diagnostic::of_file(self.source.file(), "the file could not be understood", None)]),
            (false, _) => Err(self.into_vec()),
        }
    }

    /// All of them, in file order.
    pub fn into_vec(mut self) -> Vec<Diagnostic> {
        // This file first, then those that it names.
        let other = |file: &Path| (file != self.source.file()).then(|| file.to_owned());
        self.found.sort_by_key(|diagnostic| (other(diagnostic.source.file()), diagnostic.span.start));
        if self.more > 0 {
            let end = self.source.text().len();
            let message = format!("{} more errors are not shown", self.more);
            self.found.push(Diagnostic { source: self.source, span: end..end, key: String::new(), message, help: None });
        }
        self.found
    }
}

/// `transaction[1].statement[0].sql` as people read it: the line tells which one is meant.
fn without_indexes(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut inside = false;
    for c in path.chars() {
        match c {
            '[' => inside = true,
            ']' => inside = false,
            _ if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

/// Reads a text file of at most [`LARGEST_FILE`] bytes.
pub fn read_text(file: &Path) -> Result<String, Diagnostic> {
    use std::io::Read;
    let fail = |error: &dyn fmt::Display| Diagnostic::of_file(file, format!("cannot be read: {error}"), None);
    let opened = std::fs::File::open(file).map_err(|error| fail(&error))?;
    let mut bytes = Vec::new();
    opened.take(LARGEST_FILE + 1).read_to_end(&mut bytes).map_err(|error| fail(&error))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(Diagnostic::of_file(file, "is larger than 1 MiB", Some("split it into several files".into())));
    }
    String::from_utf8(bytes).map_err(|error| {
        let line = error.as_bytes().get(..error.utf8_error().valid_up_to()).unwrap_or_default().iter().filter(|b| **b == b'\n').count() + 1;
        Diagnostic::of_file(file, format!("line {line} is not UTF-8"), Some("save the file as UTF-8".into()))
    })
}
