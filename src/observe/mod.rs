//! What the server counts: snapshots of its statistics around a block.
//!
//! Takes a connection to the database under load (never one that carries load), returns counters. Statistics reach shared memory with a
//! delay of up to a second, so sessions under load flush theirs before a snapshot is taken.

mod statements;

use anyhow::Context;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

use crate::record::ServerDelta;

pub use statements::{StatementObserver, StatementSnapshot};

/// Counters of the server at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Snapshot {
    hit: i64,
    read: i64,
    temp: i64,
    commits: i64,
    rollbacks: i64,
    deadlocks: i64,
    wal: i64,
    checkpoints: i64,
    autovacuums: i64,
}

/// Reads the counters of the connection's database.
pub async fn snapshot(connection: &mut PgConnection) -> anyhow::Result<Snapshot> {
    let version: i32 = sqlx::query_scalar("select current_setting('server_version_num')::int").fetch_one(&mut *connection).await?;
    // The checkpointer's counters moved to a view of their own in PostgreSQL 17.
    let checkpoints = match version {
        170_000.. => "(select num_timed + num_requested from pg_stat_checkpointer)",
        _ => "(select checkpoints_timed + checkpoints_req from pg_stat_bgwriter)",
    };
    let sql = format!(
        "select blks_hit, blks_read, temp_bytes, xact_commit, xact_rollback, deadlocks,
                pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint as wal,
                {checkpoints}::bigint as checkpoints,
                (select coalesce(sum(autovacuum_count + autoanalyze_count), 0) from pg_stat_user_tables)::bigint as autovacuums
           from pg_stat_database
          where datname = current_database()"
    );
    let row = sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await.context("cannot read the server's statistics")?;
    Ok(Snapshot {
        hit: row.try_get("blks_hit")?,
        read: row.try_get("blks_read")?,
        temp: row.try_get("temp_bytes")?,
        commits: row.try_get("xact_commit")?,
        rollbacks: row.try_get("xact_rollback")?,
        deadlocks: row.try_get("deadlocks")?,
        wal: row.try_get("wal")?,
        checkpoints: row.try_get("checkpoints")?,
        autovacuums: row.try_get("autovacuums")?,
    })
}

impl Snapshot {
    /// What happened between `self` and the later `end`. A counter that was reset meanwhile gives 0.
    pub fn until(&self, end: &Snapshot) -> ServerDelta {
        let grown = |from: i64, to: i64| u64::try_from(to - from).unwrap_or(0);
        ServerDelta {
            blocks_hit: grown(self.hit, end.hit),
            blocks_read: grown(self.read, end.read),
            temp_bytes: grown(self.temp, end.temp),
            wal_bytes: grown(self.wal, end.wal),
            checkpoints: grown(self.checkpoints, end.checkpoints),
            autovacuums: grown(self.autovacuums, end.autovacuums),
            commits: grown(self.commits, end.commits),
            rollbacks: grown(self.rollbacks, end.rollbacks),
            deadlocks: grown(self.deadlocks, end.deadlocks),
            ..ServerDelta::default()
        }
    }
}
