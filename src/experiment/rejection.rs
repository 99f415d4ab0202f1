//! A statement that PostgreSQL rejects, told so that its author finds it: file, line, what the server said.

use crate::load::session::SessionError;
use crate::record::{Arm, Factor};
use crate::scenario::{Scenario, Statement, sql};

/// Which text of a statement was sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// Its `sql`.
    Timed,
    /// Its `exact`, which tells what a search must find.
    Exact,
}

/// Whether the server or its machine failed, and not what was asked of it: no resources, its own files, a shutdown, a lost connection. `code` is an
/// SQLSTATE or [`SessionError::code`].
pub fn is_servers_fault(code: &str) -> bool {
    match code.get(..2) {
        // A limit that was configured, and a file that SQL names, are none of the server's.
        Some("53") => code != "53400",
        Some("58") => code != "58P01",
        Some("08") => true,
        _ => ["57P01", "57P02", "57P03", "connection"].contains(&code),
    }
}

/// `file:line: arm, statement: [SQLSTATE] message`, as far as the file tells.
pub fn describe(scenario: &Scenario, arm: Arm, form: Form, error: &SessionError) -> String {
    let arm_name = &scenario.arms.get(arm).name;
    let SessionError::Rejected { statement: name, error: rejected } = error else {
        return format!("{arm_name}: {error}");
    };
    let (transaction, name) = name.split_once('/').unwrap_or((name, ""));
    let transaction = scenario.transactions.iter().find(|one| one.name == transaction);
    let statements = transaction.map(|transaction| transaction.statements.get(arm).as_slice()).unwrap_or_default();
    let index = statements.iter().position(|statement| statement.name == name);
    let script = transaction.and_then(|transaction| transaction.script.as_deref());
    let (file, line) = match (script, index.and_then(|index| statements.get(index))) {
        (Some(script), Some(statement)) => {
            let within = lines_before(&statement.parameters.0, rejected.position);
            (script.source.file(), index.and_then(|index| script.line_of(index)).map(|line| line + within))
        }
        (_, statement) => {
            (scenario.file.as_path(), statement.and_then(|statement| line(scenario, arm, statement, form, rejected.position)))
        }
    };
    let place = match line {
        Some(line) => format!("{}:{line}", file.display()),
        None => file.display().to_string(),
    };
    let form = if form == Form::Exact { ", exact form" } else { "" };
    let help = if error.code() == "42501" { " (grant it in the suite's files to the role that the statement runs as)" } else { "" };
    format!("{place}: {arm_name}{form}, {error}{help}")
}

/// The line of the file that holds the position in the statement. PostgreSQL counts in the text with `$1` for `:name`, which has the
/// same lines as what was written; so has the value of a sweep.
fn line(scenario: &Scenario, arm: Arm, statement: &Statement, form: Form, position: Option<u32>) -> Option<usize> {
    let source = Factor::fill(scenario.arms.get(arm).factor.as_ref(), scenario.origin.source().text());
    let (written, sent) = match (form, &statement.exact) {
        (Form::Exact, Some(exact)) => (exact, sql::scan(exact).numbered),
        _ => (&statement.sql, statement.parameters.0.clone()),
    };
    let start = source.find(written.trim())?;
    let before = lines_before(&sent, position);
    let leading = sent.len() - sent.trim_start().len();
    let skipped = sent.get(..leading).unwrap_or_default().matches('\n').count();
    let first = source.get(..start)?.matches('\n').count() + 1;
    Some(first + before.saturating_sub(skipped))
}

/// Ends of lines before a position in a text, in characters from 1.
fn lines_before(text: &str, position: Option<u32>) -> usize {
    text.chars().take(position.map_or(0, |position| position.saturating_sub(1) as usize)).filter(|c| *c == '\n').count()
}

#[cfg(test)]
mod tests {
    use super::is_servers_fault;

    #[test]
    fn what_is_the_servers_fault() {
        assert!(["53100", "53200", "53300", "58000", "58030", "57P01", "57P03", "08006", "connection"].into_iter().all(is_servers_fault));
        assert!(!["53400", "58P01", "57014", "42P01", "22012", "40001", "XX000", "script", ""].into_iter().any(is_servers_fault));
    }
}
