//! What `pg_stat_statements` has counted of a database's statements, by query identifier.

use std::collections::BTreeMap;

use anyhow::Context;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use crate::record::StatementStatistics;

/// Counters by query identifier, summed over the roles that ran it.
pub type StatementSnapshot = BTreeMap<i64, StatementStatistics>;

/// A connection on which the server's counters of one database's statements can be read.
pub struct StatementObserver {
    connection: PgConnection,
    /// Where the extension is, as an identifier.
    schema: String,
    database: String,
}

impl StatementObserver {
    /// Reads `database`'s counters on a connection to any database that has the extension: they are the whole server's. `None` if this one
    /// does not have it, or the server has not loaded its library.
    pub async fn on(mut connection: PgConnection, database: &str) -> anyhow::Result<Option<StatementObserver>> {
        let schema: Option<String> = sqlx::query_scalar(
            "select quote_ident(nspname)
               from pg_extension join pg_namespace on pg_namespace.oid = extnamespace
              where extname = 'pg_stat_statements'
                and current_setting('shared_preload_libraries') like '%pg_stat_statements%'",
        )
        .fetch_optional(&mut connection)
        .await
        .context("cannot ask for pg_stat_statements")?;
        let database = database.to_owned();
        Ok(schema.map(|schema| StatementObserver { connection, schema, database }))
    }

    /// The counters of all statements of the database.
    pub async fn snapshot(&mut self) -> anyhow::Result<StatementSnapshot> {
        let sql = format!(
            "select queryid,
                    sum(calls)::bigint as calls,
                    sum(rows)::bigint as rows,
                    (sum(total_exec_time) * 1e6)::bigint as execution_ns,
                    sum(shared_blks_hit)::bigint as blocks_hit,
                    sum(shared_blks_read)::bigint as blocks_read,
                    sum(temp_blks_written)::bigint as temp_blocks,
                    sum(wal_bytes)::bigint as wal_bytes
               from {}.pg_stat_statements
              where dbid = (select oid from pg_database where datname = $1)
                and queryid is not null
              group by queryid",
            self.schema
        );
        let query = sqlx::query(AssertSqlSafe(sql)).bind(&self.database);
        let rows = query.fetch_all(&mut self.connection).await.context("cannot read pg_stat_statements")?;
        let mut found = StatementSnapshot::new();
        for row in rows {
            let count = |name: &str| row.try_get::<i64, _>(name).map(|number| u64::try_from(number).unwrap_or(0));
            let statistics = StatementStatistics {
                transactions: 0,
                calls: count("calls")?,
                rows: count("rows")?,
                execution_ns: count("execution_ns")?,
                blocks_hit: count("blocks_hit")?,
                blocks_read: count("blocks_read")?,
                temp_blocks: count("temp_blocks")?,
                wal_bytes: count("wal_bytes")?,
                processor_ns: None,
            };
            found.insert(row.try_get("queryid")?, statistics);
        }
        Ok(found)
    }
}

impl StatementStatistics {
    /// What was counted between `self` and the later `end`, over `transactions` of the scenario. `None` if the server counted no call:
    /// it forgets the statements that it saw least when there are too many.
    pub fn until(&self, end: &StatementStatistics, transactions: u64) -> Option<StatementStatistics> {
        let grown = StatementStatistics {
            transactions,
            calls: end.calls.checked_sub(self.calls)?,
            rows: end.rows.checked_sub(self.rows)?,
            execution_ns: end.execution_ns.saturating_sub(self.execution_ns),
            blocks_hit: end.blocks_hit.saturating_sub(self.blocks_hit),
            blocks_read: end.blocks_read.saturating_sub(self.blocks_read),
            temp_blocks: end.temp_blocks.saturating_sub(self.temp_blocks),
            wal_bytes: end.wal_bytes.saturating_sub(self.wal_bytes),
            processor_ns: None,
        };
        (grown.calls > 0).then_some(grown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(calls: u64, rows: u64) -> StatementStatistics {
        StatementStatistics { calls, rows, execution_ns: calls * 1_000, blocks_hit: calls * 3, ..StatementStatistics::default() }
    }

    #[test]
    fn only_what_was_counted_in_between_is_given() {
        let grown = counted(10, 200).until(&counted(14, 280), 4).unwrap();
        assert_eq!(grown, StatementStatistics { transactions: 4, ..counted(4, 80) });
    }

    #[test]
    fn a_statement_that_the_server_forgot_gives_nothing() {
        assert_eq!(counted(10, 200).until(&counted(10, 200), 4), None);
        assert_eq!(counted(10, 200).until(&counted(3, 60), 4), None);
    }
}
