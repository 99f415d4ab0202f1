//! One draw: where a parameter's value comes from.

use super::super::{Constant, Draw, Identity, Pick, Within};
use super::units;
use crate::diagnostic::Findings;
use crate::diagnostic::document::{Keys, Node, Value, did_you_mean};
use crate::diagnostic::{closest, list};

/// Keys that tell what kind of draw a table is.
const KINDS: [&str; 9] = ["from", "of", "tenant", "int", "choice", "ago", "words", "query-vector", "rows"];
const CONST: &str = "const";
const PICKS: &str = "\"uniform\", \"zipf\", \"recent\", \"gaussian\", { zipf = 1.1 }, { recent = 5 } or { gaussian = 3 }";
/// What the bare words stand for.
const ZIPF: f64 = 1.1;
const RECENT: f64 = 5.0;
const GAUSSIAN: f64 = 3.0;

/// Reads a draw; what is wrong becomes findings.
pub fn draw(node: &Node, f: &mut Findings, identity: Option<&Identity>) -> Option<Draw> {
    match &node.value {
        Value::Text(text) => word(node, text, f, identity),
        Value::Int(_) | Value::Float(_) | Value::Bool(_) => constant(node, f),
        Value::Table(entries) => {
            let kinds: Vec<&str> = KINDS.into_iter().chain([CONST]).filter(|kind| entries.iter().any(|e| e.key == *kind)).collect();
            let [kind] = kinds[..] else {
                let near = entries.iter().find_map(|entry| closest(&entry.key, KINDS));
                let message = match kinds.len() {
                    0 => format!("says not what to draw{}", did_you_mean(near)),
                    _ => format!("says several things to draw: {}", list(&kinds)),
                };
                let help = format!("allowed: a table with one of {}; \"user\", \"tenant\", \"new-uuid\"; or a constant", list(KINDS));
                node.fault(f, message, help);
                return None;
            };
            table(node, kind, f)
        }
        _ => {
            node.not_allowed(f, "a table such as { from = \"conversations\" }, \"user\", \"tenant\", \"new-uuid\", or a constant");
            None
        }
    }
}

fn word(node: &Node, text: &str, f: &mut Findings, identity: Option<&Identity>) -> Option<Draw> {
    match text {
        "user" => {
            if matches!(identity, Some(Identity::Anon | Identity::Service | Identity::None)) {
                let help = "use identity = \"member\" or a role; or draw the user as a row: { from = \"auth.users\", within = \"tenant\" }";
                node.fault(f, "this identity is no user", help);
            }
            Some(Draw::User)
        }
        "tenant" => Some(Draw::Tenant(None)),
        "new-uuid" => Some(Draw::NewUuid),
        _ => {
            let near = closest(text, ["user", "tenant", "new-uuid"]);
            if near.is_some() {
                let help = format!("write {{ const = {text:?} }} if the text itself is meant");
                node.fault(f, format!("{text:?} looks like a slip{}", did_you_mean(near)), help);
            }
            Some(Draw::Constant(Constant::Text(text.to_owned())))
        }
    }
}

fn constant(node: &Node, f: &mut Findings) -> Option<Draw> {
    let constant = match &node.value {
        Value::Int(n) => Constant::Int(*n),
        Value::Float(n) if n.is_finite() => Constant::Float(*n),
        Value::Bool(b) => Constant::Bool(*b),
        Value::Text(text) => Constant::Text(text.clone()),
        _ => {
            node.not_allowed(f, "a text, a finite number, true or false");
            return None;
        }
    };
    Some(Draw::Constant(constant))
}

fn table(node: &Node, kind: &str, f: &mut Findings) -> Option<Draw> {
    let mut keys = Keys::of(node, f, "a table")?;
    let draw = match kind {
        "from" => row(&mut keys, f),
        "of" => {
            let of = keys.get("of").and_then(|node| node.filled(f, "the name of an earlier draw"));
            let column = keys.require(f, "column", "\"a column of that row\"").and_then(|node| node.filled(f, "a column"));
            of.zip(column).map(|(of, column)| Draw::Of(of.to_owned(), column.to_owned()))
        }
        "tenant" => {
            keys.get("tenant").and_then(|node| node.filled(f, "a column of the tenants table")).map(|c| Draw::Tenant(Some(c.to_owned())))
        }
        "int" => int(&mut keys, f),
        "choice" => choice(&mut keys, f),
        "ago" => keys.get("ago").and_then(|node| units::duration_of(node, f, "30d", units::CENTURY)).map(Draw::Ago),
        "words" => keys.get("words").and_then(|node| node.int(f, 1..=100_000)).and_then(|n| u32::try_from(n).ok()).map(Draw::Words),
        "query-vector" => keys.get("query-vector").and_then(|node| query_vector(node, f)),
        "rows" => rows(&mut keys, f),
        _ => keys.get(CONST).and_then(|node| constant(node, f)),
    };
    keys.finish(f);
    draw
}

