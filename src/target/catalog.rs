//! What a schema is, as text: so that a rollback can be shown to lead back to where it started.

use std::collections::BTreeMap;

use sqlx::PgConnection;

use super::error::TargetError;

/// The schemas that belong to an application: its own and the one of its users.
pub const APPLICATION_SCHEMAS: [&str; 2] = ["public", "auth"];

/// Definitions by what they define, for example `policy public.messages.tenant`. Equal for equal schemas, whatever the
/// order in which they were made; data, statistics and sizes are not part of it.
pub type Catalog = BTreeMap<String, String>;

/// Reads every relation, column, default, sequence, constraint, index, policy, trigger, rule, statistics object,
/// routine, type, privilege and comment of `schemas`, and the extensions of the database.
pub async fn catalog(connection: &mut PgConnection, schemas: &[&str]) -> Result<Catalog, TargetError> {
    let doing = "read the catalogue";
    // Names are printed with their schema unless the search path has it.
    let previous: String =
        sqlx::query_scalar("select current_setting('search_path')").fetch_one(&mut *connection).await.map_err(TargetError::sql(doing))?;
    set_search_path(connection, "pg_catalog").await?;
    let rows: Result<Vec<(String, Option<String>)>, _> =
        sqlx::query_as(include_str!("catalog.sql")).bind(schemas).fetch_all(&mut *connection).await;
    set_search_path(connection, &previous).await?;
    Ok(rows.map_err(TargetError::sql(doing))?.into_iter().map(|(key, definition)| (key, definition.unwrap_or_default())).collect())
}

async fn set_search_path(connection: &mut PgConnection, path: &str) -> Result<(), TargetError> {
    sqlx::query("select set_config('search_path', $1, false)")
        .bind(path)
        .execute(connection)
        .await
        .map(|_| ())
        .map_err(TargetError::sql("set the search path"))
}

/// What differs, a line each, by key: `- key: definition` only in `before`, `+ ...` only in `after`, both if it changed.
pub fn diff(before: &Catalog, after: &Catalog) -> Vec<String> {
    let mut lines = Vec::new();
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let (old, new) = (before.get(key), after.get(key));
        if old != new {
            lines.extend(old.map(|definition| format!("- {key}: {definition}")));
            lines.extend(new.map(|definition| format!("+ {key}: {definition}")));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_names_what_went_came_and_changed() {
        let catalog =
            |entries: &[(&str, &str)]| -> Catalog { entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect() };
        let before = catalog(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let after = catalog(&[("b", "2"), ("c", "4"), ("d", "5")]);
        assert_eq!(diff(&before, &after), ["- a: 1", "- c: 3", "+ c: 4", "+ d: 5"]);
        assert!(diff(&before, &before).is_empty());
    }
}
