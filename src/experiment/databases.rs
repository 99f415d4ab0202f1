//! The databases of a run: one seeded template a suite and size, kept between runs; arms cloned from it, made anew each run.
//!
//! All arms are clones of one template with their variant's SQL on top, so their logical data is the same by construction.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::events::{Event, Progress, Seeding};
use super::rejection::is_servers_fault;
use super::route::RefusedSetting;
use crate::dataset::Dataset;
use crate::load::identity::API_ROLES;
use crate::record::{AppliedFile, Factor};
use crate::suite::{Suite, Variant};
use crate::target::{
    AppliedStatement, ApplyError, DatabaseMark, HostPolicy, IndexBuild, Login, OwnerState, Purpose, Server, WriteRequest,
    apply_filled_sql_file, create_database, drop_database, drop_orphans, end_idle_sessions, give_public, guard_writable, index_builds,
    let_become, list_pgduel_databases, prewarm, quote_ident, remark_database,
};

/// Raised when the same inputs would give another template.
const TEMPLATE_FORMAT: u32 = 2;
/// Where a platform's SQL names the owner of the application's tables.
const OWNER_PLACE: &str = "{{owner}}";
/// Connections that seed.
const SEED_CONNECTIONS: usize = 2;
/// How often people are told how far an index is.
const TOLD_EVERY: Duration = Duration::from_secs(15);
/// How long may be looked for it.
const TELLING: Duration = Duration::from_secs(1);

