//! `script = "file.sql"`: a transaction that a pgbench script makes.

use std::sync::Arc;

use super::super::script::{Given, ScriptedTransaction};
use super::super::{Draw, Identity, Statement};
use super::MOST;
use crate::diagnostic::document::{Node, Value, did_you_mean};
use crate::diagnostic::{Findings, Source, closest, list, read_text};
use crate::script::evaluate::Text;
use crate::script::is_variable_name;
use crate::script::value::Value as Number;

/// What a transaction says of its script.
pub struct Around<'a> {
    /// Who runs it; `None` if that could not be read.
    pub identity: Option<&'a Identity>,
    /// Whether it writes; `None` likewise.
    pub writes: Option<bool>,
    /// Values that the scenario gives.
    pub variables: Option<&'a Node>,
    /// What it draws.
    pub draws: &'a [(String, Draw)],
}

/// A script that was read.
pub struct Read {
    /// The script and its parameters.
    pub scripted: Arc<ScriptedTransaction>,
    /// What it sends, in order; the same on all arms.
    pub statements: Vec<Statement>,
    /// Names of the draws that it uses.
    pub uses: Vec<String>,
}

/// Reads the script that `node` names, from the folder of the scenario's file.
pub fn script(node: &Node, f: &mut Findings, around: &Around<'_>) -> Option<Read> {
    let name = node.filled(f, "the path of a pgbench script, from the scenario's folder")?;
    let variables = around.variables.map(|node| variables(node, f)).unwrap_or_default();
    let folder = f.source().file().parent().map(std::path::Path::to_owned).unwrap_or_default();
    let file = folder.join(name);
    let text = match read_text(&file) {
        Ok(text) => text,
        Err(unreadable) => {
            let help = format!("allowed: a path from the scenario's folder; here that is {}", file.display());
            node.fault(f, format!("the script {}", unreadable.message), help);
            return None;
        }
    };
    let mut found = Findings::new(Source::new(&file, &text));
    let draws: Vec<&str> = around.draws.iter().map(|(name, _)| name.as_str()).collect();
    let identity = around.identity.unwrap_or(&Identity::None);
    let given = Given { variables: &variables, draws: &draws, identity, writes: around.writes.unwrap_or(true) };
    let read = ScriptedTransaction::read(&mut found, given);
    f.adopt(found.into_vec());
    let (scripted, statements) = read?;
    needed(around.variables, &scripted, &draws, f);
    if statements.len() > MOST {
        node.fault(f, format!("{name:?} has {} statements", statements.len()), format!("allowed: at most {MOST}"));
        return None;
    }
    let uses = scripted.uses(&draws);
    Some(Read { scripted: Arc::new(scripted), statements, uses })
}

/// Faults variables that the script does not use, or that a draw gives too.
fn needed(variables: Option<&Node>, scripted: &ScriptedTransaction, draws: &[&str], f: &mut Findings) {
    for entry in variables.and_then(Node::entries).unwrap_or_default() {
        let name = entry.key.as_str();
        let (problem, help) = if draws.contains(&name) {
            (format!("{name} is drawn too, and has one value only"), format!("remove it here, or draw.{name}"))
        } else if is_variable_name(name) && scripted.symbols.find(name).is_none() {
            let used: Vec<&str> = scripted.symbols.used().collect();
            let near = closest(name, used.iter().copied());
            (format!("the script does not use :{name}{}", did_you_mean(near)), format!("it uses: {}", list(used)))
        } else {
            continue;
        };
        f.add(entry.key_span.clone(), &entry.node.path, problem, help);
    }
}

fn variables(node: &Node, f: &mut Findings) -> Vec<(String, Text)> {
    const ALLOWED: &str = "values by name, such as { scale = 10 }";
    let Some(entries) = node.entries() else {
        node.not_allowed(f, ALLOWED);
        return Vec::new();
    };
    let mut read = Vec::new();
    for entry in entries {
        if !is_variable_name(&entry.key) {
            f.add(entry.key_span.clone(), &entry.node.path, "is no name of a variable", "allowed: letters, digits and _");
            continue;
        }
        let value = match &entry.node.value {
            Value::Int(number) => Text::Value(Number::Integer(*number)),
            Value::Float(number) => Text::Value(Number::Double(*number)),
            Value::Bool(truth) => Text::Value(Number::Boolean(*truth)),
            Value::Text(text) => Text::Text(text.clone()),
            _ => {
                entry.node.not_allowed(f, "a number, a text, true or false");
                continue;
            }
        };
        read.push((entry.key.clone(), value));
    }
    read
}
