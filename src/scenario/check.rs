//! Holds a scenario against its suite and dataset: does everything exist that it names?

use super::sql::{scan, unfilled};
use super::{Draw, Identity, Pick, Scenario, Transaction, Within, run_alike};
use crate::diagnostic::document::did_you_mean;
use crate::diagnostic::{Diagnostic, Findings, closest, list};
use crate::record::Arm;
use crate::suite::Suite;

/// What a dataset holds, by name. Tables are named as SQL has them (`messages`, `auth.users`).
pub trait Catalog {
    /// All tables.
    fn tables(&self) -> Vec<String>;
    /// Columns of a table that are generated; empty if there is no such table.
    fn columns(&self, table: &str) -> Vec<String>;
    /// The columns of a table that hold vectors.
    fn vector_columns(&self, table: &str) -> Vec<String>;
    /// The table whose rows own the rows of this one.
    fn parent(&self, table: &str) -> Option<String>;
    /// The tenants table.
    fn tenants_table(&self) -> String;
    /// Whether rows of a table belong to tenants.
    fn has_tenant(&self, table: &str) -> bool;
    /// Roles of members, strongest first.
    fn roles(&self) -> Vec<String>;
    /// All overlays.
    fn overlays(&self) -> Vec<String>;
    /// Table and sizes of an overlay.
    fn overlay(&self, name: &str) -> Option<(String, Vec<u64>)>;
}

/// Everything that a scenario names and its suite or dataset has not, in file order.
pub fn check(scenario: &Scenario, suite: &Suite, columns: &dyn Catalog) -> Vec<Diagnostic> {
    let variants: Vec<String> = suite.variants.keys().cloned().collect();
    let mut found = check_names(scenario, &variants, columns);
    found.extend(unused_factor(scenario, suite));
    found.extend(unfilled_files(scenario, suite));
    found.extend(without_login(scenario, suite));
    found
}

/// Variants whose files have a place for a value that the scenario does not sweep.
fn unfilled_files(scenario: &Scenario, suite: &Suite) -> Vec<Diagnostic> {
    let mut findings = Findings::new(scenario.origin.source().clone());
    let factor = scenario.arms.baseline.factor.as_ref().map(|factor| factor.name.as_str());
    for (index, arm) in scenario.arms.values().enumerate() {
        let files = suite.variants.get(&arm.variant).map(|variant| variant.sql.as_slice()).unwrap_or_default();
        for file in files {
            let sql = std::fs::read_to_string(file).unwrap_or_default();
            let Some((name, place)) = unfilled(&sql, &scan(&sql), factor).into_iter().next() else { continue };
            let line = sql[..place.start].matches('\n').count() + 1;
            let message = format!("{{{{{name}}}}} in {}:{line} has no value here", file.display());
            scenario.origin.fault(
                &mut findings,
                &variant_path(scenario, index),
                message,
                format!("sweep it, or name a variant without it: sweep.{name} = [...]"),
            );
        }
    }
    findings.into_vec()
}

/// Reports transactions without an identity if the suite names no login, or if other transactions of the scenario have an identity: a session has one login.
fn without_login(scenario: &Scenario, suite: &Suite) -> Vec<Diagnostic> {
    let mut findings = Findings::new(scenario.origin.source().clone());
    let is_nobody = |one: &Transaction| one.identity == Identity::None;
    let Some(index) = scenario.transactions.iter().position(is_nobody) else { return Vec::new() };
    let path = format!("transaction[{index}].identity");
    if suite.login.is_none() {
        let message = "is that of nobody (\"none\"), and the suite names no login for it".to_owned();
        let help =
            "name a role in suite.toml, login = \"shop_app\", and grant it in the suite's files what the application may do".to_owned();
        scenario.origin.fault(&mut findings, &path, message, help);
    }
    if !scenario.transactions.iter().all(is_nobody) {
        let message = "is that of nobody (\"none\"), and another transaction has an identity: they log in as different roles".to_owned();
        scenario.origin.fault(&mut findings, &path, message, "give each kind a scenario of its own".to_owned());
    }
    findings.into_vec()
}

/// Where the file names the variant of an arm.
fn variant_path(scenario: &Scenario, index: usize) -> String {
    if scenario.origin.has("duel") { format!("duel[{index}]") } else { format!("arm[{index}].variant") }
}

