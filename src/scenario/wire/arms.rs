//! `duel` and `[[arm]]`: what is set against each other. The first one is the baseline.

use super::super::{Address, ArmSpec, Load, Rate, Transaction, run_alike};
use super::expectation::QUANTITIES;
use super::load::{own_rate, sessions};
use super::statement::settings;
use super::{name_of, units};
use crate::diagnostic::Findings;
use crate::diagnostic::document::{Entry, Keys, Node, Value};
use crate::record::{Arm, Arms, Factor};

/// Most arms of a scenario: each round runs them all.
const MOST: usize = 32;

/// Reads the arms: variants by their names alone, or a table for each arm; and the sweep that makes many of one.
pub fn arms(keys: &mut Keys, root: &Node, f: &mut Findings) -> Option<Arms<ArmSpec>> {
    let (duel, written) = (keys.get("duel"), keys.get("arm"));
    let sweep = keys.get("sweep");
    let least = if sweep.is_some() { 1 } else { 2 };
    let factor = sweep.and_then(Node::entries).and_then(<[Entry]>::first).map(|entry| entry.key.as_str());
    let arms = match (duel, written) {
        (Some(duel), None) => short(duel, f, least),
        (None, Some(arms)) => written_out(arms, f, least, factor),
        (Some(_), Some(arms)) => {
            arms.fault(f, "the scenario has duel as well", "name variants in duel, or write each arm out as [[arm]]");
            None
        }
        (None, None) => {
            f.add(root.span.clone(), "duel", "is missing", "add duel = [\"baseline-variant\", \"other-variant\"], or [[arm]] for each");
            None
        }
    };
    match sweep {
        Some(sweep) => swept(arms?, sweep, f),
        None => arms,
    }
}

