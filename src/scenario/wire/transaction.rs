//! `[[transaction]]`: what one arrival runs.

use super::super::{AnswerRule, Answers, ArmSpec, Identity, Statement, TenantPick, Transaction};
use super::expectation::{expectation, of_judged_statements};
use super::statement::{Around, Read, statement};
use super::{MOST, draws, name_of, script};
use crate::diagnostic::Findings;
use crate::diagnostic::document::{Keys, Node, Value, did_you_mean};
use crate::diagnostic::{closest, list};
use crate::record::Arms;

const IDENTITIES: &str = "\"member\", a role of the dataset such as \"owner\" or \"admin\", \"anon\", \"service\", \"none\"";
const ANSWERS: &str = "\"same\", \"same-rows\", \"same-count\", { differs = \"why\" } or { recall = 0.95 }";

/// Reads a transaction; what is wrong becomes findings.
pub fn transaction(node: &Node, f: &mut Findings, arms: &Arms<ArmSpec>) -> Option<Transaction> {
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
    let expected = expectation(&mut keys, node, f, arms);
    keys.finish(f);
    one_source(script_node, statements, variables, f);
    let around = Around { identity: identity.as_ref(), writes, arms };
    let reads = statements.map(|node| all_statements(node, f, around)).unwrap_or_default();
    if script_node.is_none() || script.is_some() {
        let uses = script.as_ref().map(|script| script.uses.as_slice()).unwrap_or_default();
        draws::usage(drawn, &draws, &reads, uses, f);
    }
    exact_and_recall(node, &reads, answers.as_ref(), f, arms);
    let stated: Vec<(String, &Node)> = reads.iter().filter_map(|read| Some((read.name.clone(), read.expect?))).collect();
    let statements = match &script {
        Some(script) => arms.each(|_| script.statements.clone()),
        None => dealt(node, reads, f, arms),
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
        // Else the arms may only seem to differ.
        of_judged_statements(&transaction, &stated, f, arms);
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
            let both = |arm| other.arms.get(arm).is_some() && read.arms.get(arm).is_some();
            other.name == read.name && around.arms.arms().any(both)
        };
        if !read.name.is_empty() && reads.iter().any(clashes) {
            item.fault(f, format!("a second statement has the name {:?} on the same arm", read.name), "give each its own name");
        }
        reads.push(read);
    }
    reads
}

/// An exact form is only for recall, and recall needs one on every arm but the baseline.
fn exact_and_recall(node: &Node, reads: &[Read], answers: Option<&Answers>, f: &mut Findings, arms: &Arms<ArmSpec>) {
    let Some(answers) = answers else { return };
    let has_exact = |arm| reads.iter().any(|read| read.arms.get(arm).as_ref().is_some_and(|s| s.exact.is_some()));
    let recall = matches!(answers.rule, AnswerRule::Recall(_));
    let without: Vec<&str> = arms.rivals().filter(|arm| !has_exact(*arm)).map(|arm| arms.get(arm).name.as_str()).collect();
    if recall && !reads.is_empty() && !without.is_empty() {
        let help = "give the search its exact form: exact = \"select ...\"";
        node.fault(f, format!("recall needs an exact form to compare with, and there is none on {}", list(without)), help);
    }
    if !recall && arms.arms().any(has_exact) {
        let help = "add answers = { recall = 0.95 }, or remove exact";
        node.fault(f, "a statement has an exact form, which only answers = { recall = ... } reads", help);
    }
}

/// Deals the statements to their arms and holds each arm against the rules for a whole one.
fn dealt(node: &Node, reads: Vec<Read>, f: &mut Findings, arms: &Arms<ArmSpec>) -> Arms<Vec<Statement>> {
    let none_read = reads.is_empty();
    let mut statements = arms.each(|_| Vec::new());
    for read in reads {
        for (of_arm, statement) in statements.values_mut().zip(read.arms) {
            of_arm.extend(statement);
        }
    }
    let requests =
        |of_arm: &Vec<Statement>| of_arm.iter().map(|statement| (statement.request, statement.repeats_request())).collect::<Vec<_>>();
    let mut told: Vec<Vec<(Option<u32>, bool)>> = Vec::new();
    for (arm, of_arm) in statements.iter() {
        let name = &arms.get(arm).name;
        if of_arm.is_empty() && !none_read && f.count() == 0 {
            node.fault(f, format!("{name} has no statement"), "give it one, or remove `only` from one");
        }
        let requests = requests(of_arm);
        if told.contains(&requests) {
            // What is wrong with them was said of an arm before.
            continue;
        }
        let numbered = |numbered: bool| requests.iter().any(|(request, _)| request.is_some() == numbered);
        if numbered(true) && numbered(false) {
            let without = of_arm.iter().filter(|s| s.request.is_none()).map(|s| s.name.as_str());
            let message = format!("on {name}, some statements have a request and some have none: {}", list(without));
            node.fault(f, message, "number the request of every statement of an arm, or of none");
        }
        let alone = |statement: &Statement| of_arm.iter().filter(|other| other.request == statement.request).count() == 1;
        for statement in of_arm.iter().filter(|statement| statement.repeats_request() && !alone(statement)) {
            let message = format!("on {name}, {} makes a request of each repetition, but shares its request", statement.name);
            node.fault(f, message, "give it a request number of its own");
        }
        let numbers: Vec<u32> = requests.iter().filter_map(|(request, _)| *request).collect();
        if !numbers.is_sorted() {
            node.fault(f, format!("the requests of {name} go back"), "number requests upwards in file order");
        }
        told.push(requests);
    }
    statements
}
