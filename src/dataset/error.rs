//! What can be wrong with a dataset: a place in the file, or a size that cannot be.

use std::ops::Range;
use std::sync::Arc;

use miette::{Diagnostic, NamedSource, SourceSpan};

/// What is wrong with a dataset file, or a size it cannot have.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum DatasetError {
    /// Something in the file, with its place.
    #[error(transparent)]
    #[diagnostic(transparent)]
    File(#[from] Box<FileError>),
    /// A scale, a number of vectors or an overlay that this model cannot have.
    #[error("{message}")]
    #[diagnostic(help("{help}"))]
    Sizing {
        /// What was asked for and why it cannot be.
        message: String,
        /// What is allowed.
        help: String,
    },
}

/// A mistake at a place of a dataset file.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("{file}:{line}: {key}: {message}")]
#[diagnostic(help("{help}"))]
pub struct FileError {
    /// File, as the caller named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Key, such as `table.messages.columns.role.cycle`.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What is allowed there.
    pub help: String,
    #[source_code]
    text: NamedSource<Arc<str>>,
    #[label("here")]
    span: SourceSpan,
}

/// A file's text with its name, to make errors of spans.
pub(super) struct Source {
    pub file: String,
    pub text: Arc<str>,
}

impl Source {
    /// The error for `key`, at `span` (bytes).
    pub fn error(&self, span: Range<usize>, key: &str, message: impl Into<String>, help: impl Into<String>) -> DatasetError {
        let end = self.text.len();
        let (from, to) = (span.start.min(end), span.end.min(end));
        let line = 1 + self.text.bytes().take(from).filter(|b| *b == b'\n').count();
        DatasetError::from(Box::new(FileError {
            file: self.file.clone(),
            line,
            key: if key.is_empty() { "(file)".to_owned() } else { key.to_owned() },
            message: message.into(),
            help: help.into(),
            text: NamedSource::new(&self.file, self.text.clone()),
            span: (from, to.saturating_sub(from)).into(),
        }))
    }
}
