//! What SQL in a scenario may not hold, and why.
//!
//! All arms must get the same answers at any hour, so a statement must not read the clock or a random number. One statement is one
//! prepared statement, and the harness writes the transaction's preamble, so neither a second statement nor `begin` fits.

use std::ops::Range;

use super::sql::{Scan, Token};

/// Something that a statement must not hold.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Breach {
    /// Bytes of the statement.
    pub span: Range<usize>,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub help: String,
    /// Whether it is that the answer differs from run to run.
    pub nondeterministic: bool,
}

/// Functions that are written without parentheses.
const BARE_CLOCKS: [&str; 6] = ["current_timestamp", "current_date", "current_time", "localtimestamp", "localtime", "timeofday"];
/// Functions that read the clock.
const CLOCKS: [&str; 5] = ["now", "clock_timestamp", "transaction_timestamp", "statement_timestamp", "timeofday"];
/// Functions that are random.
const RANDOM: [&str; 3] = ["random", "random_normal", "setseed"];
/// Types whose literal may be `'now'`.
const TIMES: [&str; 6] = ["timestamp", "timestamptz", "date", "time", "timetz", "zone"];
/// First words of statements that control a transaction.
const CONTROL: [&str; 8] = ["begin", "commit", "rollback", "abort", "start", "savepoint", "release", "end"];
/// First words of statements that write.
const WRITING: [&str; 6] = ["insert", "update", "delete", "merge", "truncate", "copy"];

/// Everything in a statement that must not be there.
pub fn breaches(sql: &str, scan: &Scan) -> Vec<Breach> {
    let mut found = Vec::new();
    if let Some((what, at)) = scan.unclosed {
        let help = "close it".to_owned();
        let message = format!("this {what} is not closed");
        found.push(Breach { span: at..at + 1, message, help, nondeterministic: false });
    }
    for (index, (token, span)) in scan.tokens.iter().enumerate() {
        let text = sql.get(span.clone()).unwrap_or_default();
        let next = scan.tokens.get(index + 1).and_then(|(_, span)| sql.get(span.clone())).unwrap_or_default();
        let before = index.checked_sub(1).and_then(|i| scan.tokens.get(i)).and_then(|(_, span)| sql.get(span.clone())).unwrap_or_default();
        let breach = match token {
            Token::Word => word(&text.to_lowercase(), before, next),
            Token::Text => time_literal(text, before, next),
            Token::Positional => Some((format!("{text} is no parameter here"), "use a name, such as :conversation".to_owned())),
            Token::Symbol if text == ";" && !next.is_empty() => {
                Some(("a second statement begins here".to_owned(), "give each its own [[transaction.statement]]".to_owned()))
            }
            _ => None,
        };
        let nondeterministic = matches!(token, Token::Word | Token::Text);
        found.extend(breach.map(|(message, help)| Breach { span: span.clone(), message, help, nondeterministic }));
    }
    found
}

fn word(word: &str, before: &str, next: &str) -> Option<(String, String)> {
    // A column `t.now` is none of these; `pg_catalog.now()` is.
    let column = before == "." && next != "(";
    let clock = (BARE_CLOCKS.contains(&word) && !column && before != "as") || (CLOCKS.contains(&word) && next == "(");
    if clock {
        let message = format!("{word} reads the clock, so answers change from run to run");
        return Some((message, "use :now, the dataset's own clock (timestamptz)".into()));
    }
    (RANDOM.contains(&word) && next == "(").then(|| {
        let help = "draw the value: draw.n = { int = [1, 100] }";
        (format!("{word} differs from run to run and from arm to arm"), help.into())
    })
}

fn time_literal(text: &str, before: &str, next: &str) -> Option<(String, String)> {
    let value = text.trim_matches('\'').trim().to_lowercase();
    let typed = next == "::" || TIMES.contains(&before.to_lowercase().as_str());
    (typed && ["now", "today", "tomorrow", "yesterday"].contains(&value.as_str()))
        .then(|| (format!("{text} as a time reads the clock"), "use :now, the dataset's own clock (timestamptz)".into()))
}

/// What a statement does to data and to its transaction, by its first word.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Changes data.
    Writes,
    /// Begins or ends a transaction.
    ControlsTransaction,
    /// Anything else.
    Other,
    /// Nothing but white space and comments.
    Empty,
}

/// The kind of a statement and the place of the word that tells. A data-changing CTE counts as writing.
pub fn kind(sql: &str, scan: &Scan) -> (Kind, Range<usize>) {
    let Some((_, first)) = scan.tokens.iter().find(|(token, _)| *token != Token::Symbol) else {
        let empty = scan.tokens.is_empty() && scan.uses.is_empty();
        return (if empty { Kind::Empty } else { Kind::Other }, 0..0);
    };
    let lower = |span: &Range<usize>| sql.get(span.clone()).unwrap_or_default().to_lowercase();
    let word = lower(first);
    if CONTROL.contains(&word.as_str()) {
        return (Kind::ControlsTransaction, first.clone());
    }
    if WRITING.contains(&word.as_str()) {
        return (Kind::Writes, first.clone());
    }
    // `with x as (insert into ...)`: a writing word right after a parenthesis, or after the whole WITH list.
    let inner = scan.tokens.windows(2).find(|pair| {
        let [(_, opening), (token, span)] = pair else { return false };
        let opens = matches!(sql.get(opening.clone()), Some("(" | ")"));
        word == "with" && opens && *token == Token::Word && WRITING[..4].contains(&lower(span).as_str())
    });
    match inner {
        Some([_, (_, span)]) => (Kind::Writes, span.clone()),
        _ => (Kind::Other, first.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sql::scan;
    use super::*;

    fn found(sql: &str) -> Vec<&str> {
        breaches(sql, &scan(sql)).into_iter().map(|breach| &sql[breach.span]).collect()
    }

    #[test]
    fn clocks_and_chance_are_found() {
        assert_eq!(found("select now(), NOW ( ), pg_catalog.now()"), ["now", "NOW", "now"]);
        assert_eq!(found("select current_timestamp, localtimestamp(3)"), ["current_timestamp", "localtimestamp"]);
        assert_eq!(found("select clock_timestamp(), random()"), ["clock_timestamp", "random"]);
        assert_eq!(found("select 'now'::timestamptz, timestamp 'today'"), ["'now'", "'today'"]);
        assert_eq!(found("select 1; select 2"), [";"]);
        assert_eq!(found("select $1"), ["$1"]);
    }

    #[test]
    fn what_only_looks_like_it_passes() {
        for sql in [
            "select :now",
            "select 'now()'",
            "-- now()\nselect 1",
            "select now from t",
            "select t.current_date",
            "select 'now'",
            "select 1;",
        ] {
            assert!(found(sql).is_empty(), "{sql}: {:?}", found(sql));
        }
    }

    #[test]
    fn the_first_word_tells_the_kind() {
        let kind = |sql: &str| kind(sql, &scan(sql)).0;
        assert_eq!(kind("select 1"), Kind::Other);
        assert_eq!(kind("(select 1)"), Kind::Other);
        assert_eq!(kind("-- x\n UPDATE t set a = 1"), Kind::Writes);
        assert_eq!(kind("with x as (insert into t values (1) returning 1) select * from x"), Kind::Writes);
        assert_eq!(kind("with x as (select 1) update t set a = 1"), Kind::Writes);
        assert_eq!(kind("with x as (select updated from t) select update from x"), Kind::Other);
        assert_eq!(kind("commit"), Kind::ControlsTransaction);
        assert_eq!(kind(" -- nothing\n"), Kind::Empty);
    }
}
