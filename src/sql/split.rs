//! Splits an SQL file into its statements, by PostgreSQL's lexical rules. Pure.
//!
//! A semicolon ends a statement unless it is in a string, a dollar-quoted body, a quoted identifier, a comment,
//! parentheses (`CREATE RULE ... DO (a; b)`) or the `BEGIN ATOMIC ... END` body of an SQL-standard function.

use std::ops::Range;

use super::{Kind, lexeme};

/// One statement of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Bytes of the file, without leading comments and space, and without the semicolon.
    pub range: Range<usize>,
    /// The line on which it starts, from 1.
    pub line: usize,
}

/// Why a file cannot be split.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SplitError {
    /// Bytes of the file to point at.
    pub range: Range<usize>,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: &'static str,
}

/// The statements of `sql`, in order; empty ones are left out.
pub fn split_statements(sql: &str) -> Result<Vec<Statement>, SplitError> {
    let mut scanner = Scanner::new(sql);
    while scanner.at < sql.len() {
        scanner.step()?;
    }
    scanner.finish_statement(sql.len());
    Ok(scanner.statements)
}

/// The line, from 1, of a byte offset.
pub fn line_of(sql: &str, offset: usize) -> usize {
    1 + sql.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

struct Scanner<'a> {
    sql: &'a str,
    at: usize,
    statements: Vec<Statement>,
    /// Where the current statement's first token is.
    start: Option<usize>,
    /// Where its last token ends.
    end: usize,
    parentheses: usize,
    /// Depth of `BEGIN ATOMIC` and the `CASE`s within.
    atomic: usize,
    /// The statement's words so far, lower case; as many as are needed to know what it creates.
    words: Vec<String>,
    previous_word: String,
}

impl<'a> Scanner<'a> {
    fn new(sql: &'a str) -> Self {
        Self {
            sql,
            at: 0,
            statements: Vec::new(),
            start: None,
            end: 0,
            parentheses: 0,
            atomic: 0,
            words: Vec::new(),
            previous_word: String::new(),
        }
    }

