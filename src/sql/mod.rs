//! SQL text cut into lexemes by PostgreSQL's rules, just far enough to know what is inside of something and what is not. Pure.
//!
//! The rules are those of psql's scanner (`src/fe_utils/psqlscan.l`), with `standard_conforming_strings` on. Nothing here knows what a statement does.

mod split;

pub use split::{SplitError, Statement, line_of, split_statements};

/// What a stretch of SQL text is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// White space, as much as there is.
    Space,
    /// `-- to the end of the line`, without the line end, or `/* nested */`.
    Comment,
    /// A string of any kind: `'...'`, `E'...'`, `$$...$$`.
    Text,
    /// `"a quoted identifier"`.
    Quoted,
    /// A keyword or an identifier that is not quoted.
    Word,
    /// A number, and whatever letters follow it.
    Number,
    /// `$1`.
    Positional,
    /// Any other character, one at a time.
    Symbol,
}

/// The first lexeme of a text.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lexeme {
    /// What it is.
    pub kind: Kind,
    /// Its length in bytes.
    pub length: usize,
    /// Whether the text ends inside of it: a string, comment or quoted identifier that does not close.
    pub unclosed: bool,
}

impl Lexeme {
    fn closed(kind: Kind, length: usize) -> Lexeme {
        Lexeme { kind, length, unclosed: false }
    }

    /// Up to `end`, or all of `text` if there is none.
    fn until(kind: Kind, end: Option<usize>, text: &str) -> Lexeme {
        Lexeme { kind, length: end.unwrap_or(text.len()), unclosed: end.is_none() }
    }
}

/// The lexeme at the beginning of `text`; `None` at its end.
pub fn lexeme(text: &str) -> Option<Lexeme> {
    let first = text.chars().next()?;
    Some(match first {
        c if c.is_ascii_whitespace() => Lexeme::closed(Kind::Space, text.len() - text.trim_ascii_start().len()),
        '-' if text.starts_with("--") => Lexeme::closed(Kind::Comment, text.find('\n').unwrap_or(text.len())),
        '/' if text.starts_with("/*") => Lexeme::until(Kind::Comment, comment(text), text),
        '\'' => Lexeme::until(Kind::Text, string(text, false), text),
        'e' | 'E' if text[1..].starts_with('\'') => Lexeme::until(Kind::Text, string(&text[1..], true).map(|end| end + 1), text),
        '"' => Lexeme::until(Kind::Quoted, quoted(text), text),
        '$' => dollar(text),
        // What follows it is swallowed, so that `1$a$` opens no dollar quote.
        c if c.is_ascii_digit() => Lexeme::closed(Kind::Number, span(text, |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '$'))),
        c if starts_word(c) => Lexeme::closed(Kind::Word, span(text, continues_word)),
        c => Lexeme::closed(Kind::Symbol, c.len_utf8()),
    })
}

/// Whether an identifier may begin so. PostgreSQL takes every character outside of ASCII for a letter.
pub fn starts_word(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || !c.is_ascii()
}

/// Whether an identifier may go on so: `a$b$` is one.
pub fn continues_word(c: char) -> bool {
    starts_word(c) || c.is_ascii_digit() || c == '$'
}

fn span(text: &str, within: impl Fn(char) -> bool) -> usize {
    text.find(|c: char| !within(c)).unwrap_or(text.len())
}

/// Where a comment ends; they nest.
fn comment(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut depth, mut at) = (0usize, 0);
    loop {
        match bytes.get(at..at + 2)? {
            b"/*" => (depth, at) = (depth + 1, at + 2),
            b"*/" => {
                (depth, at) = (depth - 1, at + 2);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
}

/// Where a string ends that begins with its quote. With `backslashes`, one hides the character after it.
fn string(text: &str, backslashes: bool) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'\\' if backslashes => at += 2,
            b'\'' if bytes.get(at + 1) == Some(&b'\'') => at += 2,
            b'\'' => {
                at += 1;
                // A string goes on after a line end, and keeps its kind.
                let rest = text.get(at..).unwrap_or_default();
                let blank = rest.len() - rest.trim_ascii_start().len();
                if !(rest[..blank].contains('\n') && rest[blank..].starts_with('\'')) {
                    return Some(at);
                }
                at += blank + 1;
            }
            _ => at += 1,
        }
    }
}

/// Where a quoted identifier ends; a doubled quote is part of it.
fn quoted(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 1;
    loop {
        match bytes.get(at)? {
            b'"' if bytes.get(at + 1) == Some(&b'"') => at += 2,
            b'"' => return Some(at + 1),
            _ => at += 1,
        }
    }
}

/// `$1`, a dollar quote, or a dollar that is neither.
fn dollar(text: &str) -> Lexeme {
    let rest = &text[1..];
    let digits = span(rest, |c| c.is_ascii_digit());
    if digits > 0 {
        return Lexeme::closed(Kind::Positional, 1 + digits);
    }
    let tag = span(rest, |c| continues_word(c) && c != '$');
    if !rest[tag..].starts_with('$') {
        return Lexeme::closed(Kind::Symbol, 1);
    }
    let delimiter = &text[..tag + 2];
    let end = text[delimiter.len()..].find(delimiter).map(|end| end + 2 * delimiter.len());
    Lexeme::until(Kind::Text, end, text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn kinds(text: &str) -> Vec<(Kind, &str)> {
        let (mut rest, mut found) = (text, Vec::new());
        while let Some(lexeme) = lexeme(rest) {
            assert!(!lexeme.unclosed, "{rest}");
            let (one, after) = rest.split_at(lexeme.length);
            found.push((lexeme.kind, one));
            rest = after;
        }
        found
    }

    #[test]
    fn every_kind_is_told_from_the_others() {
        use Kind::*;
        let text = r#"select "a""b" || $1 -- x"#;
        let wanted = [
            (Word, "select"),
            (Space, " "),
            (Quoted, "\"a\"\"b\""),
            (Space, " "),
            (Symbol, "|"),
            (Symbol, "|"),
            (Space, " "),
            (Positional, "$1"),
            (Space, " "),
            (Comment, "-- x"),
        ];
        assert_eq!(kinds(text), wanted);
        assert_eq!(kinds("1$a$"), [(Number, "1$a$")]);
        assert_eq!(kinds("a$b$"), [(Word, "a$b$")]);
        assert_eq!(kinds("$x$ $$ $x$;"), [(Text, "$x$ $$ $x$"), (Symbol, ";")]);
        assert_eq!(kinds("/* a /* b */ c */1"), [(Comment, "/* a /* b */ c */"), (Number, "1")]);
    }

    #[test]
    fn strings_end_where_postgres_ends_them() {
        for text in [r"'it''s'", r"E'\''", r"e'\\'", "'a' \n 'b'", "E'a'\n'\\''", "'\\'"] {
            assert_eq!(kinds(text), [(Kind::Text, text)], "{text}");
        }
        assert_eq!(kinds("'a' 'b'").len(), 3);
    }

    #[test]
    fn what_does_not_close_is_told() {
        for text in ["'a", "E'\\'", "\"a", "$$a", "/* /* */", "'a'\n'b"] {
            let found = lexeme(text).unwrap();
            assert!(found.unclosed && found.length == text.len(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_cut_without_loss(text in "[ -~äß\\n$'\"\\\\;()eE/*-]{0,60}") {
            let mut at = 0;
            while let Some(lexeme) = lexeme(&text[at..]) {
                prop_assert!(lexeme.length > 0 && text.is_char_boundary(at + lexeme.length));
                at += lexeme.length;
            }
            prop_assert_eq!(at, text.len());
        }
    }
}
