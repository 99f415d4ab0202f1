//! Isolation: for every table under row-level security and every kind of identity, the visible keys equal the model's, and no view goes
//! around it. Looks at reading only; functions with their owner's rights are not looked at.

use std::collections::BTreeMap;

use anyhow::Context;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Row};

use super::identities::{Identity, stratified};
use super::views;
use super::visibility::{KeyDigest, differences, expected_digest, expected_keys};
use crate::dataset::{Dataset, TableId};
use crate::load::bind::Actor;
use crate::load::identity::identity as claims_of;
use crate::record::{Arm, CheckKind, CheckOutcome, CheckRecord};
use crate::suite::{Variant, Visibility};
use crate::target::quote_ident;

/// Keys named in a finding.
const NAMED: usize = 5;
/// `insufficient_privilege`: may not even ask, so sees nothing.
const NO_PRIVILEGE: &str = "42501";

/// What has passed in a run, by database: scenarios share a variant's database or work on copies of it, so once is enough.
#[derive(Debug, Default)]
pub struct Passed(BTreeMap<String, Vec<CheckRecord>>);

impl Passed {
    /// Records of an arm of `scenario` for a database that passed earlier in the run. `None` if the database was not checked yet, or failed.
    pub fn records(&self, database: &str, scenario: &str, arm: Arm) -> Option<Vec<CheckRecord>> {
        let records = self.0.get(database)?;
        let of_arm = |record: &CheckRecord| CheckRecord { scenario: scenario.to_owned(), arm: Some(arm), ..record.clone() };
        Some(records.iter().map(of_arm).collect())
    }

    /// Keeps the records unless one failed.
    pub fn keep(&mut self, database: &str, records: &[CheckRecord]) {
        if records.iter().all(|record| record.outcome != CheckOutcome::Failed) {
            self.0.insert(database.to_owned(), records.to_vec());
        }
    }
}

/// Checks every table and view of one arm; one record each. A suite with a `login` of its own may leave tables unchecked: whom a row is shown to may hang on
/// that role alone.
pub async fn check(
    connection: &mut PgConnection,
    dataset: &Dataset,
    variant: &Variant,
    login: Option<&str>,
    scenario: &str,
    arm: Arm,
) -> anyhow::Result<Vec<CheckRecord>> {
    let tables = tables(connection).await?;
    let mut records = Vec::new();
    for (name, table) in tables.iter().filter(|(name, _)| !variant.visible.contains_key(*name)) {
        let finding = match (dataset.table(name).is_some(), table) {
            (true, Table { secured: true, .. }) => {
                format!("{name} is under row-level security in {}, but suite.toml does not say who may see its rows", variant.name)
            }
            // What a migration adds can leak too, and no model knows its rows.
            (false, Table { readable: true, .. }) => format!(
                "tenants can read {name} in {}, and the dataset does not fill it: fill it, take their right to read it, or say why that is well: visible.\"{name}\" = {{ unchecked = \"...\" }}",
                variant.name
            ),
            _ => continue,
        };
        records.push(record(scenario, arm, name, 0, CheckOutcome::Failed, vec![finding]));
    }
    let identities = stratified(dataset);
    for (name, rule) in &variant.visible {
        let (cases, outcome, findings) = match (dataset.table(name), rule) {
            (of_dataset, Visibility::Unchecked(why)) if of_dataset.is_none() || login.is_some() => {
                (0, CheckOutcome::Warning, vec![format!("not checked: {why}")])
            }
            (_, Visibility::Unchecked(_)) => {
                (0, CheckOutcome::Failed, vec![format!("{name} can be checked, as the dataset fills it: say who may see its rows")])
            }
            (None, _) => (0, CheckOutcome::Failed, vec![format!("suite.toml says who sees {name}, but the dataset has no such table")]),
            (Some(table), rule) => {
                let mut findings = Vec::new();
                for identity in &identities {
                    findings.extend(look(connection, dataset, table, rule, identity).await?);
                }
                let open = tables.get(name).is_none_or(|table| table.readable && !table.secured);
                if open && *rule != Visibility::All && findings.is_empty() {
                    findings.push("row-level security is not enabled on it".to_owned());
                }
                let outcome = if findings.is_empty() { CheckOutcome::Passed } else { CheckOutcome::Failed };
                (identities.len() as u64, outcome, findings)
            }
        };
        records.push(record(scenario, arm, name, cases, outcome, findings));
    }
    records.extend(views::check(connection, scenario, arm).await?);
    Ok(records)
}

