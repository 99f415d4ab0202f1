//! Databases that pgduel makes: created with a mark, cloned, warmed, and dropped only if they carry the mark.

use serde::{Deserialize, Serialize};
use sqlx::{AssertSqlSafe, PgConnection};

use super::connection::APPLICATION_NAME;
use super::error::TargetError;
use super::guard::{Refusal, Refusals};
use super::run_lock::RunName;
use super::server::{Server, close, version_num};

/// What the comment on a database of pgduel's starts with; JSON follows.
const MARK_PREFIX: &str = "pgduel: ";
/// `CREATE DATABASE ... STRATEGY` came with this version; before, every clone was a file copy.
const STRATEGY_SINCE: i32 = 150_000;

/// What a database is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// Seeded once, kept, and cloned.
    Template,
    /// A clone under test; may be dropped when its run is over.
    Duel,
    /// Anything short-lived.
    Scratch,
}

/// The mark that says a database is pgduel's, stored as its comment: pgduel may change and drop it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseMark {
    /// What it is for.
    pub purpose: Purpose,
    /// What is in it: a digest of whatever it was made from, so that a template can be found again.
    pub key: String,
    /// The pgduel that made it.
    pub pgduel_version: String,
    /// The run that it is of, if it goes with a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunName>,
}

impl DatabaseMark {
    /// A mark of this pgduel, for what is no run's. For what is, see [`Server::mark`].
    pub fn new(purpose: Purpose, key: impl Into<String>) -> Self {
        Self { purpose, key: key.into(), pgduel_version: env!("CARGO_PKG_VERSION").to_owned(), run: None }
    }

    fn to_comment(&self) -> String {
        // Serializing strings and a number cannot fail; an empty object would still be a mark.
        let json = serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned());
        format!("{MARK_PREFIX}{json}")
    }

    fn from_comment(comment: &str) -> Option<Self> {
        serde_json::from_str(comment.strip_prefix(MARK_PREFIX)?).ok()
    }
}

/// A database that carries pgduel's mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PgduelDatabase {
    /// Its name.
    pub name: String,
    /// Its mark.
    pub mark: DatabaseMark,
    /// Its size on disk in bytes.
    pub size_bytes: i64,
}

/// Creates database `name` with `mark`: empty, or as a copy of `template`, to which nobody may be connected.
///
/// A copy is made file by file (with the checkpoint that this takes), so that it has the template's physical layout and
/// writes no WAL for its pages.
pub async fn create_database(server: &Server, name: &str, template: Option<&str>, mark: &DatabaseMark) -> Result<(), TargetError> {
    let mut admin = server.connect_admin().await?;
    let mut sql = format!("create database {} template {}", quote_ident(name), quote_ident(template.unwrap_or("template0")));
    if template.is_some() && version_num(&mut admin).await? >= STRATEGY_SINCE {
        sql.push_str(" strategy file_copy");
    }
    let (name, mark, template) = (name.to_owned(), mark.clone(), template.map(str::to_owned));
    // A task of its own: whoever stops waiting must not leave a database without a mark, which nobody may drop then.
    let made = tokio::spawn(async move {
        execute(&mut admin, sql, &format!("create database \"{name}\"")).await?;
        let mut made = set_mark(&mut admin, &name, &mark).await;
        if let (Ok(()), Some(template)) = (&made, template) {
            made = copy_settings(&mut admin, &template, &name).await;
        }
        close(admin).await;
        made
    });
    made.await.unwrap_or_else(|_| Err(TargetError::Sql { doing: "create a database".to_owned(), error: sqlx::Error::WorkerCrashed }))
}

/// Gives a database the settings that another one has for all its sessions: a copy of a database does not have them.
async fn copy_settings(admin: &mut PgConnection, from: &str, to: &str) -> Result<(), TargetError> {
    let doing = format!("give \"{to}\" the settings of \"{from}\"");
    let sql = "select unnest(setconfig) from pg_db_role_setting
                where setrole = 0 and setdatabase = (select oid from pg_database where datname = $1)";
    let settings: Vec<String> =
        sqlx::query_scalar(sql).bind(from).fetch_all(&mut *admin).await.map_err(TargetError::sql(doing.as_str()))?;
    for sql in set_for(&format!("database {}", quote_ident(to)), &settings) {
        execute(admin, sql, &doing).await?;
    }
    Ok(())
}

/// SQL that sets `name=value` for a database or a role: a list of names is set as PostgreSQL reads it, so the session takes each on.
pub(super) fn set_for(whom: &str, settings: &[String]) -> Vec<String> {
    let of_setting = |(name, value): (&str, &str)| {
        let quoted: Vec<String> = name.split('.').map(quote_ident).collect();
        [
            format!("select set_config({}, {}, false)", quote_literal(name), quote_literal(value)),
            format!("alter {whom} set {} from current", quoted.join(".")),
        ]
    };
    settings.iter().filter_map(|setting| setting.split_once('=')).flat_map(of_setting).collect()
}

