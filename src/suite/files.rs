//! What a suite's SQL files may hold: a variant changes one database, so nothing in it may touch what all databases of a server share.

use std::ops::Range;
use std::path::Path;

use crate::diagnostic::{Diagnostic, Findings, Source};
use crate::sql::{Kind, lexeme, split_statements};

/// Statements of a file that belong in a platform file. A file that cannot be read or cut is left to whoever applies it.
pub(super) fn check(file: &Path) -> Vec<Diagnostic> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let mut findings = Findings::new(Source::new(file, &text));
    for statement in split_statements(&text).unwrap_or_default() {
        if let Some(what) = shared(&words(text.get(statement.range.clone()).unwrap_or_default())) {
            let message = format!("{what} belong to the whole server, and all arms share them");
            findings.add(first_line(&text, statement.range), "", message, "move it to platform, whose files the superuser applies once");
        }
    }
    findings.into_vec()
}

/// What of the whole server a statement is about, from its words in lower case.
fn shared(words: &[String]) -> Option<&'static str> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["create" | "alter" | "drop", "user", "mapping", ..] => None,
        ["create" | "alter" | "drop", "role" | "user" | "group", ..] => Some("roles"),
        ["alter", "system", ..] => Some("the server's settings"),
        ["create" | "alter" | "drop", "database", ..] => Some("databases"),
        ["create" | "alter" | "drop", "tablespace", ..] => Some("tablespaces"),
        ["comment", "on", "database" | "role" | "tablespace", ..] => Some("databases, roles and tablespaces"),
        ["drop" | "reassign", "owned", ..] => Some("rights on databases"),
        ["security", "label", rest @ ..] if on(rest).is_some_and(|kind| ["database", "role", "tablespace"].contains(&kind)) => {
            Some("databases, roles and tablespaces")
        }
        ["grant" | "revoke", rest @ ..] => match on(rest) {
            None => Some("memberships of roles"),
            Some("database" | "tablespace" | "parameter") => Some("rights on databases, tablespaces and settings"),
            Some(_) => None,
        },
        _ => None,
    }
}

/// The word after `on`.
fn on<'w>(words: &[&'w str]) -> Option<&'w str> {
    let place = words.iter().position(|word| *word == "on")?;
    words.get(place + 1).copied()
}

/// Unquoted words in lower case; anything else is an empty one.
fn words(statement: &str) -> Vec<String> {
    let (mut words, mut rest) = (Vec::new(), statement);
    while let Some(lexeme) = lexeme(rest) {
        let (text, after) = rest.split_at(lexeme.length);
        match lexeme.kind {
            Kind::Space | Kind::Comment => {}
            Kind::Word => words.push(text.to_ascii_lowercase()),
            _ => words.push(String::new()),
        }
        rest = after;
    }
    words
}

fn first_line(text: &str, range: Range<usize>) -> Range<usize> {
    let line = text.get(range.clone()).and_then(|text| text.lines().next()).map_or(0, str::len);
    range.start..range.start + line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_shared(sql: &str) -> bool {
        shared(&words(sql)).is_some()
    }

    #[test]
    fn what_all_arms_share_is_known_by_its_first_words() {
        for sql in [
            "create role app",
            "CREATE /* x */ USER app",
            "alter role authenticated set statement_timeout = '1s'",
            "drop group app",
            "alter system set fsync = off",
            "drop database shop",
            "alter database shop set jit = off",
            "create tablespace fast location '/x'",
            "comment on database shop is ''",
            "security label for p on role app is 'x'",
            "grant pg_execute_server_program to postgres",
            "grant \"on\" to app",
            "revoke app from postgres",
            "drop owned by current_user",
            "grant connect on database shop to app",
        ] {
            assert!(is_shared(sql), "{sql}");
        }
        for sql in [
            "create user mapping for app server files",
            "alter table roles add column role text",
            "comment on table database is ''",
            "grant select on role to app",
            "grant all on all tables in schema public to anon",
            "revoke select (a, b) on t from anon",
            "alter default privileges in schema public grant all on tables to anon",
            "create policy database on t to anon using (true)",
            "select 'alter system'",
        ] {
            assert!(!is_shared(sql), "{sql}");
        }
    }
}
