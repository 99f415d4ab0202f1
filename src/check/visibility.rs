//! Who must see which rows, from the model alone. SQL never takes part, so a wrong policy cannot excuse itself.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::dataset::{Dataset, TableId, Tenant, User, Value};
use crate::load::bind::Actor;
use crate::suite::Visibility;

/// The primary keys, as PostgreSQL prints them, that `actor` must see in `table` under `rule`: no fewer, no more.
pub fn expected_keys(dataset: &Dataset, table: TableId, rule: &Visibility, actor: &Actor) -> BTreeSet<String> {
    let mut expected = BTreeSet::new();
    visit(dataset, table, rule, actor, &mut |key| {
        expected.insert(key);
    });
    expected
}

/// The same keys, counted and summed up: millions of them need no memory.
pub fn expected_digest(dataset: &Dataset, table: TableId, rule: &Visibility, actor: &Actor) -> KeyDigest {
    let mut digest = KeyDigest::default();
    visit(dataset, table, rule, actor, &mut |key| digest.add(&key));
    digest
}

/// How many keys, and the sum of their hashes: two sets of keys with one digest are the same but for once in 2^56 times.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct KeyDigest {
    /// Keys.
    pub count: u64,
    /// Sum of the first seven bytes of each key's SHA-256, as a number.
    pub sum: u128,
}

impl KeyDigest {
    fn add(&mut self, key: &str) {
        let hash = Sha256::digest(key.as_bytes());
        let number = hash.iter().take(7).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        self.count += 1;
        self.sum += u128::from(number);
    }
}

/// Calls `each` with every key that `actor` must see.
fn visit(dataset: &Dataset, table: TableId, rule: &Visibility, actor: &Actor, each: &mut dyn FnMut(String)) {
    match actor {
        // BYPASSRLS, or the owner of the tables.
        Actor::Service | Actor::Login => keys(dataset, table, 0..dataset.rows(table), each),
        Actor::Anon => {}
        Actor::User(user) => for_user(dataset, table, rule, user, each),
    }
}

fn for_user(dataset: &Dataset, table: TableId, rule: &Visibility, user: &User, each: &mut dyn FnMut(String)) {
    match rule {
        Visibility::All => keys(dataset, table, 0..dataset.rows(table), each),
        Visibility::None | Visibility::Unchecked(_) => {}
        Visibility::Member => tenants(dataset, table, user.memberships.iter().map(|m| m.tenant), each),
        Visibility::Role(role) => {
            tenants(dataset, table, user.memberships.iter().filter(|m| *m.role == **role).map(|m| m.tenant), each);
        }
        Visibility::Own(column) => {
            let Some(column) = dataset.column(table, column) else { return };
            let own = Value::Uuid(user.id);
            keys(dataset, table, (0..dataset.rows(table)).filter(|row| dataset.value(table, *row, column) == own), each);
        }
    }
}

fn tenants(dataset: &Dataset, table: TableId, tenants: impl Iterator<Item = Tenant>, each: &mut dyn FnMut(String)) {
    for tenant in tenants.collect::<BTreeSet<_>>() {
        dataset.rows_of_tenant(table, tenant).into_iter().for_each(|range| keys(dataset, table, range, each));
    }
}

fn keys(dataset: &Dataset, table: TableId, rows: impl Iterator<Item = u64>, each: &mut dyn FnMut(String)) {
    let key = dataset.key(table);
    rows.for_each(|row| each(text(&dataset.value(table, row, key))));
}

/// A key as PostgreSQL prints it.
pub fn text(value: &Value) -> String {
    match value {
        Value::Uuid(bytes) => uuid::Uuid::from_bytes(*bytes).to_string(),
        Value::Int(number) => number.to_string(),
        Value::Text(text) => text.to_string(),
        other => format!("{other:?}"),
    }
}

/// Rows that differ from what is expected, worded for a reader: leaks first. Empty if all is well. At most `limit` of each kind are named.
pub fn differences(expected: &BTreeSet<String>, seen: &[String], owner: impl Fn(&str) -> String, limit: usize) -> Vec<String> {
    let mut findings = Vec::new();
    let distinct: BTreeSet<&str> = seen.iter().map(String::as_str).collect();
    let extra: Vec<&str> = distinct.iter().copied().filter(|key| !expected.contains(*key)).collect();
    let missing: Vec<&String> = expected.iter().filter(|key| !distinct.contains(key.as_str())).collect();
    if !extra.is_empty() {
        findings.push(format!("leak: sees {} that it must not see", counted(extra.len())));
        findings.extend(extra.iter().take(limit).map(|key| format!("  foreign row {key}{}", owner(key))));
    }
    if !missing.is_empty() {
        findings.push(format!("missing: does not see {} of its own", counted(missing.len())));
        findings.extend(missing.iter().take(limit).map(|key| format!("  missing row {key}{}", owner(key))));
    }
    if distinct.len() != seen.len() {
        findings.push(format!("duplicates: {} too many", counted(seen.len() - distinct.len())));
        findings.extend(doubled(seen).take(limit).map(|key| format!("  row {key} comes twice{}", owner(key))));
    }
    findings
}

/// So many rows.
pub(super) fn counted(count: usize) -> String {
    if count == 1 { "1 row".to_owned() } else { format!("{count} rows") }
}

/// Keys that come more than once.
fn doubled(seen: &[String]) -> impl Iterator<Item = &str> {
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    seen.iter().for_each(|key| *counts.entry(key).or_default() += 1);
    counts.into_iter().filter(|(_, count)| *count > 1).map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(keys: &[&str]) -> BTreeSet<String> {
        keys.iter().map(|key| key.to_string()).collect()
    }

    fn seen(keys: &[&str]) -> Vec<String> {
        keys.iter().map(|key| key.to_string()).collect()
    }

    #[test]
    fn leaks_missing_rows_and_duplicates_are_each_named() {
        let none = |_: &str| String::new();
        assert!(differences(&set(&["a", "b"]), &seen(&["b", "a"]), none, 3).is_empty());
        let found = differences(&set(&["a", "b"]), &seen(&["a", "a", "x"]), |key| format!(" of tenant {key}"), 3);
        assert_eq!(
            found,
            [
                "leak: sees 1 row that it must not see",
                "  foreign row x of tenant x",
                "missing: does not see 1 row of its own",
                "  missing row b of tenant b",
                "duplicates: 1 row too many",
                "  row a comes twice of tenant a",
            ]
        );
    }

    #[test]
    fn a_digest_knows_what_is_missing_foreign_or_doubled_but_no_order() {
        let digest = |keys: &[&str]| {
            let mut digest = KeyDigest::default();
            keys.iter().for_each(|key| digest.add(key));
            digest
        };
        let wanted = digest(&["a", "b", "c"]);
        assert_eq!(digest(&["c", "a", "b"]), wanted);
        for other in [&["a", "b"][..], &["a", "b", "d"], &["a", "b", "c", "c"], &["a", "a", "c"], &[]] {
            assert_ne!(digest(other), wanted, "{other:?}");
        }
        // SHA-256 of "a" begins with ca978112ca1bbd.
        assert_eq!(digest(&["a"]).sum, 0xca_9781_12ca_1bbd);
    }
}