/// Changes the mark of a database that has one; for a template whose seeding is complete.
pub async fn remark_database(server: &Server, name: &str, mark: &DatabaseMark) -> Result<(), TargetError> {
    let mut admin = server.connect_admin().await?;
    require_mark(&mut admin, name).await?;
    let marked = set_mark(&mut admin, name, mark).await;
    close(admin).await;
    marked
}

/// Drops a database and ends the sessions in it. Refuses one without pgduel's mark; none of that name is fine.
pub async fn drop_database(server: &Server, name: &str) -> Result<(), TargetError> {
    let mut admin = server.connect_admin().await?;
    if database_exists(&mut admin, name).await? {
        require_mark(&mut admin, name).await?;
        let sql = format!("drop database if exists {} with (force)", quote_ident(name));
        execute(&mut admin, sql, &format!("drop database \"{name}\"")).await?;
    }
    close(admin).await;
    Ok(())
}

/// Drops a database if it still carries this mark and nobody is seeding it: meanwhile another run may have dropped it, or made it anew. Whether it
/// did.
pub(super) async fn drop_marked(server: &Server, name: &str, mark: &DatabaseMark) -> Result<bool, TargetError> {
    let mut admin = server.connect_admin().await?;
    let doing = format!("drop database \"{name}\"");
    // The lock under which templates are seeded; it goes with the session.
    let lock = sqlx::query_scalar("select pg_try_advisory_lock(hashtextextended($1, 0))").bind(name);
    let free: bool = lock.fetch_one(&mut admin).await.map_err(TargetError::sql(doing.as_str()))?;
    let is_it = free && database_mark(&mut admin, name).await?.as_ref() == Some(mark);
    if is_it {
        execute(&mut admin, format!("drop database if exists {} with (force)", quote_ident(name)), &doing).await?;
    }
    close(admin).await;
    Ok(is_it)
}

/// Ends idle sessions of pgduel's in a database with its mark: those that a pooler keeps open would be in the way of a copy, and began with former
/// settings. Once reset by the pooler, they have no name.
pub async fn end_idle_sessions(server: &Server, name: &str) -> Result<(), TargetError> {
    let mut admin = server.connect_admin().await?;
    require_mark(&mut admin, name).await?;
    sqlx::query(
        "select pg_terminate_backend(pid)
           from pg_stat_activity
          where datname = $1 and pid <> pg_backend_pid() and state = 'idle'
            and (application_name = '' or starts_with(application_name, $2))",
    )
    .bind(name)
    .bind(APPLICATION_NAME)
    .execute(&mut admin)
    .await
    .map_err(TargetError::sql(format!("end the sessions of \"{name}\"")))?;
    close(admin).await;
    Ok(())
}

/// All databases of the server that carry pgduel's mark, by name.
pub async fn list_pgduel_databases(server: &Server) -> Result<Vec<PgduelDatabase>, TargetError> {
    let mut admin = server.connect_admin().await?;
    let rows: Vec<(String, String, i64)> = sqlx::query_as(
        "select datname::text, description, coalesce(pg_database_size(oid), 0) -- NULL if it was dropped meanwhile
           from (select oid, datname, shobj_description(oid, 'pg_database') as description from pg_database) as d
          where starts_with(description, $1)
          order by datname",
    )
    .bind(MARK_PREFIX)
    .fetch_all(&mut admin)
    .await
    .map_err(TargetError::sql("list pgduel's databases"))?;
    close(admin).await;
    Ok(rows
        .into_iter()
        .filter_map(|(name, comment, size_bytes)| {
            let mark = DatabaseMark::from_comment(&comment)?;
            Some(PgduelDatabase { name, mark, size_bytes })
        })
        .collect())
}

/// The mark of database `name`, `None` if it has none or does not exist.
pub async fn database_mark(connection: &mut PgConnection, name: &str) -> Result<Option<DatabaseMark>, TargetError> {
    let comment: Option<Option<String>> =
        sqlx::query_scalar("select shobj_description(oid, 'pg_database') from pg_database where datname = $1")
            .bind(name)
            .fetch_optional(connection)
            .await
            .map_err(TargetError::sql(format!("read the mark of database \"{name}\"")))?;
    Ok(comment.flatten().and_then(|comment| DatabaseMark::from_comment(&comment)))
}

