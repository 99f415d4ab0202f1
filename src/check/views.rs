//! Views: what reads a table under row-level security with somebody else's rights shows every tenant's rows to whoever may read it.

use sqlx::postgres::PgConnection;

use crate::record::{Arm, CheckKind, CheckOutcome, CheckRecord};

/// A view that anon or authenticated may read, and one table under row-level security behind it.
struct Behind {
    view: String,
    materialized: bool,
    table: String,
    /// Whether some view on the way is read with its owner's rights, or holds rows that its owner stored.
    bypasses: bool,
    /// Roles among anon and authenticated that may read the view.
    roles: Vec<String>,
}

/// From every readable view of schema public, through the views it reads, to the tables under row-level security.
///
/// Whatever a view with its owner's rights reads is read with those rights, also by way of a view with the caller's rights. The other way round the
/// caller needs a privilege on the inner view. A server that does not know `security_invoker` (before 15) has it on no view.
const BEHIND: &str = "
with recursive relations as (
  select c.oid, c.relkind,
         c.relkind = 'm' or c.relkind = 'v' and not exists (
           select from pg_options_to_table(c.reloptions) as o where o.option_name = 'security_invoker' and o.option_value::boolean
         ) as bypasses,
         array(
           select r.rolname::text from pg_roles as r
            where r.rolname in ('anon', 'authenticated') and has_any_column_privilege(r.oid, c.oid, 'select') order by 1
         ) as roles
    from pg_class as c
   where c.relkind in ('v', 'm')
), edges as (
  select distinct r.ev_class as view, d.refobjid as relation
    from pg_rewrite as r
    join pg_depend as d on d.classid = 'pg_rewrite'::regclass and d.objid = r.oid and d.refclassid = 'pg_class'::regclass
   where d.refobjid <> r.ev_class
), reads (root, relation, bypasses) as (
  select v.oid, e.relation, v.bypasses
    from relations as v
    join pg_class as c on c.oid = v.oid and c.relnamespace = 'public'::regnamespace
    join edges as e on e.view = v.oid
   where v.roles <> '{}'
   union
  select r.root, e.relation, r.bypasses or v.bypasses and v.roles <> '{}'
    from reads as r
    join relations as v on v.oid = r.relation
    join edges as e on e.view = v.oid
)
select root.relname::text as view, v.relkind = 'm' as materialized, t.relname::text as table, bool_or(r.bypasses) as bypasses, v.roles
  from reads as r
  join pg_class as root on root.oid = r.root
  join relations as v on v.oid = r.root
  join pg_class as t on t.oid = r.relation and t.relrowsecurity and t.relkind in ('r', 'p')
 group by root.relname, v.relkind, t.relname, v.roles
 order by 1, 3";

/// One record a view that anon or authenticated may read and that reads tables under row-level security, directly or through other views.
pub async fn check(connection: &mut PgConnection, scenario: &str, arm: Arm) -> anyhow::Result<Vec<CheckRecord>> {
    let rows: Vec<(String, bool, String, bool, Vec<String>)> = sqlx::query_as(BEHIND).fetch_all(connection).await?;
    let behind: Vec<Behind> = rows
        .into_iter()
        .map(|(view, materialized, table, bypasses, roles)| Behind { view, materialized, table, bypasses, roles })
        .collect();
    let records = behind.chunk_by(|a, b| a.view == b.view).filter_map(|tables| {
        let findings: Vec<String> = tables.iter().filter(|table| table.bypasses).map(finding).collect();
        let first = tables.first()?;
        Some(CheckRecord {
            scenario: scenario.to_owned(),
            kind: CheckKind::Isolation,
            subject: first.view.clone(),
            arm: Some(arm),
            cases: first.roles.len() as u64,
            outcome: if findings.is_empty() { CheckOutcome::Passed } else { CheckOutcome::Failed },
            findings,
        })
    });
    Ok(records.collect())
}

fn finding(behind: &Behind) -> String {
    let Behind { view, table, .. } = behind;
    let roles = behind.roles.join(" and ");
    if behind.materialized {
        format!(
            "leak: materialized view {view} holds rows of {table}, which is under row-level security, and no policy can be put on it; revoke select \
             on {view} from {roles}"
        )
    } else {
        format!(
            "leak: view {view} reads {table}, which is under row-level security, with its owner's rights; make every view on the way to {table} \
             `with (security_invoker = true)` (PostgreSQL 15 or newer), or revoke select on {view} from {roles}"
        )
    }
}
