//! A script's text cut into SQL statements and meta commands, by the rules of psql's scanner, which pgbench uses.

use std::ops::Range;

use crate::sql::{Kind, lexeme};

/// A part of a script, in bytes of its text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Part {
    /// An SQL statement, without white space and comments around it.
    Sql {
        /// Where it stands.
        span: Range<usize>,
        /// What is sent: `\;` and `\:` without their backslash.
        text: String,
    },
    /// A meta command from its backslash to the end of its line, or of the last one that a backslash joins to it.
    Meta(Range<usize>),
}

/// What is not closed, from where on.
pub(super) type Unclosed = (Range<usize>, &'static str);

pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Reader<'a> {
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Reader { text, at }
    }

    /// The next part; `None` at the end.
    pub(super) fn next_part(&mut self) -> Option<Result<Part, Unclosed>> {
        let mut statement = Statement::default();
        let mut parentheses = 0usize;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let Some(lexeme) = lexeme(rest) else { return statement.finish() };
            let here = self.at;
            self.at += lexeme.length;
            if lexeme.unclosed {
                return Some(Err((here..self.at, "this string, comment or quoted name does not end")));
            }
            let text = &rest[..lexeme.length];
            match (lexeme.kind, text) {
                (Kind::Space | Kind::Comment, _) => statement.blank(text),
                (Kind::Symbol, "\\") if rest.starts_with("\\;") || rest.starts_with("\\:") => {
                    self.at += 1;
                    statement.add(here, &rest[1..2], 2);
                }
                // A backslash ends the statement before it.
                (Kind::Symbol, "\\") => {
                    if let Some(part) = statement.finish() {
                        self.at = here;
                        return Some(part);
                    }
                    self.at = here + meta_length(rest);
                    return Some(Ok(Part::Meta(here..self.at)));
                }
                // It is sent with its semicolon.
                (Kind::Symbol, ";") if parentheses == 0 => {
                    if statement.has_begun() {
                        statement.add(here, ";", 1);
                        return statement.finish();
                    }
                }
                (kind, text) => {
                    match (kind, text) {
                        (Kind::Symbol, "(") => parentheses += 1,
                        (Kind::Symbol, ")") => parentheses = parentheses.saturating_sub(1),
                        _ => {}
                    }
                    statement.add(here, text, text.len());
                }
            }
        }
    }
}

/// A statement as far as it was read.
#[derive(Default)]
struct Statement {
    span: Option<Range<usize>>,
    text: String,
    /// White space and comments that belong to it only if more follows.
    pending: String,
}

impl Statement {
    fn has_begun(&self) -> bool {
        self.span.is_some()
    }

    fn blank(&mut self, text: &str) {
        if self.span.is_some() {
            self.pending.push_str(text);
        }
    }

    /// Adds what stands for `length` bytes at `at`.
    fn add(&mut self, at: usize, text: &str, length: usize) {
        let start = self.span.as_ref().map_or(at, |span| span.start);
        self.span = Some(start..at + length);
        self.text.push_str(&std::mem::take(&mut self.pending));
        self.text.push_str(text);
    }

    fn finish(self) -> Option<Result<Part, Unclosed>> {
        self.span.map(|span| Ok(Part::Sql { span, text: self.text }))
    }
}

/// To the end of the line, and on if a backslash stands there.
fn meta_length(text: &str) -> usize {
    let mut length = 0;
    for line in text.split_inclusive('\n') {
        length += line.len();
        if !line.trim_end_matches(['\r', '\n']).ends_with('\\') {
            break;
        }
    }
    text[..length].trim_end_matches(['\r', '\n']).len()
}