/// An arm for each value of the factor, the first one as the baseline.
fn swept(arms: Arms<ArmSpec>, node: &Node, f: &mut Findings) -> Option<Arms<ArmSpec>> {
    const ALLOWED: &str = "one name with a list of values: sweep.batch = [1, 10, 100]";
    let Some([entry]) = node.entries() else {
        node.not_allowed(f, ALLOWED);
        return None;
    };
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if entry.key.is_empty() || !entry.key.chars().all(good) {
        f.add(entry.key_span.clone(), &entry.node.path, "is no name of a factor", "allowed: small letters, digits and _");
        return None;
    }
    if arms.count() > 1 {
        node.fault(f, format!("makes arms of one, and {} are named", arms.count()), "name one variant, or write one [[arm]]");
        return None;
    }
    let items = entry.node.array(f, "a list of values, such as [1, 10, 100]")?;
    several(&entry.node, items, f, 2)?;
    let mut values: Vec<(String, &Node)> = Vec::new();
    for item in items {
        let value = match &item.value {
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Text(text) if is_plain(text) => text.clone(),
            _ => {
                item.not_allowed(f, "a number, or a text of letters, digits, -, _ and .");
                return None;
            }
        };
        if values.iter().any(|(other, _)| *other == value) {
            item.fault(f, format!("{value} is there twice"), "name each value once");
            return None;
        }
        values.push((value, item));
    }
    let mut made = Vec::new();
    for (value, item) in values {
        let factor = Factor { name: entry.key.clone(), value };
        let base = &arms.baseline;
        let settings = base.settings.iter().map(|(name, value)| (name.clone(), Factor::fill(Some(&factor), value))).collect();
        let name = format!("{}-{}", factor.name, factor.value);
        let mut arm = ArmSpec { name, settings, ..base.clone() };
        match factor.name.as_str() {
            Factor::CONNECTIONS => arm.connections = Some(sessions(item, f)?),
            Factor::RATE => arm.arrivals = Some(own_rate(item, f)?),
            Factor::RTT => arm.rtt = Some(units::duration_of(item, f, "20ms", Load::LONGEST_RTT)?),
            _ => {}
        }
        made.push(ArmSpec { factor: Some(factor), ..arm });
    }
    Arms::try_from(made).ok()
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= 40 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// Arms by the names that the file has for them, where something is wrong with them: so that nothing else seems wrong that is not.
pub fn named(root: &Node) -> Arms<ArmSpec> {
    let entries = root.entries().unwrap_or_default();
    let lists = entries.iter().filter(|entry| ["duel", "arm"].contains(&entry.key.as_str()));
    let items = lists.filter_map(|entry| match &entry.node.value {
        Value::Array(items) => Some(items),
        _ => None,
    });
    let text = |node: &Node| match &node.value {
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    let of_table = |entries: &[Entry], key: &str| entries.iter().find(|entry| entry.key == key).and_then(|entry| text(&entry.node));
    let name = |item: &Node| match item.entries() {
        Some(entries) => of_table(entries, "name").or_else(|| of_table(entries, "variant")),
        None => text(item),
    };
    let mut names: Vec<String> = items.flatten().filter_map(name).collect();
    names.dedup();
    let usual = ["before-domain", "after"].map(str::to_owned);
    names.extend(usual.into_iter().skip(names.len()));
    let sweep = entries.iter().find(|entry| entry.key == "sweep").and_then(|entry| entry.node.entries()?.first());
    let factor = sweep.map(|entry| Factor { name: entry.key.clone(), value: "1".to_owned() });
    let of = |name: &str| ArmSpec { factor: factor.clone(), ..ArmSpec::of(name) };
    Arms::try_from(names.iter().map(|name| of(name)).collect::<Vec<_>>()).unwrap_or_else(|_| Arms::new(of("after"), Vec::new()))
}

fn short(node: &Node, f: &mut Findings, least: usize) -> Option<Arms<ArmSpec>> {
    const ALLOWED: &str = "names of variants, the baseline first: [\"before-domain\", \"after\"]";
    let items = node.array(f, ALLOWED)?;
    several(node, items, f, least)?;
    let names = node.texts(f, ALLOWED);
    let twice = names.iter().enumerate().find(|(place, name)| names[..*place].contains(name));
    if let Some((_, name)) = twice {
        node.fault(f, format!("names {name:?} twice"), "name each once; two arms on one variant are written out, as [[arm]] each");
    }
    let quantity = names.iter().find(|name| QUANTITIES.contains(&name.as_str()));
    if let Some(name) = quantity {
        node.fault(f, format!("{name:?} is a quantity, and cannot be an arm's name"), "write the arms out as [[arm]], with other names");
    }
    let whole = names.len() == items.len() && twice.is_none() && quantity.is_none();
    Arms::try_from(names.iter().map(|name| ArmSpec::of(name)).collect::<Vec<_>>()).ok().filter(|_| whole)
}

fn written_out(node: &Node, f: &mut Findings, least: usize, factor: Option<&str>) -> Option<Arms<ArmSpec>> {
    let items = node.array(f, "tables, each opened by [[arm]]")?;
    several(node, items, f, least)?;
    let mut read: Vec<ArmSpec> = Vec::new();
    for item in items {
        let Some(spec) = arm(item, f, factor) else { continue };
        if read.iter().any(|other| other.name == spec.name) {
            item.fault(f, format!("a second arm has the name {:?}", spec.name), "give each arm a name of its own: name = \"...\"");
            continue;
        }
        read.push(spec);
    }
    let whole = read.len() == items.len();
    Arms::try_from(read).ok().filter(|_| whole)
}

fn arm(node: &Node, f: &mut Findings, factor: Option<&str>) -> Option<ArmSpec> {
    let mut keys = Keys::of(node, f, "a table, opened by [[arm]]")?;
    let name = keys.get("name").map(|node| name_of(node, f));
    let variant = keys.require(f, "variant", "\"a-variant\"").and_then(|node| node.filled(f, "the name of a variant"));
    let set = keys.get("set");
    let connections = keys.get("connections").map(|node| sessions(node, f));
    let arrivals = keys.get("rate").map(|node| own_rate(node, f));
    let route = keys.get("route").map(|node| address(node, f));
    let rtt = keys.get("rtt").map(|node| units::duration_of(node, f, "20ms", Load::LONGEST_RTT));
    keys.finish(f);
    let settings = set.map(|node| own_settings(node, f, factor)).unwrap_or_default();
    let variant = variant?.to_owned();
    let called = name.clone().flatten().unwrap_or_else(|| variant.clone());
    if QUANTITIES.contains(&called.as_str()) {
        node.fault(f, format!("{called:?} is a quantity, and cannot be an arm's name"), "give it another name");
        return None;
    }
    Some(ArmSpec {
        name: name.unwrap_or_else(|| Some(variant.clone()))?,
        variant,
        settings,
        // What was stated and could not be read is no arm.
        connections: connections.map_or(Some(None), |stated| stated.map(Some))?,
        route: route.map_or(Some(None), |stated| stated.map(Some))?,
        arrivals: arrivals.map_or(Some(None), |stated| stated.map(Some))?,
        rtt: rtt.map_or(Some(None), |stated| stated.map(Some))?,
        factor: None,
    })
}

fn address(node: &Node, f: &mut Findings) -> Option<Address> {
    const ALLOWED: &str = "where a pooler listens that leads to the same server: \"127.0.0.1:6432\", or \"/folder-of-its-socket:6432\"";
    let found = Address::parse(node.text(f, ALLOWED)?);
    if found.is_none() {
        node.not_allowed(f, ALLOWED);
    }
    found
}

/// Settings of an arm's connections. Those that pgduel sets itself are told elsewhere.
fn own_settings(node: &Node, f: &mut Findings, factor: Option<&str>) -> Vec<(String, String)> {
    const TAKEN: [(&str, &str); 3] = [
        ("search_path", "name schemas in SQL"),
        ("plan_cache_mode", "use plans = ... in [load]"),
        ("statement_timeout", "it is the platform's"),
    ];
    let read = settings(node, f, factor);
    for (name, help) in TAKEN {
        if read.iter().any(|(set, _)| set.eq_ignore_ascii_case(name)) {
            node.fault(f, format!("{name} cannot be set for an arm"), help);
        }
    }
    read
}

fn several(node: &Node, items: &[Node], f: &mut Findings, least: usize) -> Option<()> {
    let good = (least..=MOST).contains(&items.len());
    if !good {
        let plural = if items.len() == 1 { "" } else { "s" };
        node.fault(f, format!("names {} arm{plural}", items.len()), format!("allowed: {least} to {MOST} of them, the baseline first"));
    }
    good.then_some(())
}

/// Faults rates of arms that cannot be set against the load's, or against those that arms without one would have.
pub fn have_rates(arms: &Arms<ArmSpec>, load: &Load, root: &Node, f: &mut Findings) {
    let own: Vec<_> = arms.iter().filter_map(|(arm, spec)| Some((arm, spec.arrivals.as_ref()?))).collect();
    let Some((stating, first)) = own.first() else { return };
    let others = match &load.rate {
        Rate::Stated(arrivals) => arrivals,
        Rate::Auto | Rate::Work if own.len() == arms.count() => *first,
        Rate::Auto | Rate::Work => {
            let message = "an arm has a rate, and the others are left to a probe";
            table(*stating, root).fault(f, message, "give each arm a rate, or state one in [load]");
            return;
        }
    };
    for (arm, _) in own.iter().filter(|(_, arrivals)| !arrivals.is_like(others)) {
        table(*arm, root).fault(f, "the rate is of another kind than that of the others", "give all an open loop, or all users");
    }
}

/// The table of an arm.
fn table(arm: Arm, root: &Node) -> &Node {
    let tables = root.entries().into_iter().flatten().find(|entry| entry.key == "arm");
    let table = tables.and_then(|entry| match &entry.node.value {
        Value::Array(items) => items.get(arm.place()),
        _ => None,
    });
    table.unwrap_or(root)
}

/// Faults arms that are the same in everything: to find what noise alone does there is `--aa`. Whether a variant's files name the factor of a
/// sweep is not known here.
pub fn differ(arms: &Arms<ArmSpec>, transactions: &[Transaction], root: &Node, f: &mut Findings) {
    let alike = |one: &ArmSpec, other: &ArmSpec| *one == ArmSpec { name: one.name.clone(), ..other.clone() };
    for (arm, spec) in arms.iter().filter(|(_, spec)| spec.factor.is_none()) {
        let twin = arms.iter().take(arm.place()).find(|(other, one)| alike(one, spec) && run_alike(transactions, *other, arm));
        if let Some((_, twin)) = twin {
            let message = format!("{} and {} are the same in everything", twin.name, spec.name);
            let help =
                "name another variant, or give one `set`, `connections`, `rate`, `rtt` or `route`, or tell them apart in a statement";
            table(arm, root).fault(f, message, help);
        }
    }
}