fn record(scenario: &str, arm: Arm, subject: &str, cases: u64, outcome: CheckOutcome, findings: Vec<String>) -> CheckRecord {
    CheckRecord {
        scenario: scenario.to_owned(),
        kind: CheckKind::Isolation,
        subject: subject.to_owned(),
        arm: Some(arm),
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
    // Which rows differ is asked only where any do: there may be millions that do not.
    let digest = visible_digest(connection, name, &column, &identity.actor).await?;
    if digest == Some(expected_digest(dataset, table, rule, &identity.actor)) {
        return Ok(Vec::new());
    }
    let seen = visible_keys(connection, name, &column, &identity.actor).await?;
    if seen.is_none() && identity.actor == Actor::Service && name.contains('.') {
        // Schemas that are not the application's own need not be open to its service.
        return Ok(Vec::new());
    }
    let seen = seen.unwrap_or_default();
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

/// Keys that the actor sees; `None` if it may not even ask.
async fn visible_keys(connection: &mut PgConnection, table: &str, key: &str, actor: &Actor) -> anyhow::Result<Option<Vec<String>>> {
    let sql = format!("select {}::text from {}", quote_ident(key), qualified(table));
    let rows = read_as(connection, table, actor, sql).await?;
    rows.map(|rows| rows.iter().map(|row| Ok(row.try_get(0)?)).collect()).transpose()
}

/// The same, counted and summed up by the server.
async fn visible_digest(connection: &mut PgConnection, table: &str, key: &str, actor: &Actor) -> anyhow::Result<Option<KeyDigest>> {
    let hash = format!("substring(sha256(convert_to({}::text, 'UTF8')) from 1 for 7)", quote_ident(key));
    let sql = format!("select count(*), coalesce(sum(('x' || encode({hash}, 'hex'))::bit(56)::bigint), 0)::text from {}", qualified(table));
    let Some(rows) = read_as(connection, table, actor, sql).await? else { return Ok(None) };
    let row = rows.first().context("a count without a row")?;
    let (count, sum): (i64, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Some(KeyDigest { count: u64::try_from(count).unwrap_or(0), sum: sum.parse().context("a sum that is no number")? }))
}

/// Rows of a query as the actor; `None` if it may not ask.
async fn read_as(connection: &mut PgConnection, table: &str, actor: &Actor, sql: String) -> anyhow::Result<Option<Vec<PgRow>>> {
    let mut transaction = connection.begin().await?;
    let (role, _, claims) = claims_of(actor);
    sqlx::query("select set_config('role', $1, true), set_config('request.jwt.claims', $2, true)")
        .bind(role)
        .bind(claims)
        .execute(&mut *transaction)
        .await
        .with_context(|| format!("cannot become {role}"))?;
    let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut *transaction).await;
    transaction.rollback().await?;
    match rows {
        Ok(rows) => Ok(Some(rows)),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(NO_PRIVILEGE) => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {table} as {role}")),
    }
}

/// `schema.table` with both parts quoted.
pub fn qualified(table: &str) -> String {
    table.split('.').map(quote_ident).collect::<Vec<_>>().join(".")
}

/// What isolation needs to know of a table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Table {
    /// Row-level security is enabled on it.
    secured: bool,
    /// `anon` or `authenticated` may read some of its columns.
    readable: bool,
}

/// The application's tables by name, with their schema unless that is `public`; an extension's own are left out.
async fn tables(connection: &mut PgConnection) -> anyhow::Result<BTreeMap<String, Table>> {
    let sql = "select case nspname when 'public' then relname::text else nspname || '.' || relname end,
                      relrowsecurity,
                      exists (select from pg_roles as r
                               where r.rolname in ('anon', 'authenticated')
                                 and has_schema_privilege(r.oid, n.oid, 'usage')
                                 and has_any_column_privilege(r.oid, c.oid, 'select'))
                 from pg_class as c
                 join pg_namespace as n on n.oid = c.relnamespace
                where relkind in ('r', 'p', 'f')
                  and nspname <> 'information_schema'
                  and not starts_with(nspname, 'pg_')
                  and not exists (select from pg_depend as d
                                   where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')";
    let rows: Vec<(String, bool, bool)> = sqlx::query_as(sql).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(name, secured, readable)| (name, Table { secured, readable })).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_passed_is_not_looked_at_again() {
        let found = |outcome| vec![record("s/first", Arm::at(1), "notes", 14, outcome, Vec::new())];
        let mut passed = Passed::default();
        passed.keep("leaky", &found(CheckOutcome::Failed));
        passed.keep("right", &found(CheckOutcome::Passed));
        assert!(passed.records("leaky", "s/second", Arm::at(1)).is_none());
        assert!(passed.records("right_2", "s/second", Arm::at(1)).is_none(), "another copy is another database");
        let again = passed.records("right", "s/second", Arm::at(2)).expect("it has passed");
        let told: Vec<_> = again.iter().map(|record| (record.scenario.as_str(), record.arm, record.cases)).collect();
        assert_eq!(told, [("s/second", Some(Arm::at(2)), 14)]);
    }
}
