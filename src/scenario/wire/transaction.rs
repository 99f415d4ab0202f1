//! `[[transaction]]`: what one arrival runs.

use super::super::{AnswerRule, Answers, Identity, Statement, TenantPick, Transaction};
use super::expectation::{expectation, of_judged_statements};
use super::statement::{Around, Read, statement};
use super::{MOST, draws, name_of, script};
use crate::diagnostic::Findings;
use crate::diagnostic::document::{Keys, Node, Value, did_you_mean};
use crate::diagnostic::{closest, list};
use crate::record::{Side, Sides};

const IDENTITIES: &str = "\"member\", a role of the dataset such as \"owner\" or \"admin\", \"anon\", \"service\", \"none\"";
const ANSWERS: &str = "\"same\", \"same-rows\", \"same-count\", { differs = \"why\" } or { recall = 0.95 }";

/// Reads a transaction; what is wrong becomes findings.
pub fn transaction(node: &Node, f: &mut Findings) -> Option<Transaction> {
    let faults = f.count();
    let mut keys = Keys::of(node, f, "a table, opened by [[transaction]]")?;
    let name = keys.require(f, "name", "\"a-name\"").and_then(|node| name_of(node, f));
    let weight = keys.get("weight").map_or(Some(1.0), |node| node.number(f, 1e-6..=1e6));
    let script_node = keys.get("script");
    // A script is as a rule about the login role, and says itself where transactions begin and end.
    let identity = match (keys.get("identity"), script_node) {
        (Some(node), _) => identity(node, f),
        (None, Some(_)) => Some(Identity::None),
        (None, None) => {
            keys.require(f, "identity", "\"member\", a role, \"anon\", \"service\" or \"none\"");
            None
        }
    };
    let words = [("by-weight", TenantPick::ByWeight), ("uniform", TenantPick::Uniform), ("whale", TenantPick::Whale)];
    let tenants = keys.get("tenants").map_or(Some(TenantPick::ByWeight), |node| node.word(f, &words));
    let writes = keys.get("writes").map_or(Some(false), |node| node.boolean(f));
    let answers = answers(&mut keys, f);
    let drawn = keys.get("draw");
    let draws = drawn.map(|node| draws::draws(node, f, identity.as_ref())).unwrap_or_default();
    let variables = keys.get("variables");
    let script = script_node.and_then(|node| {
        let around = script::Around { identity: identity.as_ref(), writes, variables, draws: &draws };
        script::script(node, f, &around)
    });
    let statements = match script_node {
        None => keys.require(f, "statement", "[[transaction.statement]]"),
        Some(_) => keys.get("statement"),
    };
    let expected = expectation(&mut keys, node, f);
    keys.finish(f);
    one_source(script_node, statements, variables, f);
    let around = Around { identity: identity.as_ref(), writes };
    let reads = statements.map(|node| all_statements(node, f, around)).unwrap_or_default();
    if script_node.is_none() || script.is_some() {
        let uses = script.as_ref().map(|script| script.uses.as_slice()).unwrap_or_default();
        draws::usage(drawn, &draws, &reads, uses, f);
    }
    exact_and_recall(node, &reads, answers.as_ref(), f);
    let stated: Vec<(String, &Node)> = reads.iter().filter_map(|read| Some((read.name.clone(), read.expect?))).collect();
    let statements = match &script {
        Some(script) => Sides { before: script.statements.clone(), after: script.statements.clone() },
        None => by_side(node, reads, f),
    };
    let transaction = Transaction {
        name: name?,
        weight: weight?,
        identity: identity?,
        tenants: tenants?,
        writes: writes?,
        answers: answers?,
        draws,
        statements,
        script: script.map(|script| script.scripted),
        expected,
    };
    if f.count() == faults {
        // Else the sides may only seem to differ.
        of_judged_statements(&transaction, &stated, f);
    }
    Some(transaction)
}

/// Statements come from a script or stand here, and only a script has variables.
fn one_source(script: Option<&Node>, statements: Option<&Node>, variables: Option<&Node>, f: &mut Findings) {
    if let (Some(_), Some(statements)) = (script, statements) {
        statements.fault(f, "the transaction has a script as well", "write statements or name a script");
    }
    if let (None, Some(variables)) = (script, variables) {
        variables.fault(f, "only a script has variables", "draw the value, or write it into the statement");
    }
}

fn identity(node: &Node, f: &mut Findings) -> Option<Identity> {
    let text = node.filled(f, IDENTITIES)?;
    let fixed = ["member", "anon", "service", "none"];
    match text {
        "member" => return Some(Identity::Member { role: None }),
        "anon" => return Some(Identity::Anon),
        "service" => return Some(Identity::Service),
        "none" => return Some(Identity::None),
        _ => {}
    }
    let near = closest(text, fixed);
    let good = text.len() <= 63 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'));
    if near.is_some() || !good {
        node.fault(f, format!("{text:?} is no identity{}", did_you_mean(near)), format!("allowed: {IDENTITIES}"));
        return None;
    }
    Some(Identity::Member { role: Some(text.to_owned()) })
}

