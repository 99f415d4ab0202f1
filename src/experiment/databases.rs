//! The databases of a run: one seeded template a suite and size, kept between runs; two sides cloned from it, made anew each run.
//!
//! Both sides are clones of one template with their variant's SQL on top, so their logical data is the same by construction.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use sha2::{Digest, Sha256};
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection};

use super::Progress;
use crate::dataset::Dataset;
use crate::record::AppliedFile;
use crate::suite::{Suite, Variant};
use crate::target::{
    ApplyError, DatabaseMark, Purpose, Server, apply_sql_file, create_database, drop_database, list_pgduel_databases, prewarm, quote_ident,
    remark_database,
};

/// Raised when the same inputs would give another template.
const TEMPLATE_FORMAT: u32 = 1;
/// Connections that seed.
const SEED_CONNECTIONS: usize = 2;

/// SHA-256 over everything that decides a template: the model, the shared SQL, sizes, seed, and the server's versions.
pub async fn template_digest(suite: &Suite, dataset: &Dataset, sizing: &str, server: &Server) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    };
    add(&TEMPLATE_FORMAT.to_le_bytes());
    for file in std::iter::once(&suite.dataset_file).chain(&suite.tables).chain(&suite.indexes) {
        add(&std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?);
    }
    add(sizing.as_bytes());
    add(&dataset.seed().to_le_bytes());
    add(&server.version_num().await?.to_le_bytes());
    add(server.pgvector_version().await?.unwrap_or_default().as_bytes());
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
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
        progress.note(&format!("reusing the seeded template {name}"));
        return Ok(());
    }
    drop_database(server, name).await?;
    create_database(server, name, None, &DatabaseMark::new(Purpose::Scratch, digest)).await?;
    let mut connection = server.connect(name).await?;
    for file in &suite.tables {
        apply_sql_file(&mut connection, file).await?;
    }
    connection.close().await?;
    crate::seed::load(server.connect_options(name), dataset.clone(), SEED_CONNECTIONS, progress.bars()).await?;
    let mut connection = server.connect(name).await?;
    for file in &suite.indexes {
        progress.note(&format!("building the shared indexes ({})", file.display()));
        apply_sql_file(&mut connection, file).await?;
    }
    progress.note("vacuum (freeze, analyze)");
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

/// Clones `template` and applies the variant. Only tables that this touched are vacuumed and analysed anew: ANALYZE samples at random,
/// and statistics that differ for no reason would be a lottery between the sides.
pub async fn make_variant(server: &Server, template: &str, name: &str, variant: &Variant) -> anyhow::Result<VariantDatabase> {
    drop_database(server, name).await?;
    create_database(server, name, Some(template), &DatabaseMark::new(Purpose::Duel, &variant.name)).await?;
    let mut connection = server.connect(name).await?;
    let mut applied = Vec::new();
    for file in &variant.sql {
        let statements = apply_sql_file(&mut connection, file).await?;
        applied.push(AppliedFile {
            file: shown(file),
            statements: statements.len() as u32,
            duration_ns: statements.iter().map(|statement| statement.duration_ns).sum(),
        });
    }
    refresh_touched(&mut connection).await?;
    let (table_bytes, index_bytes) = sizes(&mut connection).await?;
    connection.close().await?;
    Ok(VariantDatabase { name: name.to_owned(), applied, table_bytes, index_bytes })
}

/// A plain copy of a side, for scenarios that write.
pub async fn clone_database(server: &Server, from: &str, name: &str) -> anyhow::Result<()> {
    drop_database(server, name).await?;
    create_database(server, name, Some(from), &DatabaseMark::new(Purpose::Duel, from)).await?;
    Ok(())
}

/// Drops the databases under test whose name begins with `prefix`.
pub async fn drop_duels(server: &Server, prefix: &str) -> anyhow::Result<()> {
    for database in list_pgduel_databases(server).await? {
        if database.mark.purpose == Purpose::Duel && database.name.starts_with(prefix) {
            drop_database(server, &database.name).await?;
        }
    }
    Ok(())
}

/// Drops what killed runs left behind. Only on an embedded server, which is one run's alone: elsewhere another run may be using them.
pub async fn drop_stale_duels(server: &Server) -> anyhow::Result<()> {
    match server {
        Server::Embedded(_) => drop_duels(server, "").await,
        Server::External(_) => Ok(()),
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

/// What PostgreSQL said of a file's SQL, if that is what the error is about.
pub fn rejection(error: &anyhow::Error) -> Option<String> {
    match error.downcast_ref::<ApplyError>() {
        Some(ApplyError::Sql(rejected)) => {
            let help = rejected.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
            Some(format!("{rejected}{help}"))
        }
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

async fn refresh_touched(connection: &mut PgConnection) -> anyhow::Result<()> {
    sqlx::raw_sql("select pg_stat_force_next_flush()").execute(&mut *connection).await?;
    // Rows changed since the template was frozen, or an expression that has no statistics yet.
    let touched: Vec<(String, String)> = sqlx::query_as(
        "select schemaname::text, relname::text
           from pg_stat_user_tables as t
          where n_tup_ins + n_tup_upd + n_tup_del > 0
             or exists (select from pg_index as i
                         where i.indrelid = t.relid and i.indexprs is not null
                           and not exists (select from pg_statistic as s where s.starelid = i.indexrelid))
          order by 1, 2",
    )
    .fetch_all(&mut *connection)
    .await?;
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

/// Letters, digits and underscores only, at most 20 of them.
pub fn sql_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).take(20).collect()
}
