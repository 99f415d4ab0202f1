//! Which runs go on. A run holds an advisory lock in a session of its own, and the marks of its databases name that lock. The server releases it
//! when the session ends, in whatever way, so a marked database whose lock is free is an orphan.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use super::connection::{ConnInfo, connect};
use super::database::{PgduelDatabase, Purpose, database_exists, drop_marked, list_pgduel_databases};
use super::error::TargetError;
use super::server::{Server, close};

/// How often a run looks whether it still has its lock, and how long it waits for the answer.
const LOOK_EVERY: Duration = Duration::from_secs(20);
const LOOK_LIMIT: Duration = Duration::from_secs(10);
/// How long it waits before it tries again to take one that it lost.
const TRY_AGAIN: Duration = Duration::from_secs(1);

/// Where the lock of a run is: advisory locks belong to one database.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RunName {
    /// The database.
    pub database: String,
    /// The lock's number there.
    pub key: i64,
}

/// Held while a run goes on; taken again if the server restarts or ends its session.
#[derive(Debug)]
pub struct RunLock {
    keeper: tokio::task::JoinHandle<()>,
    name: RunName,
}

impl RunLock {
    /// Takes a new lock.
    pub async fn take(server: &Server) -> Result<RunLock, TargetError> {
        let name = RunName { database: server.admin_database().to_owned(), key: rand::random() };
        let (options, place, key) = (server.connect_options(&name.database), server.conn_info(&name.database), name.key);
        let held = hold(&options, &place, key).await?;
        Ok(RunLock { keeper: tokio::spawn(keep(held, options, place, key)), name })
    }

    /// Its name, for marks.
    pub fn name(&self) -> &RunName {
        &self.name
    }

    /// The run is over.
    pub async fn release(mut self) {
        self.keeper.abort();
        let _ = (&mut self.keeper).await;
    }
}

impl Drop for RunLock {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn hold(options: &PgConnectOptions, place: &ConnInfo, key: i64) -> Result<PgConnection, TargetError> {
    let mut connection = connect(options, place).await?;
    // Its session does nothing for long, which some servers end after a while.
    let patient = "select set_config(name, '0', false) from pg_settings where name = 'idle_session_timeout'";
    sqlx::query(patient).execute(&mut connection).await.map_err(TargetError::sql("take the lock of this run"))?;
    let lock = sqlx::query("select pg_advisory_lock($1)").bind(key);
    lock.execute(&mut connection).await.map_err(TargetError::sql("take the lock of this run"))?;
    Ok(connection)
}

async fn keep(mut held: PgConnection, options: PgConnectOptions, place: ConnInfo, key: i64) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        while !matches!(tokio::time::timeout(LOOK_LIMIT, held.ping()).await, Ok(Ok(()))) {
            match hold(&options, &place, key).await {
                Ok(again) => held = again,
                Err(_) => tokio::time::sleep(TRY_AGAIN).await,
            }
        }
    }
}

/// Whether the run that holds this lock is over. A lock that cannot be asked for counts as held, unless its database is gone.
pub async fn is_over(server: &Server, run: &RunName) -> bool {
    let Ok(mut admin) = server.connect_admin().await else { return false };
    let there = database_exists(&mut admin, &run.database).await;
    close(admin).await;
    if matches!(there, Ok(false)) {
        return true;
    }
    let Ok(mut connection) = server.connect(&run.database).await else { return false };
    // Shared, so that others who ask are not in the way; and gone with the statement.
    let ask = sqlx::query_scalar("select pg_try_advisory_xact_lock_shared($1)").bind(run.key);
    let free = ask.fetch_one(&mut connection).await;
    close(connection).await;
    free.unwrap_or(false)
}

/// Drops what runs left behind that ended before they could tidy up, and says what it was. Templates stay. One that cannot be dropped is left to
/// the next try.
pub async fn drop_orphans(server: &Server) -> Result<Vec<PgduelDatabase>, TargetError> {
    let mut known: Vec<(RunName, bool)> = Vec::new();
    let mut dropped = Vec::new();
    for database in list_pgduel_databases(server).await? {
        let orphaned = match (&database.mark.run, database.mark.purpose) {
            (_, Purpose::Template) => false,
            (Some(run), _) => match known.iter().find(|(other, _)| other == run) {
                Some((_, over)) => *over,
                None => {
                    let over = is_over(server, run).await;
                    known.push((run.clone(), over));
                    over
                }
            },
            // Of a pgduel that named no lock: an embedded server serves one run at a time.
            (None, purpose) => purpose == Purpose::Duel && matches!(server, Server::Embedded(_)),
        };
        if orphaned && drop_marked(server, &database.name, &database.mark).await.unwrap_or(false) {
            dropped.push(database);
        }
    }
    Ok(dropped)
}