fn answers(keys: &mut Keys, f: &mut Findings) -> Option<Answers> {
    let rule = keys.get("answers").map_or(Some(AnswerRule::Same), |node| answer_rule(node, f));
    let ignore = keys.get("ignore").map(|node| node.texts(f, "a list of columns of the answer")).unwrap_or_default();
    let tolerance = keys.get("tolerance").map_or(Some(1e-9), |node| node.number(f, 0.0..=0.1));
    Some(Answers { rule: rule?, ignore, tolerance: tolerance? })
}

fn answer_rule(node: &Node, f: &mut Findings) -> Option<AnswerRule> {
    match &node.value {
        Value::Text(text) => match text.as_str() {
            "same" => Some(AnswerRule::Same),
            "same-rows" => Some(AnswerRule::SameRows),
            "same-count" => Some(AnswerRule::SameCount),
            _ => {
                let near = closest(text, ["same", "same-rows", "same-count"]);
                node.fault(f, format!("{text:?} is not allowed here{}", did_you_mean(near)), format!("allowed: {ANSWERS}"));
                None
            }
        },
        Value::Table(entries) if entries.len() == 1 && matches!(entries[0].key.as_str(), "differs" | "recall") => {
            let value = &entries[0].node;
            match entries[0].key.as_str() {
                "differs" => value.filled(f, "the reason, as text").map(|why| AnswerRule::Differs(why.to_owned())),
                _ => value.number(f, 0.01..=1.0).map(AnswerRule::Recall),
            }
        }
        _ => {
            node.not_allowed(f, ANSWERS);
            None
        }
    }
}

fn all_statements<'n>(node: &'n Node, f: &mut Findings, around: Around) -> Vec<Read<'n>> {
    let items = node.array(f, "tables, each opened by [[transaction.statement]]").unwrap_or_default();
    if items.len() > MOST {
        node.fault(f, format!("there are {} statements", items.len()), format!("allowed: at most {MOST}"));
        return Vec::new();
    }
    let mut reads: Vec<Read<'n>> = Vec::new();
    for item in items {
        let Some(read) = statement(item, f, around) else { continue };
        let clashes = |other: &Read| {
            let both = |side: Side| other.sides.get(side).is_some() && read.sides.get(side).is_some();
            other.name == read.name && Side::BOTH.into_iter().any(both)
        };
        if !read.name.is_empty() && reads.iter().any(clashes) {
            item.fault(f, format!("a second statement has the name {:?} on one side", read.name), "give each its own name");
        }
        reads.push(read);
    }
    reads
}

/// An exact form is only for recall, and recall needs one on the after side.
fn exact_and_recall(node: &Node, reads: &[Read], answers: Option<&Answers>, f: &mut Findings) {
    let Some(answers) = answers else { return };
    let has_exact = |side: Side| reads.iter().any(|read| read.sides.get(side).as_ref().is_some_and(|s| s.exact.is_some()));
    let recall = matches!(answers.rule, AnswerRule::Recall(_));
    if recall && !reads.is_empty() && !has_exact(Side::After) {
        let help = "give the search its exact form: exact = \"select ...\"";
        node.fault(f, "recall needs an exact form to compare with, and no statement of the after side has one", help);
    }
    if !recall && Side::BOTH.into_iter().any(has_exact) {
        let help = "add answers = { recall = 0.95 }, or remove exact";
        node.fault(f, "a statement has an exact form, which only answers = { recall = ... } reads", help);
    }
}

/// Deals the statements to their sides and holds each side against the rules for a whole one.
fn by_side(node: &Node, reads: Vec<Read>, f: &mut Findings) -> Sides<Vec<Statement>> {
    let none_read = reads.is_empty();
    let mut statements = Sides { before: Vec::new(), after: Vec::new() };
    for read in reads {
        statements.before.extend(read.sides.before);
        statements.after.extend(read.sides.after);
    }
    let requests = |statements: &Vec<Statement>| statements.iter().map(|statement| statement.request).collect::<Vec<_>>();
    let same_requests = requests(&statements.before) == requests(&statements.after);
    for side in Side::BOTH {
        let side_statements: &Vec<Statement> = statements.get(side);
        if side_statements.is_empty() && !none_read && f.count() == 0 {
            let help = "give it a statement, or remove `only` from one";
            node.fault(f, format!("the {} side has no statement", side.name()), help);
        }
        if side == Side::After && same_requests {
            // What is wrong with them was said of the before side.
            break;
        }
        let requests = requests(side_statements);
        if requests.iter().any(Option::is_some) && requests.iter().any(Option::is_none) {
            let without = side_statements.iter().filter(|s| s.request.is_none()).map(|s| s.name.as_str());
            let message = format!("on the {} side, some statements have a request and some have none: {}", side.name(), list(without));
            node.fault(f, message, "number the request of every statement of a side, or of none");
        }
        let alone = |statement: &Statement| side_statements.iter().filter(|other| other.request == statement.request).count() == 1;
        for statement in side_statements.iter().filter(|statement| statement.repeats_request() && !alone(statement)) {
            let message =
                format!("on the {} side, {} makes a request of each repetition, but shares its request", side.name(), statement.name);
            node.fault(f, message, "give it a request number of its own");
        }
        let numbers: Vec<u32> = requests.iter().flatten().copied().collect();
        if !numbers.is_sorted() {
            node.fault(f, format!("the requests of the {} side go back", side.name()), "number requests upwards in file order");
        }
    }
    statements
}
