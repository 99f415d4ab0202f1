//! Isolation: for every table under row-level security and every kind of identity, the visible keys equal the model's, and no view goes
//! around it. Looks at reading only; functions with their owner's rights are not looked at.

use std::collections::BTreeMap;

use anyhow::Context;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::identities::{Identity, stratified};
use super::views;
use super::visibility::{differences, expected_keys};
use crate::dataset::{Dataset, TableId};
use crate::load::bind::Actor;
use crate::load::session::identity as claims_of;
use crate::record::{CheckKind, CheckOutcome, CheckRecord, Side};
use crate::suite::{Variant, Visibility};
use crate::target::quote_ident;

/// Keys named in a finding.
const NAMED: usize = 5;
/// `insufficient_privilege`: may not even ask, so sees nothing.
const NO_PRIVILEGE: &str = "42501";

/// What has passed in a run, by variant and side: scenarios share a variant's database or work on copies of it, so once is enough.
#[derive(Debug, Default)]
pub struct Passed(BTreeMap<(String, Side), Vec<CheckRecord>>);

impl Passed {
    /// What was found of this variant and side earlier in the run, as records of `scenario`; `None` if it has not been checked or failed.
    pub fn records(&self, variant: &str, side: Side, scenario: &str) -> Option<Vec<CheckRecord>> {
        let records = self.0.get(&(variant.to_owned(), side))?;
        Some(records.iter().map(|record| CheckRecord { scenario: scenario.to_owned(), ..record.clone() }).collect())
    }

    /// Keeps the records unless one failed.
    pub fn keep(&mut self, variant: &str, side: Side, records: &[CheckRecord]) {
        if records.iter().all(|record| record.outcome == CheckOutcome::Passed) {
            self.0.insert((variant.to_owned(), side), records.to_vec());
        }
    }
}

/// Checks every table and view of one side; one record each.
pub async fn check(
    connection: &mut PgConnection,
    dataset: &Dataset,
    variant: &Variant,
    scenario: &str,
    side: Side,
) -> anyhow::Result<Vec<CheckRecord>> {
    let secured = tables_under_rls(connection).await?;
    let mut records = Vec::new();
    for name in &secured {
        if !variant.visible.contains_key(name) && dataset.table(name).is_some() {
            let finding =
                format!("{name} is under row-level security in {}, but suite.toml does not say who may see its rows", variant.name);
            records.push(record(scenario, side, name, 0, CheckOutcome::Failed, vec![finding]));
        }
    }
    let identities = stratified(dataset);
    for (name, rule) in &variant.visible {
        let Some(table) = dataset.table(name) else {
            let finding = format!("suite.toml says who sees {name}, but the dataset has no such table");
            records.push(record(scenario, side, name, 0, CheckOutcome::Failed, vec![finding]));
            continue;
        };
        let mut findings = Vec::new();
        for identity in &identities {
            findings.extend(look(connection, dataset, table, rule, identity).await?);
        }
        if !secured.contains(name) && *rule != Visibility::All && findings.is_empty() {
            findings.push("row-level security is not enabled on it".to_owned());
        }
        let outcome = if findings.is_empty() { CheckOutcome::Passed } else { CheckOutcome::Failed };
        records.push(record(scenario, side, name, identities.len() as u64, outcome, findings));
    }
    records.extend(views::check(connection, scenario, side).await?);
    Ok(records)
}

fn record(scenario: &str, side: Side, subject: &str, cases: u64, outcome: CheckOutcome, findings: Vec<String>) -> CheckRecord {
    CheckRecord {
        scenario: scenario.to_owned(),
        kind: CheckKind::Isolation,
        subject: subject.to_owned(),
        side: Some(side),
        cases,
        outcome,
        findings,
    }
}

async fn look(
    connection: &mut PgConnection,
    dataset: &Dataset,
    table: TableId,
    rule: &Visibility,
    identity: &Identity,
) -> anyhow::Result<Vec<String>> {
    let name = dataset.table_name(table);
    let column = dataset.columns(table).get(usize::from(dataset.key(table).0)).map_or("id", |name| *name).to_owned();
    let seen = visible_keys(connection, name, &column, &identity.actor).await?;
    let expected = expected_keys(dataset, table, rule, &identity.actor);
    let owner = |key: &str| owner_of(dataset, table, key);
    let found = differences(&expected, &seen, owner, NAMED);
    Ok(found.into_iter().map(|finding| format!("{}: {finding}", identity.label)).collect())
}

fn owner_of(dataset: &Dataset, table: TableId, key: &str) -> String {
    let column = dataset.key(table);
    let row = (0..dataset.rows(table)).find(|row| super::visibility::text(&dataset.value(table, *row, column)) == key);
    match row.map(|row| dataset.tenant_of(table, row)) {
        Some(Some(tenant)) => format!(" (of tenant {tenant})"),
        Some(None) => " (of no tenant)".to_owned(),
        None => " (not in the dataset)".to_owned(),
    }
}

async fn visible_keys(connection: &mut PgConnection, table: &str, key: &str, actor: &Actor) -> anyhow::Result<Vec<String>> {
    let mut transaction = connection.begin().await?;
    let (role, _, claims) = claims_of(actor);
    sqlx::query("select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)")
        .bind(role)
        .bind(claims)
        .execute(&mut *transaction)
        .await
        .with_context(|| format!("cannot become {role}"))?;
    let sql = format!("select {}::text from {}", quote_ident(key), qualified(table));
    let keys = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_all(&mut *transaction).await;
    transaction.rollback().await?;
    match keys {
        Ok(keys) => Ok(keys),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NO_PRIVILEGE) => Ok(Vec::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {table} as {role}")),
    }
}

/// `schema.table` with both parts quoted.
pub fn qualified(table: &str) -> String {
    table.split('.').map(quote_ident).collect::<Vec<_>>().join(".")
}

async fn tables_under_rls(connection: &mut PgConnection) -> anyhow::Result<Vec<String>> {
    let sql = "select relname::text from pg_class where relnamespace = 'public'::regnamespace and relrowsecurity and relkind in ('r', 'p')
               order by relname";
    Ok(sqlx::query_scalar(sql).fetch_all(connection).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_passed_is_not_looked_at_again() {
        let found = |outcome| vec![record("s/first", Side::After, "notes", 14, outcome, Vec::new())];
        let mut passed = Passed::default();
        passed.keep("leaky", Side::After, &found(CheckOutcome::Failed));
        passed.keep("right", Side::After, &found(CheckOutcome::Passed));
        assert!(passed.records("leaky", Side::After, "s/second").is_none());
        assert!(passed.records("right", Side::Before, "s/second").is_none(), "the other side's database is another one");
        let again = passed.records("right", Side::After, "s/second").expect("it has passed");
        assert_eq!(again.iter().map(|record| (record.scenario.as_str(), record.cases)).collect::<Vec<_>>(), [("s/second", 14)]);
    }
}