/// A sweep of something that neither statements nor settings nor the variant's files name: arms that are all the same.
fn unused_factor(scenario: &Scenario, suite: &Suite) -> Vec<Diagnostic> {
    let Some(factor) = &scenario.arms.baseline.factor else { return Vec::new() };
    let exact = |arm: Arm| scenario.transactions.iter().flat_map(move |one| one.statements.get(arm)).map(|one| &one.exact);
    let in_scenario = scenario.arms.rivals().any(|arm| {
        !run_alike(&scenario.transactions, Arm::BASELINE, arm)
            || exact(arm).ne(exact(Arm::BASELINE))
            || !scenario.arms.get(arm).changes_like(&scenario.arms.baseline)
    });
    let files = suite.variants.get(&scenario.arms.baseline.variant).map(|variant| variant.sql.as_slice()).unwrap_or_default();
    let names_it = |file: &std::path::PathBuf| std::fs::read_to_string(file).is_ok_and(|sql| sql.contains(&factor.placeholder()));
    if in_scenario || files.iter().any(names_it) {
        return Vec::new();
    }
    let mut findings = Findings::new(scenario.origin.source().clone());
    let help = format!("write {} where its value is to stand: in SQL, in set, in each, or in the variant's files", factor.placeholder());
    scenario.origin.fault(&mut findings, &format!("sweep.{}", factor.name), "changes nothing", help);
    findings.into_vec()
}

/// The same, for the names of a suite's variants.
pub fn check_names(scenario: &Scenario, variants: &[String], columns: &dyn Catalog) -> Vec<Diagnostic> {
    let findings = Findings::new(scenario.origin.source().clone());
    let mut checker = Checker { scenario, catalog: columns, findings };
    checker.variants(variants);
    for (index, name) in scenario.overlays.iter().enumerate() {
        checker.exists(&format!("overlays[{index}]"), "overlay", name, &columns.overlays());
    }
    for index in 0..scenario.transactions.len() {
        checker.transaction(index);
    }
    checker.findings.into_vec()
}

struct Checker<'a> {
    scenario: &'a Scenario,
    catalog: &'a dyn Catalog,
    findings: Findings,
}

