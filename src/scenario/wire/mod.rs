//! From the TOML of a scenario file to a [`Scenario`]. Finds as many errors as it can before it gives up.

mod arms;
mod by_arm;
mod draw;
mod draws;
mod expectation;
mod load;
mod script;
mod statement;
mod transaction;
mod units;

use std::path::Path;

use sha2::{Digest, Sha256};

use super::{ArmSpec, Origin, Scenario, Transaction};
use crate::diagnostic::document::{Keys, Node, parse as parse_document};
use crate::diagnostic::{Diagnostic, Findings, LARGEST_FILE, Source};
use crate::record::{Arms, Margins};

/// Most transactions in a scenario, statements in a transaction, draws in a transaction. Far more than anyone can read in a report.
const MOST: usize = 200;

/// Parses and validates `text`, the contents of `file` (only named in errors). Finds all errors it can, in file order.
pub fn parse(suite: &str, name: &str, file: &Path, text: &str) -> Result<Scenario, Vec<Diagnostic>> {
    if text.len() as u64 > LARGEST_FILE {
        return Err(vec![Diagnostic::of_file(file, "is larger than 1 MiB", Some("split it into several scenarios".into()))]);
    }
    let mut findings = Findings::new(Source::new(file, text));
    let Some(root) = parse_document(&mut findings) else {
        return findings.finish(None);
    };
    let scenario = scenario(&root, &mut findings).map(|read| Scenario {
        suite: suite.to_owned(),
        name: name.to_owned(),
        file: file.to_owned(),
        origin: Origin::new(findings.source(), &root),
        digest: digest(text, &read.transactions),
        ..read
    });
    findings.finish(scenario)
}

/// Of the file and the scripts that it names, in order.
fn digest(text: &str, transactions: &[Transaction]) -> String {
    let scripts = transactions.iter().filter_map(|transaction| transaction.script.as_ref());
    let hashed = scripts.fold(Sha256::new_with_prefix(text), |hash, script| hash.chain_update(b"\0").chain_update(script.source.text()));
    hashed.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The scenario without what only its file knows.
fn scenario(root: &Node, f: &mut Findings) -> Option<Scenario> {
    let mut keys = Keys::of(root, f, "a table")?;
    let title = keys.require(f, "title", "\"one line for people\"").and_then(|node| node.filled(f, "one line for people"));
    let arms = arms::arms(&mut keys, root, f);
    let claims = keys.get("claims").map(|node| unique(node, f, "a list of claim ids, such as [\"O-01\"]")).unwrap_or_default();
    let overlays = keys.get("overlays").map(|node| unique(node, f, "a list of overlays of the dataset")).unwrap_or_default();
    let analysis = keys.get("analysis").and_then(|node| node.text(f, "Markdown text")).unwrap_or_default();
    let margins = keys.get("margins").map_or(Some(Margins::default()), |node| margins(node, f));
    let load = load::load(keys.get("load"), f);
    let transactions = keys.require(f, "transaction", "[[transaction]]");
    // Where the arms could not be read, transactions still are: what is wrong in them has mostly nothing to do with arms.
    let dealt = arms.clone().unwrap_or_else(|| arms::named(root));
    let expected = expectation::expectation(&mut keys, root, f, &dealt);
    let transactions = transactions.map(|node| all_transactions(node, f, &dealt)).unwrap_or_default();
    keys.finish(f);
    if let (Some(arms), Some(load), true) = (&arms, &load, f.count() == 0) {
        arms::have_rates(arms, load, root, f);
        arms::differ(arms, &transactions, root, f);
    }
    Some(Scenario {
        suite: String::new(),
        name: String::new(),
        file: Default::default(),
        origin: Origin::default(),
        digest: String::new(),
        title: title?.to_owned(),
        analysis: analysis.trim().to_owned(),
        claims,
        arms: arms?,
        overlays,
        expected,
        margins: margins?,
        load: load?,
        transactions,
    })
}

/// A list of texts in which none is named twice.
fn unique(node: &Node, f: &mut Findings, allowed: &str) -> Vec<String> {
    let texts = node.texts(f, allowed);
    let mut seen = std::collections::HashSet::new();
    if let Some(twice) = texts.iter().find(|text| !seen.insert(text.as_str())) {
        node.fault(f, format!("names {twice:?} twice"), "name each once");
    }
    texts
}

fn margins(node: &Node, f: &mut Findings) -> Option<Margins> {
    let mut keys = Keys::of(node, f, "a table with p50, p95 and floor")?;
    let default = Margins::default();
    let p50 = keys.get("p50").map_or(Some(default.p50), |node| units::percent_of(node, f));
    let p95 = keys.get("p95").map_or(Some(default.p95), |node| units::percent_of(node, f));
    let floor = keys.get("floor").map(|node| units::duration_of(node, f, "20us", units::HOUR));
    keys.finish(f);
    let floor_ns = match floor {
        Some(floor) => u64::try_from(floor?.as_nanos()).ok()?,
        None => default.floor_ns,
    };
    Some(Margins { p50: p50?, p95: p95?, floor_ns })
}

fn all_transactions(node: &Node, f: &mut Findings, arms: &Arms<ArmSpec>) -> Vec<Transaction> {
    let items = node.array(f, "tables, each opened by [[transaction]]").unwrap_or_default();
    if items.len() > MOST {
        node.fault(f, format!("there are {} transactions", items.len()), format!("allowed: at most {MOST}"));
        return Vec::new();
    }
    let mut names: Vec<String> = Vec::new();
    let mut read = Vec::new();
    for item in items {
        let Some(transaction) = transaction::transaction(item, f, arms) else { continue };
        if names.contains(&transaction.name) {
            item.fault(f, format!("a second transaction has the name {:?}", transaction.name), "give each its own name");
        }
        names.push(transaction.name.clone());
        read.push(transaction);
    }
    read
}

/// A name of a transaction or statement, or a finding. Names become parts of keys in the record and of headings in the report.
fn name_of(node: &Node, f: &mut Findings) -> Option<String> {
    const ALLOWED: &str = "letters, digits, - and _, at most 63 of them";
    let text = node.text(f, ALLOWED)?;
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if text.is_empty() || text.len() > 63 || !text.chars().all(good) {
        node.not_allowed(f, ALLOWED);
        return None;
    }
    Some(text.to_owned())
}