fn row(keys: &mut Keys, f: &mut Findings) -> Option<Draw> {
    let from = keys.get("from").and_then(|node| node.filled(f, "a table of the dataset"));
    let column = keys.get("column").map(|node| node.filled(f, "a column of that table"));
    let overlay_node = keys.get("overlay");
    let within_node = keys.get("within");
    let overlay = overlay_node.map(|node| node.filled(f, "an overlay that the scenario lists in `overlays`"));
    let size = match overlay_node {
        Some(_) => keys.require(f, "size", "1000").and_then(|node| node.int(f, 0..=i64::MAX)),
        None => None,
    };
    let pick = keys.get("pick").map_or(Some(Pick::Uniform), |node| pick(node, f));
    let within = match (within_node, overlay) {
        (Some(node), Some(_)) => {
            node.fault(f, "cannot stand beside overlay", "an overlay's rows all belong to the whale; remove within");
            None
        }
        (_, Some(overlay)) => {
            overlay.zip(size).map(|(overlay, size)| Within::Overlay { overlay: overlay.to_owned(), size: size.unsigned_abs() })
        }
        (Some(node), None) => node.filled(f, "\"tenant\", \"all\", or the name of an earlier draw").map(|text| match text {
            "all" => Within::All,
            "tenant" => Within::Tenant,
            other => Within::Parameter(other.to_owned()),
        }),
        (None, None) => Some(Within::Tenant),
    };
    let column = match column {
        Some(column) => Some(column?.to_owned()),
        None => None,
    };
    Some(Draw::Row { from: from?.to_owned(), column, within: within?, pick: pick? })
}

fn pick(node: &Node, f: &mut Findings) -> Option<Pick> {
    match &node.value {
        Value::Text(_) => {
            let words = [
                ("uniform", Pick::Uniform),
                ("zipf", Pick::Zipf(ZIPF)),
                ("recent", Pick::Recent(RECENT)),
                ("gaussian", Pick::Gaussian(GAUSSIAN)),
            ];
            node.word(f, &words)
        }
        Value::Table(entries) if entries.len() == 1 => {
            let value = &entries[0].node;
            match entries[0].key.as_str() {
                "zipf" => value.number(f, 0.1..=10.0).map(Pick::Zipf),
                "recent" => value.number(f, 0.1..=100.0).map(Pick::Recent),
                // pgbench's own lower bound.
                "gaussian" => value.number(f, 2.0..=100.0).map(Pick::Gaussian),
                _ => {
                    node.not_allowed(f, PICKS);
                    None
                }
            }
        }
        _ => {
            node.not_allowed(f, PICKS);
            None
        }
    }
}

fn int(keys: &mut Keys, f: &mut Findings) -> Option<Draw> {
    const ALLOWED: &str = "the least and the greatest whole number: [1, 100]";
    let node = keys.get("int")?;
    let bounds: Vec<i64> =
        node.array(f, ALLOWED)?.iter().filter_map(|item| if let Value::Int(n) = item.value { Some(n) } else { None }).collect();
    let pick_node = keys.get("pick");
    let pick = pick_node.map_or(Some(Pick::Uniform), |node| pick(node, f));
    let [min, max] = bounds[..] else {
        node.not_allowed(f, ALLOWED);
        return None;
    };
    if min > max {
        node.fault(f, format!("{min} is greater than {max}"), format!("allowed: {ALLOWED}"));
        return None;
    }
    if let (Some(node), Some(Pick::Recent(_))) = (pick_node, pick) {
        node.fault(f, "numbers have no age", "allowed: \"uniform\", \"zipf\", \"gaussian\", { zipf = 1.1 } or { gaussian = 3 }");
        return None;
    }
    Some(Draw::Int { min, max, pick: pick? })
}

fn choice(keys: &mut Keys, f: &mut Findings) -> Option<Draw> {
    let node = keys.get("choice")?;
    let items = node.array(f, "a list of texts")?;
    if items.is_empty() {
        node.fault(f, "is empty", "allowed: a list of at least one text");
        return None;
    }
    let texts: Vec<String> = items.iter().filter_map(|item| item.text(f, "a text").map(str::to_owned)).collect();
    (texts.len() == items.len()).then_some(Draw::Choice(texts))
}

fn query_vector(node: &Node, f: &mut Findings) -> Option<Draw> {
    const ALLOWED: &str = "table.column of a vector, such as \"page_embeddings.embedding\"";
    let text = node.filled(f, ALLOWED)?;
    // The table itself may have a schema, so the last point divides.
    match text.rsplit_once('.').filter(|(table, column)| !table.is_empty() && !column.is_empty()) {
        Some((table, column)) => Some(Draw::QueryVector(table.to_owned(), column.to_owned())),
        None => {
            node.not_allowed(f, ALLOWED);
            None
        }
    }
}

fn rows(keys: &mut Keys, f: &mut Findings) -> Option<Draw> {
    let table = keys.get("rows").and_then(|node| node.filled(f, "a table of the dataset"));
    let count = keys.require(f, "count", "100").and_then(|node| node.int(f, 1..=1_000_000)).and_then(|n| u32::try_from(n).ok());
    let parent = keys.get("parent").map(|node| node.filled(f, "the name of an earlier draw"));
    let parent = match parent {
        Some(parent) => Some(parent?.to_owned()),
        None => None,
    };
    Some(Draw::Rows { table: table?.to_owned(), count: count?, parent })
}
