//! The run as Markdown that is fit for a pull request: verdicts first, the rest folded.

use anyhow::Context;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Error, Output, State, escape_formatter};
use serde::Serialize;

use super::prose::escaped;
use super::view::{RunView, view};
use super::{Run, environment};
use crate::shown::plain;

const TEMPLATE: &str = include_str!("templates/report.md");

/// What GitHub takes as the text of a pull request or a comment is 65,536 characters; a little is left for a word of one's own.
const MOST_CHARACTERS: usize = 64_000;

/// How much is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Depth {
    All,
    /// All but plans.
    Plans,
    /// Verdicts, failures and warnings only.
    Verdicts,
}

impl Depth {
    fn left_out(self) -> &'static str {
        match self {
            Depth::All => "",
            Depth::Plans => "Plans are left out, as a pull request does not take a text of this length; report.html has them.",
            Depth::Verdicts => {
                "What stands behind each verdict is left out, as a pull request does not take a text of this length; report.html has it."
            }
        }
    }
}

#[derive(Serialize)]
struct PageData {
    #[serde(flatten)]
    view: RunView,
    depth: Depth,
    left_out: &'static str,
}

/// The run as Markdown (the dialect of GitHub and GitLab), with as much detail as a pull request takes.
pub fn markdown(run: &Run<'_>) -> anyhow::Result<String> {
    let mut environment = environment()?;
    environment.set_auto_escape_callback(|_| AutoEscape::Custom("markdown".into()));
    environment.set_formatter(formatter);
    environment.add_filter("code", |text: &str| Value::from_safe_string(code(text)));
    environment.add_filter("html", |text: &str| Value::from_safe_string(escaped(&text.replace('\n', " "))));
    environment.add_filter("fenced", |text: &str, language: &str| Value::from_safe_string(fenced(text, language)));
    environment.add_template("report.md", TEMPLATE).context("the Markdown template of the report")?;
    let template = environment.get_template("report.md")?;
    let mut text = String::new();
    for depth in [Depth::All, Depth::Plans, Depth::Verdicts] {
        let page = PageData { view: view(run), depth, left_out: depth.left_out() };
        text = template.render(Serde(page)).context("rendering the Markdown report")?;
        if text.chars().count() <= MOST_CHARACTERS {
            break;
        }
    }
    Ok(plain(&text))
}

/// Escapes every text that is not marked safe, so that no value can become markup or mention a person.
fn formatter(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) if !value.is_safe() => out.write_str(&inline(text)).map_err(Error::from),
        Some(text) => out.write_str(text).map_err(Error::from),
        None => match state.auto_escape() {
            // Numbers and nothing cannot be markup.
            AutoEscape::Custom(_) if value.is_undefined() || value.is_none() => Ok(()),
            AutoEscape::Custom(_) => out.write_str(&value.to_string()).map_err(Error::from),
            _ => escape_formatter(out, state, value),
        },
    }
}

/// Text as one line of inline Markdown.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '$' | '#' => out.extend(['\\', character]),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // An empty comment between the sign and the name: no one is notified.
            '@' => out.push_str("@<!-- -->"),
            '\n' | '\r' | '\t' => out.push(' '),
            character => out.push(character),
        }
    }
    out
}

/// Text as inline code, also within a table.
fn code(text: &str) -> String {
    let text = text.replace(['\n', '\r', '\t'], " ").replace('|', "\\|");
    let fence = "`".repeat(longest_run(&text) + 1);
    let pad = if text.starts_with('`') || text.ends_with('`') { " " } else { "" };
    format!("{fence}{pad}{text}{pad}{fence}")
}

/// Text as a block of code that it cannot end.
fn fenced(text: &str, language: &str) -> String {
    let fence = "`".repeat((longest_run(text) + 1).max(3));
    format!("{fence}{language}\n{}\n{fence}", text.trim_end())
}

fn longest_run(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_become_markup() {
        assert_eq!(inline("a|b <i> *c* @team #1"), "a\\|b &lt;i&gt; \\*c\\* @<!-- -->team \\#1");
        assert_eq!(code("a `b` | c"), "``a `b` \\| c``");
        assert_eq!(fenced("x\n```\ny\n", "sql"), "````sql\nx\n```\ny\n````");
    }
}
