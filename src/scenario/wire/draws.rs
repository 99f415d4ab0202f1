//! All draws of a transaction, and whether draws and statements fit together.

use super::super::sql::scan;
use super::super::{Draw, Identity, Within};
use super::MOST;
use super::draw::draw;
use super::statement::Read;
use crate::diagnostic::document::{Node, did_you_mean};
use crate::diagnostic::{Findings, closest, list};

/// The parameter that is always there: the dataset's clock.
const NOW: &str = "now";

/// Reads the `draw` table.
pub fn draws(node: &Node, f: &mut Findings, identity: Option<&Identity>) -> Vec<(String, Draw)> {
    let Some(entries) = node.entries() else {
        node.not_allowed(f, "draws by name, such as draw.conversation = { from = \"conversations\" }");
        return Vec::new();
    };
    if entries.len() > MOST {
        node.fault(f, format!("there are {} draws", entries.len()), format!("allowed: at most {MOST}"));
        return Vec::new();
    }
    let mut read: Vec<(String, Draw)> = Vec::new();
    for entry in entries {
        if !is_name(&entry.key) && entry.key != NOW {
            let help = "allowed: letters, digits and _, not beginning with a digit, as in :conversation_id";
            f.add(entry.key_span.clone(), &entry.node.path, "is no name of a parameter", help);
        }
        if entry.key == NOW {
            let help = ":now is always there, the dataset's own clock; choose another name";
            f.add(entry.key_span.clone(), &entry.node.path, "cannot be drawn", help);
        }
        if let Some(drawn) = draw(&entry.node, f, identity) {
            refers(&entry.node, &drawn, &read, entries.iter().map(|entry| entry.key.as_str()), f);
            read.push((entry.key.clone(), drawn));
        }
    }
    read
}

/// Whether a statement can name a parameter so.
fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(good) && (1..=63).contains(&text.len()) && text != NOW
}

/// The draw that another one builds on, and the key that says so.
fn base(draw: &Draw) -> Option<(&'static str, &str)> {
    match draw {
        Draw::Of(parameter, _) => Some(("of", parameter)),
        Draw::Row { within: Within::Parameter(parameter), .. } => Some(("within", parameter)),
        Draw::Rows { parent: Some(parameter), .. } => Some(("parent", parameter)),
        _ => None,
    }
}

/// A draw may only build on one that drew a row before it.
fn refers<'a>(node: &Node, drawn: &Draw, before: &[(String, Draw)], all: impl Iterator<Item = &'a str>, f: &mut Findings) {
    let Some((key, name)) = base(drawn) else { return };
    match before.iter().find(|(other, _)| other == name) {
        Some((_, Draw::Row { .. })) => {}
        Some(_) => node.fault(f, format!("{key} = {name:?} names a draw that draws no row"), "name a draw with `from`"),
        None if all.into_iter().any(|other| other == name) => {
            node.fault(f, format!("{key} = {name:?} names a draw that comes later"), "move that draw before this one");
        }
        None => {
            let rows = before.iter().filter(|(_, draw)| matches!(draw, Draw::Row { .. })).map(|(name, _)| name.as_str());
            let rows: Vec<&str> = rows.collect();
            let near = closest(name, rows.iter().copied());
            let always =
                if key == "within" { "\"tenant\", \"all\", or an earlier draw with `from`" } else { "an earlier draw with `from`" };
            let message = format!("{key} = {name:?} names no draw{}", did_you_mean(near));
            node.fault(f, message, format!("allowed: {always} (here: {})", list(rows)));
        }
    }
}

/// Every parameter must be drawn, every draw used (by a script perhaps), and `each` must repeat over rows that its statement uses.
pub fn usage(drawn: Option<&Node>, draws: &[(String, Draw)], reads: &[Read], by_script: &[String], f: &mut Findings) {
    let entries = drawn.and_then(Node::entries).unwrap_or_default();
    let known: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    let mut used: Vec<String> = draws.iter().filter_map(|(_, draw)| base(draw).map(|(_, name)| name.to_owned())).collect();
    used.extend_from_slice(by_script);
    for node in reads.iter().flat_map(|read| &read.texts) {
        let crate::diagnostic::document::Value::Text(sql) = &node.value else { continue };
        for (name, span) in scan(sql).uses {
            if name != NOW && !known.contains(&name.as_str()) {
                let near = closest(&name, known.iter().copied().chain([NOW]));
                let message = format!(":{name} is not drawn{}", did_you_mean(near));
                let help = format!("add draw.{name} = ... to the transaction, or use one of: {}", list(known.iter().chain(&[NOW])));
                node.fault_within(f, span, message, help);
            }
            used.push(name);
        }
    }
    for entry in entries.iter().filter(|entry| !used.contains(&entry.key) && is_name(&entry.key)) {
        let help = format!("use :{} in a statement, or remove the draw", entry.key);
        f.add(entry.key_span.clone(), &entry.node.path, "is drawn but never used", help);
    }
    for read in reads {
        repetition(read, draws, &known, f);
    }
}

fn repetition(read: &Read, draws: &[(String, Draw)], known: &[&str], f: &mut Findings) {
    for (node, each) in &read.each {
        let name = &each.parameter;
        match draws.iter().find(|(other, _)| other == name).map(|(_, draw)| draw) {
            Some(Draw::Rows { count, .. }) if each.chunk > *count => {
                node.fault(f, format!("takes {} rows at a time, but only {count} are drawn", each.chunk), format!("allowed: 1 to {count}"));
            }
            Some(Draw::Rows { .. }) => {}
            Some(_) => node.fault(f, format!("{name:?} draws no rows"), "repeat over a draw with `rows`"),
            // It is there, but could not be read: that was said already.
            None if known.contains(&name.as_str()) => {}
            None => {
                let rows = draws.iter().filter(|(_, draw)| matches!(draw, Draw::Rows { .. })).map(|(name, _)| name.as_str());
                let rows: Vec<&str> = rows.collect();
                let near = closest(name, rows.iter().copied());
                node.fault(
                    f,
                    format!("{name:?} is no draw{}", did_you_mean(near)),
                    format!("allowed: a draw with `rows` (here: {})", list(rows)),
                );
            }
        }
        let repeats = read.arms.values().flatten().filter(|s| s.each.as_ref() == Some(each));
        for statement in repeats {
            if known.contains(&name.as_str()) && !statement.parameters.1.contains(name) {
                node.fault(f, format!("the statement does not use :{name}"), format!("use :{name} in sql, or remove each"));
                break;
            }
        }
    }
}