/// SHA-256 over everything that decides a template: the model, the shared SQL, sizes, seed, and the server's versions.
pub async fn template_digest(suite: &Suite, dataset: &Dataset, sizing: &str, server: &Server) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(&TEMPLATE_FORMAT.to_le_bytes());
    for file in std::iter::once(&suite.dataset_file).chain(&suite.platform).chain(&suite.tables).chain(&suite.indexes) {
        add(&std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    add(sizing.as_bytes());
    add(sample(dataset).as_bytes());
    // An embedded server may be named by its URL another time.
    add(Login::Owner.role(server.kind()).unwrap_or_default().as_bytes());
    add(&dataset.seed().to_le_bytes());
    add(&server.version_num().await?.to_le_bytes());
    add(server.pgvector_version().await?.unwrap_or_default().as_bytes());
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A few rows of every table: a generator that makes others now would otherwise find the rows of its forerunner.
fn sample(dataset: &Dataset) -> String {
    let mut text = String::new();
    for table in dataset.tables() {
        let rows = dataset.rows(table);
        for row in [0, rows / 2, rows.saturating_sub(1)].into_iter().filter(|row| *row < rows) {
            let columns = dataset.columns(table);
            for column in columns.iter().filter_map(|column| dataset.column(table, column)) {
                text.push_str(&format!("{:?}\n", dataset.value(table, row, column)));
            }
        }
    }
    text
}

/// The name of the seeded template; seeds it if it is not there. One that was left half-made is made anew.
pub async fn template(
    server: &Server,
    suite: &Suite,
    dataset: &Arc<Dataset>,
    digest: &str,
    progress: &dyn Progress,
) -> anyhow::Result<String> {
    let name = template_name(suite, digest);
    // One seeds, others that want the same template on this server wait for it. Released with the connection.
    let mut lock = server.connect_admin().await?;
    sqlx::query("select pg_advisory_lock(hashtextextended($1, 0))").bind(&name).execute(&mut lock).await?;
    let made = template_under_lock(server, suite, dataset, digest, progress, &name).await;
    let _ = lock.close().await;
    made.map(|()| name)
}

async fn template_under_lock(
    server: &Server,
    suite: &Suite,
    dataset: &Arc<Dataset>,
    digest: &str,
    progress: &dyn Progress,
    name: &str,
) -> anyhow::Result<()> {
    if has_template(server, suite, digest).await? {
        let_become(server, &API_ROLES, suite.login.as_deref()).await?;
        progress.event(&Event::TemplateFound { database: name });
        return Ok(());
    }
    drop_database(server, name).await?;
    create_database(server, name, None, &server.mark(Purpose::Scratch, digest)).await?;
    may_write(server, name).await?;
    give_public(server, name).await?;
    for file in &suite.platform {
        apply(server, name, Login::Superuser, file, None, progress).await?;
    }
    // What it gave to pgduel's roles is looked at before any of them runs something.
    let_become(server, &API_ROLES, suite.login.as_deref()).await?;
    for file in &suite.tables {
        apply(server, name, Login::Owner, file, None, progress).await?;
    }
    progress.event(&Event::Seeding);
    // Triggers and defaults run as whoever inserts.
    let options = server.connect_options_as(Login::Owner, name);
    crate::seed::load(options, dataset.clone(), SEED_CONNECTIONS, &Seeding(progress)).await?;
    for file in &suite.indexes {
        progress.event(&Event::SharedIndexes { file });
        apply(server, name, Login::Owner, file, None, progress).await?;
    }
    progress.event(&Event::Vacuuming);
    let mut connection = server.connect(name).await?;
    sqlx::raw_sql("vacuum (freeze, analyze)").execute(&mut connection).await?;
    connection.close().await?;
    remark_database(server, name, &DatabaseMark::new(Purpose::Template, digest)).await?;
    Ok(())
}

fn template_name(suite: &Suite, digest: &str) -> String {
    let short: String = digest.chars().take(12).collect();
    format!("pgduel_t_{}_{short}", sql_name(&suite.name))
}

/// Whether the template of this digest is there, seeded to its end.
pub async fn has_template(server: &Server, suite: &Suite, digest: &str) -> anyhow::Result<bool> {
    let name = template_name(suite, digest);
    let existing = list_pgduel_databases(server).await?.into_iter().find(|database| database.name == name);
    Ok(existing.is_some_and(|database| database.mark.purpose == Purpose::Template && database.mark.key == digest))
}

/// A clone with a variant's SQL on top.
#[derive(Clone, Debug)]
pub struct VariantDatabase {
    /// Its name.
    pub name: String,
    /// What was applied, with times.
    pub applied: Vec<AppliedFile>,
    /// Bytes of all tables, without indexes.
    pub table_bytes: u64,
    /// Bytes of all indexes.
    pub index_bytes: u64,
}

/// Clones `template` and applies the variant, with the value of a factor where its files name it. Only tables that this touched are vacuumed and
/// analysed anew: ANALYZE samples at random, and statistics that differ for no reason would be a lottery between the arms.
pub async fn make_variant(
    server: &Server,
    template: &str,
    name: &str,
    variant: &Variant,
    factor: Option<&Factor>,
    progress: &dyn Progress,
) -> anyhow::Result<VariantDatabase> {
    drop_database(server, name).await?;
    create_database(server, name, Some(template), &server.mark(Purpose::Duel, &variant.name)).await?;
    may_write(server, name).await?;
    give_public(server, name).await?;
    let mut connection = server.connect(name).await?;
    let as_seeded = shapes(&mut connection).await?;
    let mut applied = Vec::new();
    for file in &variant.sql {
        let statements = apply(server, name, Login::Owner, file, factor, progress).await?;
        applied.push(AppliedFile {
            file: shown(file),
            statements: statements.len() as u32,
            duration_ns: statements.iter().map(|statement| statement.duration_ns).sum(),
        });
    }
    refresh_touched(&mut connection, &as_seeded).await?;
    let (table_bytes, index_bytes) = sizes(&mut connection).await?;
    connection.close().await?;
    Ok(VariantDatabase { name: name.to_owned(), applied, table_bytes, index_bytes })
}

/// Applies a file to database `name`. Each file has a session of its own, because a file may change settings: a dump empties the search path.
async fn apply(
    server: &Server,
    name: &str,
    login: Login<'_>,
    file: &Path,
    factor: Option<&Factor>,
    progress: &dyn Progress,
) -> anyhow::Result<Vec<AppliedStatement>> {
    let mut connection = server.connect_as(login, name).await?;
    let owner = Login::Owner.role(server.kind()).unwrap_or_default();
    let fill = |sql: &str| match login {
        // What a platform gives to whoever owns the application's tables, it gives by this name.
        Login::Superuser => sql.replace(OWNER_PLACE, owner),
        _ => Factor::fill(factor, sql),
    };
    let before = if login == Login::Owner { Some(OwnerState::read(server).await?) } else { None };
    let applied = tell_meanwhile(server, name, progress, apply_filled_sql_file(&mut connection, file, fill)).await;
    let restored = match &before {
        Some(before) => before.restore(server).await,
        None => Ok(false),
    };
    let applied = applied.map_err(tell_of_places)?;
    if restored? {
        return Err(ApplyError::Shared(file.to_owned()).into());
    }
    // What it changed counts from now on, not when its backend has gone.
    sqlx::raw_sql("select pg_stat_force_next_flush()").execute(&mut connection).await?;
    connection.close().await?;
    Ok(applied)
}

/// Waits for `applying`. Where that takes long, it reports the progress of index builds in the database.
async fn tell_meanwhile<T>(server: &Server, name: &str, progress: &dyn Progress, applying: impl Future<Output = T>) -> T {
    let mut applying = std::pin::pin!(applying);
    loop {
        match tokio::time::timeout(TOLD_EVERY, &mut applying).await {
            Ok(applied) => return applied,
            // It is for people: where it cannot be told, the index is built all the same.
            Err(_) => {
                let told = tokio::time::timeout(TELLING, builds(server, name)).await;
                for build in told.ok().and_then(Result::ok).unwrap_or_default() {
                    progress.event(&Event::IndexBuilding { table: &build.table, phase: &build.phase, percent: build.percent });
                }
            }
        }
    }
}

/// Says of a brace that is left in the SQL what it stands for, and of a right that is missing where it is there.
fn tell_of_places(error: ApplyError) -> ApplyError {
    match error {
        ApplyError::Sql(mut rejected) if rejected.sqlstate.as_deref() == Some("42501") => {
            let help = "the suite's platform files are applied by the superuser, all others by the owner of the tables: move it to platform, or grant there \
                        what {{owner}} needs";
            rejected.help = Some(rejected.help.map_or_else(|| help.to_owned(), |said| format!("{said}\n{help}")));
            ApplyError::Sql(rejected)
        }
        ApplyError::Sql(mut rejected) if rejected.message.ends_with("at or near \"{\"") => {
            let help = "a place such as {{m}} has a value only in a scenario that sweeps it, by that name";
            rejected.help = Some(help.to_owned());
            ApplyError::Sql(rejected)
        }
        other => other,
    }
}

/// Indexes that are being built in a database.
async fn builds(server: &Server, name: &str) -> anyhow::Result<Vec<IndexBuild>> {
    let mut connection = server.connect(name).await?;
    let found = index_builds(&mut connection).await?;
    connection.close().await?;
    Ok(found)
}

/// Whether this is a database that pgduel made, with nobody else in it. Hosts were allowed or refused before anything was connected to.
async fn may_write(server: &Server, name: &str) -> anyhow::Result<()> {
    guard_writable(server, &WriteRequest { database: name, hosts: HostPolicy::Any, ..WriteRequest::default() }).await?;
    Ok(())
}

/// A plain copy of a database, for scenarios that write.
pub async fn clone_database(server: &Server, from: &str, name: &str) -> anyhow::Result<()> {
    drop_database(server, name).await?;
    end_idle_sessions(server, from).await?;
    create_database(server, name, Some(from), &server.mark(Purpose::Duel, from)).await?;
    Ok(())
}

/// Drops the databases under test that are meant, by name.
pub async fn drop_duels(server: &Server, is_meant: impl Fn(&str) -> bool) -> anyhow::Result<()> {
    for database in list_pgduel_databases(server).await? {
        if database.mark.purpose == Purpose::Duel && is_meant(&database.name) {
            drop_database(server, &database.name).await?;
        }
    }
    Ok(())
}

/// Whether a database is this one, or one of the copies that are made of it: to be written to, and for counting function calls.
pub fn is_copy_of(name: &str, database: &str) -> bool {
    matches!(name.strip_prefix(database), Some("" | "_w" | "_c" | "_w_c"))
}

/// Drops what runs left behind that were killed. What cannot be dropped ends no other run.
pub async fn tidy_up(server: &Server, progress: &dyn Progress) {
    match drop_orphans(server).await {
        Ok(dropped) => dropped.iter().for_each(|one| progress.event(&Event::OrphanDropped { database: &one.name })),
        Err(error) => progress.event(&Event::OrphansKept { error: &error.to_string() }),
    }
}

/// Switches autovacuum on or off where the server is ours alone. Elsewhere it stays as it is, and what it does is seen in the counters.
pub async fn set_autovacuum(server: &Server, on: bool) -> anyhow::Result<()> {
    if let Server::External(_) = server {
        return Ok(());
    }
    let mut connection = server.connect_admin().await?;
    let sql = if on { "alter system reset autovacuum" } else { "alter system set autovacuum = off" };
    sqlx::raw_sql(sql).execute(&mut connection).await?;
    sqlx::raw_sql("select pg_reload_conf()").execute(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// What PostgreSQL said of a file's SQL or of an arm's setting, if that is what the error is about, and not the server itself.
pub fn rejection(error: &anyhow::Error) -> Option<String> {
    if let Some(refused) = error.downcast_ref::<RefusedSetting>() {
        return Some(refused.to_string());
    }
    match error.downcast_ref::<ApplyError>() {
        Some(ApplyError::Sql(rejected)) if !rejected.sqlstate.as_deref().is_some_and(is_servers_fault) => {
            let help = rejected.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
            Some(format!("{rejected}{help}"))
        }
        Some(shared @ ApplyError::Shared(_)) => Some(shared.to_string()),
        _ => None,
    }
}

/// Whether tables and indexes of this many bytes fit in shared buffers: 1.2 times that does.
pub async fn is_resident(server: &Server, bytes: u64) -> anyhow::Result<bool> {
    let mut connection = server.connect_admin().await?;
    let sql = "select (setting::bigint * 8192) from pg_settings where name = 'shared_buffers'";
    let buffers: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
    Ok(bytes as f64 * 1.2 <= buffers as f64)
}

/// Reads a database into shared buffers.
pub async fn warm(server: &Server, name: &str) -> anyhow::Result<()> {
    let mut connection = server.connect(name).await?;
    prewarm(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Where each table's rows lie, and how many columns it has: what a rewrite or a new column changes without touching a counter.
type Shapes = BTreeMap<(String, String), (i64, i16)>;

async fn shapes(connection: &mut PgConnection) -> anyhow::Result<Shapes> {
    let rows: Vec<(String, String, i64, i16)> = sqlx::query_as(
        "select n.nspname::text, c.relname::text, pg_relation_filenode(c.oid)::bigint, c.relnatts
           from pg_class as c
           join pg_namespace as n on n.oid = c.relnamespace
          where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema') and pg_relation_filenode(c.oid) is not null",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().map(|(schema, table, filenode, columns)| ((schema, table), (filenode, columns))).collect())
}

async fn refresh_touched(connection: &mut PgConnection, as_seeded: &Shapes) -> anyhow::Result<()> {
    sqlx::raw_sql("select pg_stat_force_next_flush()").execute(&mut *connection).await?;
    // Rows changed since the template was frozen, or an expression that has no statistics yet and may have some.
    let touched: Vec<(String, String)> = sqlx::query_as(
        "select schemaname::text, relname::text
           from pg_stat_user_tables as t
          where n_tup_ins + n_tup_upd + n_tup_del > 0
             or exists (select from pg_index as i
                          join pg_attribute as a on a.attrelid = i.indexrelid and coalesce(a.attstattarget, -1) <> 0
                         where i.indrelid = t.relid and i.indexprs is not null
                           and not exists (select from pg_statistic as s where s.starelid = i.indexrelid))
          order by 1, 2",
    )
    .fetch_all(&mut *connection)
    .await?;
    let now = shapes(connection).await?;
    let reshaped = now.iter().filter(|(table, shape)| as_seeded.get(*table) != Some(shape)).map(|(table, _)| table.clone());
    let touched: BTreeSet<(String, String)> = touched.into_iter().chain(reshaped).collect();
    for (schema, table) in touched {
        let sql = format!("vacuum (freeze, analyze) {}.{}", quote_ident(&schema), quote_ident(&table));
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await?;
    }
    Ok(())
}

async fn sizes(connection: &mut PgConnection) -> anyhow::Result<(u64, u64)> {
    let (tables, indexes): (i64, i64) = sqlx::query_as(
        "select coalesce(sum(pg_table_size(relid)), 0)::bigint, coalesce(sum(pg_indexes_size(relid)), 0)::bigint from pg_stat_user_tables",
    )
    .fetch_one(connection)
    .await?;
    Ok((u64::try_from(tables).unwrap_or(0), u64::try_from(indexes).unwrap_or(0)))
}

/// A path as a reader of the report knows it: from `seeds/` on.
fn shown(file: &Path) -> String {
    let parts: Vec<_> = file.components().collect();
    let from = parts.iter().rposition(|part| part.as_os_str() == "seeds").unwrap_or(0);
    parts[from..].iter().collect::<PathBuf>().display().to_string()
}

/// Letters, digits and underscores only, at most 20 of them. A longer name keeps its beginning and gets a digest, so that two names never
/// become one.
pub fn sql_name(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
    if plain.len() <= 20 && plain == name {
        return plain;
    }
    let digest = Sha256::digest(name.as_bytes());
    let start: String = plain.chars().take(11).collect();
    format!("{start}_{}", digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// How the names of one process's databases begin. Processes in containers share their ids, so there is chance in it.
pub fn run_prefix(kind: char) -> String {
    format!("pgduel_{kind}_{}_{:04x}", std::process::id(), rand::random::<u16>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_is_told_from_another_database() {
        let copies = ["d_after_1_0", "d_after_1_0_w", "d_after_1_0_c", "d_after_1_0_w_c"];
        assert!(copies.iter().all(|name| is_copy_of(name, "d_after_1_0")));
        assert!(!["d_after_1_0_0", "d_after_1_0_0_w", "d_after_1", "d_after_1_01"].iter().any(|name| is_copy_of(name, "d_after_1_0")));
    }

    #[test]
    fn names_of_databases_never_become_one_and_fit() {
        let names = ["add-index-on-messages-a", "add-index-on-messages-b", "a-b", "a_b", "A_b", &"x".repeat(40)];
        let made: BTreeSet<String> = names.iter().map(|name| sql_name(name)).collect();
        assert_eq!(made.len(), names.len(), "{made:?}");
        for name in made {
            let longest = format!("pgduel_d_{}_ffff_{name}_before_2_w", u32::MAX);
            assert!(longest.len() < 64 && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{longest}");
        }
    }
}