    fn rest(&self) -> &'a str {
        self.sql.get(self.at..).unwrap_or_default()
    }

    /// Consumes one lexeme.
    fn step(&mut self) -> Result<(), SplitError> {
        let rest = self.rest();
        // A byte order mark counts as space at the start of a file only, which is where it is.
        if rest.starts_with('\u{feff}') {
            self.at += '\u{feff}'.len_utf8();
            return Ok(());
        }
        let Some(lexeme) = lexeme(rest) else { return Ok(()) };
        if lexeme.unclosed {
            return Err(self.unclosed(lexeme.kind));
        }
        let text = &rest[..lexeme.length];
        match lexeme.kind {
            Kind::Space | Kind::Comment => {}
            Kind::Symbol if text == ";" && self.parentheses == 0 && self.atomic == 0 => self.finish_statement(self.at),
            Kind::Symbol if text == "\\" => {
                let line = rest.find('\n').unwrap_or(rest.len());
                // What pg_dump puts around a dump, for psql alone to obey.
                if self.start.is_none() && ["\\restrict ", "\\unrestrict "].iter().any(|command| rest.starts_with(command)) {
                    self.at += line;
                    return Ok(());
                }
                return Err(self.error(line, "psql's backslash commands are not SQL; pgduel sends files to the server itself"));
            }
            kind => {
                self.start.get_or_insert(self.at);
                self.end = self.at + lexeme.length;
                match (kind, text) {
                    (Kind::Word, word) => self.word(word),
                    (Kind::Symbol, "(") => self.parentheses += 1,
                    (Kind::Symbol, ")") => self.parentheses = self.parentheses.saturating_sub(1),
                    _ => {}
                }
            }
        }
        self.at += lexeme.length;
        Ok(())
    }

    fn unclosed(&self, kind: Kind) -> SplitError {
        match kind {
            Kind::Comment => self.error(2, "this comment does not end (missing */)"),
            Kind::Quoted => self.error(1, "this quoted name does not end (missing \")"),
            _ if self.rest().starts_with('$') => self.error(1, "this dollar-quoted text does not end"),
            _ => self.error(1, "this string does not end (missing ')"),
        }
    }

    /// A keyword or name; tracks `BEGIN ATOMIC` in functions.
    fn word(&mut self, word: &str) {
        let word = word.to_lowercase();
        if self.atomic > 0 {
            match word.as_str() {
                "case" => self.atomic += 1,
                "end" => self.atomic -= 1,
                _ => {}
            }
        } else if word == "atomic" && self.previous_word == "begin" && self.creates_routine() {
            self.atomic = 1;
        }
        if self.words.len() < 4 {
            self.words.push(word.clone());
        }
        self.previous_word = word;
    }

    fn creates_routine(&self) -> bool {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let routine = |word: &&str| matches!(*word, "function" | "procedure");
        match words.as_slice() {
            ["create", "or", "replace", kind, ..] => routine(kind),
            ["create", kind, ..] => routine(kind),
            _ => false,
        }
    }

    fn finish_statement(&mut self, at: usize) {
        if let Some(start) = self.start.take() {
            self.statements.push(Statement { range: start..self.end.min(at), line: line_of(self.sql, start) });
        }
        self.parentheses = 0;
        self.atomic = 0;
        self.words.clear();
        self.previous_word.clear();
    }

    fn error(&self, length: usize, reason: &'static str) -> SplitError {
        SplitError { range: self.at..self.at + length, line: line_of(self.sql, self.at), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(sql: &str) -> Vec<&str> {
        split_statements(sql).expect("splits").into_iter().map(|statement| &sql[statement.range]).collect()
    }

    #[test]
    fn semicolons_end_statements_and_empty_ones_vanish() {
        assert_eq!(split("select 1; select 2 ;; \n ; -- end;\n"), ["select 1", "select 2"]);
        assert_eq!(split("select 1"), ["select 1"]);
        assert!(split("").is_empty());
        assert!(split("/* only */ -- this").is_empty());
    }

    #[test]
    fn semicolons_inside_something_do_not_end_a_statement() {
        for sql in [
            "select ';', 'it''s;'",
            "select E'\\';', e'\\\\'",
            "select ';\\'",
            "select \"a;\"\"b;\"",
            "select $$;$$, $x$ $$; $y$; $x$",
            "select 1 -- ;\n, 2",
            "select 1 /* ; /* ; */ ; */ + 1",
            "create rule r as on insert to t do also (delete from a; delete from b)",
            "create function f() returns int begin atomic select case when true then 1 end; select 2; end",
            "create or replace procedure p() language sql begin atomic insert into t values (1); end",
            "select U&'d\\0061t;' , U&\"n;\"",
        ] {
            assert_eq!(split(&format!("{sql}; select 2")), [sql, "select 2"], "{sql}");
        }
    }

    #[test]
    fn a_dump_may_have_its_lines_for_psql_and_nobody_another() {
        assert_eq!(split("\\restrict aB3\nselect 1;\n\\unrestrict aB3\n"), ["select 1"]);
        assert!(split_statements("select 1\n\\restrict aB3\n;").is_err());
        assert_eq!(split_statements("select 1;\n\\dt\n").unwrap_err().line, 2);
    }

    #[test]
    fn dollars_that_quote_nothing() {
        assert_eq!(
            split("select a$b$ from t; select $1; select 1$a; select 2"),
            ["select a$b$ from t", "select $1", "select 1$a", "select 2"]
        );
    }

    #[test]
    fn begin_outside_a_routine_is_a_transaction() {
        assert_eq!(split("begin; update t set atomic = 1; end; select 1").len(), 4);
        assert_eq!(split("create table atomic (begin int); select 1").len(), 2);
    }

    #[test]
    fn a_statement_knows_the_line_of_its_first_token() {
        let statements = split_statements("-- one\n\nselect\n 1;\n/* five\n */ select 2;").expect("splits");
        assert_eq!(statements.iter().map(|statement| statement.line).collect::<Vec<_>>(), [3, 6]);
    }

    #[test]
    fn what_does_not_end_is_an_error_with_its_line() {
        for (sql, line) in [
            ("select 1;\nselect 'x", 2),
            ("\n\n$a$ $$ $b$", 3),
            ("select \"x;", 1),
            ("/* /* */", 1),
            ("select 1;\n\\copy t from 'x'\n", 2),
            ("select E'\\'", 1),
        ] {
            let error = split_statements(sql).expect_err(sql);
            assert_eq!(error.line, line, "{sql}");
            assert!(error.range.end <= sql.len(), "{sql}");
        }
    }

    proptest! {
        #[test]
        fn any_text_splits_or_fails_without_a_panic(sql in "[ -~äß\\n$'\"\\\\;()eE/*-]{0,60}") {
            if let Ok(statements) = split_statements(&sql) {
                for statement in statements {
                    prop_assert!(!sql[statement.range].trim().is_empty());
                }
            }
        }

        #[test]
        fn quoted_text_comes_back_as_one_statement(text in "[ -~äß\\n]{0,40}") {
            let sql = format!("select '{}'", text.replace('\'', "''"));
            let file = format!("{};\n{}", sql, sql);
            prop_assert_eq!(split(&file), vec![sql.as_str(), sql.as_str()]);
        }
    }
}