impl Checker<'_> {
    fn fault(&mut self, path: &str, message: String, help: String) {
        self.scenario.origin.fault(&mut self.findings, path, message, help);
    }

    /// Complains unless `name` is one of `known`.
    fn exists(&mut self, path: &str, what: &str, name: &str, known: &[String]) -> bool {
        let found = known.iter().any(|other| other == name);
        if !found {
            let near = closest(name, known.iter().map(String::as_str));
            self.fault(path, format!("there is no {what} {name:?}{}", did_you_mean(near)), format!("there are: {}", list(known)));
        }
        found
    }

    fn variants(&mut self, known: &[String]) {
        for (index, arm) in self.scenario.arms.values().enumerate() {
            self.exists(&variant_path(self.scenario, index), "variant", &arm.variant, known);
        }
    }

    /// What was committed must not be run again.
    fn tries(&mut self, transaction: &Transaction) {
        let commits = |arm: Arm| match &transaction.identity {
            Identity::None => transaction.commits(arm),
            _ => transaction.requests(arm),
        };
        if self.scenario.load.max_tries > 1 && self.scenario.arms.arms().any(|arm| commits(arm) > 1) {
            let message =
                format!("is more than 1, but {} commits more than once, and what it has committed would be run again", transaction.name);
            self.fault("load.max-tries", message, "1, or transactions of one request each".to_owned());
        }
    }

    fn transaction(&mut self, index: usize) {
        let Some(transaction) = self.scenario.transactions.get(index) else { return };
        let path = format!("transaction[{index}]");
        if let Identity::Member { role: Some(role) } = &transaction.identity {
            let mut known = self.catalog.roles();
            known.extend(["member", "anon", "service", "none"].map(str::to_owned));
            known.dedup();
            self.exists(&format!("{path}.identity"), "role", role, &known);
        }
        self.tries(transaction);
        for (name, draw) in &transaction.draws {
            self.draw(&format!("{path}.draw.{name}"), draw, &transaction.draws);
        }
    }

    fn table(&mut self, path: &str, table: &str) -> bool {
        let known = self.catalog.tables();
        self.exists(path, "table", table, &known)
    }

    fn column(&mut self, path: &str, table: &str, column: &str) {
        let known = self.catalog.columns(table);
        self.exists(path, &format!("generated column of {table}"), column, &known);
    }

    fn draw(&mut self, path: &str, draw: &Draw, all: &[(String, Draw)]) {
        match draw {
            Draw::Row { from, column, within, pick } => {
                if !self.table(&format!("{path}.from"), from) {
                    return;
                }
                if matches!(pick, Pick::Recent(_)) {
                    // Within a tenant rows are ordered by their time; elsewhere they only have a number, which says nothing of it.
                    match within {
                        Within::Tenant => self.column(&format!("{path}.pick"), from, "created_at"),
                        _ => {
                            let help = "leave `within` out, or pick in another way".to_owned();
                            self.fault(&format!("{path}.pick"), "\"recent\" picks among the rows of a tenant".to_owned(), help);
                        }
                    }
                }
                if let Some(column) = column {
                    self.column(&format!("{path}.column"), from, column);
                }
                self.within(path, from, within, all);
            }
            Draw::Of(parameter, column) => {
                if let Some(table) = table_of(parameter, all).filter(|table| self.catalog.tables().contains(table)) {
                    self.column(&format!("{path}.column"), &table, column);
                }
            }
            Draw::Tenant(Some(column)) => {
                let table = self.catalog.tenants_table();
                self.column(&format!("{path}.tenant"), &table, column);
            }
            Draw::QueryVector(table, column) => {
                let path = format!("{path}.query-vector");
                if self.table(&path, table) {
                    let known = self.catalog.vector_columns(table);
                    self.exists(&path, &format!("vector column of {table}"), column, &known);
                }
            }
            Draw::Rows { table, parent, .. } => {
                if self.table(&format!("{path}.rows"), table)
                    && let Some(parameter) = parent
                {
                    self.parent(&format!("{path}.parent"), table, parameter, all);
                }
            }
            _ => {}
        }
    }

    fn within(&mut self, path: &str, from: &str, within: &Within, all: &[(String, Draw)]) {
        match within {
            Within::All => {}
            Within::Tenant => {
                if !self.catalog.has_tenant(from) {
                    let help = "add within = \"all\"".to_owned();
                    self.fault(path, format!("rows of {from} belong to no tenant"), help);
                }
            }
            Within::Parameter(parameter) => self.parent(&format!("{path}.within"), from, parameter, all),
            Within::Overlay { overlay, size } => {
                let path_of = format!("{path}.overlay");
                let known = self.catalog.overlays();
                if !self.exists(&path_of, "overlay", overlay, &known) {
                    return;
                }
                if !self.scenario.overlays.contains(overlay) {
                    let help = format!("add overlays = [{overlay:?}] at the top of the file, so that its rows are loaded");
                    self.fault(&path_of, format!("the overlay {overlay:?} is not listed by the scenario"), help);
                }
                let Some((table, sizes)) = self.catalog.overlay(overlay) else { return };
                if table != from {
                    self.fault(&path_of, format!("{overlay:?} has rows of {table}, not of {from}"), format!("write from = {table:?}"));
                }
                if !sizes.contains(size) {
                    let help = format!("there are: {}", list(sizes.iter().map(u64::to_string)));
                    self.fault(&format!("{path}.size"), format!("{overlay:?} has no rows of size {size}"), help);
                }
            }
        }
    }

    /// Complains unless the table of `parameter` is the parent of `child`.
    fn parent(&mut self, path: &str, child: &str, parameter: &str, all: &[(String, Draw)]) {
        let Some(table) = table_of(parameter, all) else { return };
        let parent = self.catalog.parent(child);
        if parent.as_deref() != Some(table.as_str()) {
            let help = match &parent {
                Some(parent) => format!("the rows of {child} belong to rows of {parent}: draw one of these first, and name that draw"),
                None => format!("{child} has no parent table in the dataset; leave this key out"),
            };
            self.fault(path, format!("{parameter:?} draws a row of {table}, which has no rows of {child} below it"), help);
        }
    }
}

/// The table that a parameter draws a row of.
fn table_of(parameter: &str, all: &[(String, Draw)]) -> Option<String> {
    all.iter().find(|(name, _)| name == parameter).and_then(|(_, draw)| match draw {
        Draw::Row { from, .. } => Some(from.clone()),
        _ => None,
    })
}