/// Reads every table, index and TOAST table of the connection's database into the buffer pool; returns the number of
/// blocks read. Creates the extension pg_prewarm if it is not there.
pub async fn prewarm(connection: &mut PgConnection) -> Result<i64, TargetError> {
    let doing = "prewarm the database";
    // Its notice that the extension exists is no news.
    execute(connection, "set client_min_messages = warning".to_owned(), doing).await?;
    execute(connection, "create extension if not exists pg_prewarm with schema pg_catalog".to_owned(), doing).await?;
    execute(connection, "reset client_min_messages".to_owned(), doing).await?;
    // The suite may have created the extension in another schema. That schema may have other functions of this name, so all five arguments have their exact types.
    let schema =
        "select quote_ident(nspname) from pg_extension join pg_namespace as n on n.oid = extnamespace where extname = 'pg_prewarm'";
    let schema: String = sqlx::query_scalar(schema).fetch_one(&mut *connection).await.map_err(TargetError::sql(doing))?;
    let sql = format!(
        "select coalesce(sum({schema}.pg_prewarm(c.oid::regclass, 'buffer'::text, 'main'::text, null::int8, null::int8)), 0)::bigint
           from pg_class c join pg_namespace n on n.oid = c.relnamespace
          where c.relkind in ('r', 'i', 'm', 't')
            and c.relpersistence <> 't'
            and (n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')
                 or n.nspname = 'pg_toast' and c.oid >= 16384)"
    );
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.map_err(TargetError::sql(doing))
}

/// An index that is being built.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexBuild {
    /// Its table.
    pub table: String,
    /// What the server does for it.
    pub phase: String,
    /// How much of that is done, where the server knows.
    pub percent: Option<f64>,
}

/// Indexes that are being built in the connection's database, by whomever.
pub async fn index_builds(connection: &mut PgConnection) -> Result<Vec<IndexBuild>, TargetError> {
    let sql = "select relid::regclass::text, phase,
                      (case when blocks_total > 0 then 100.0 * blocks_done / blocks_total
                            when tuples_total > 0 then 100.0 * tuples_done / tuples_total
                        end)::float8
                 from pg_stat_progress_create_index
                where datname = current_database()
                order by pid";
    let rows: Vec<(String, String, Option<f64>)> =
        sqlx::query_as(sql).fetch_all(connection).await.map_err(TargetError::sql("look how far indexes are"))?;
    Ok(rows.into_iter().map(|(table, phase, percent)| IndexBuild { table, phase, percent }).collect())
}

/// An identifier as SQL: always quoted, so that no name is a keyword or a piece of SQL.
pub fn quote_ident(name: &str) -> String {
    format!("\"{}\"", name.replace('\0', "").replace('"', "\"\""))
}

/// A string as an SQL literal, whatever `standard_conforming_strings` says.
pub fn quote_literal(text: &str) -> String {
    let doubled = text.replace('\0', "").replace('\'', "''");
    match doubled.contains('\\') {
        true => format!("E'{}'", doubled.replace('\\', "\\\\")),
        false => format!("'{doubled}'"),
    }
}

pub(super) async fn database_exists(connection: &mut PgConnection, name: &str) -> Result<bool, TargetError> {
    sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(name)
        .fetch_one(connection)
        .await
        .map_err(TargetError::sql(format!("look for database \"{name}\"")))
}

async fn require_mark(admin: &mut PgConnection, name: &str) -> Result<(), TargetError> {
    match database_mark(admin, name).await? {
        Some(_) => Ok(()),
        None => Err(TargetError::Refused { database: name.to_owned(), refusals: Refusals(vec![Refusal::NotCreatedByPgduel]) }),
    }
}

async fn set_mark(admin: &mut PgConnection, name: &str, mark: &DatabaseMark) -> Result<(), TargetError> {
    // A comment takes no parameter.
    let sql = format!("comment on database {} is {}", quote_ident(name), quote_literal(&mark.to_comment()));
    execute(admin, sql, &format!("mark database \"{name}\"")).await
}

/// Runs SQL that was put together here, from quoted names only.
async fn execute(connection: &mut PgConnection, sql: String, doing: &str) -> Result<(), TargetError> {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(|_| ()).map_err(TargetError::sql(doing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_texts_cannot_break_out_of_their_quotes() {
        assert_eq!(quote_ident("plain"), "\"plain\"");
        assert_eq!(quote_ident("a\"; drop table b; --"), "\"a\"\"; drop table b; --\"");
        assert_eq!(quote_ident("nul\0"), "\"nul\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\'b"), "E'a\\\\''b'");
    }

    #[test]
    fn a_mark_survives_its_comment_and_other_comments_are_none() {
        let mark = DatabaseMark::new(Purpose::Template, "it's \"k\"");
        assert_eq!(DatabaseMark::from_comment(&mark.to_comment()), Some(mark));
        for comment in ["", "pgduel", "pgduel: ", "pgduel: {}", "our database; pgduel: {}"] {
            assert_eq!(DatabaseMark::from_comment(comment), None, "{comment}");
        }
    }
}
