//! Which runs go on. A run holds an advisory lock in a session of its own, and the marks of its databases name that lock. The server releases it
//! when the session ends, in whatever way, so a marked database whose lock is free is an orphan.

use serde::{Deserialize, Serialize};
use sqlx::{Connection, PgConnection};

use super::database::{PgduelDatabase, Purpose, drop_database, list_pgduel_databases};
use super::error::TargetError;
use super::server::Server;

/// Where the lock of a run is: advisory locks belong to one database.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RunName {
    /// The database.
    pub database: String,
    /// The lock's number there.
    pub key: i64,
}

/// Held while a run goes on.
#[derive(Debug)]
pub struct RunLock {
    connection: PgConnection,
    name: RunName,
}

impl RunLock {
    /// Takes a new lock.
    pub async fn take(server: &Server) -> Result<RunLock, TargetError> {
        let doing = "take the lock of this run";
        let name = RunName { database: server.admin_database().to_owned(), key: rand::random() };
        let mut connection = server.connect_admin().await?;
        // Its session does nothing from now on, which some servers end after a while.
        sqlx::raw_sql("set idle_session_timeout = 0").execute(&mut connection).await.map_err(TargetError::sql(doing))?;
        sqlx::query("select pg_advisory_lock($1)").bind(name.key).execute(&mut connection).await.map_err(TargetError::sql(doing))?;
        Ok(RunLock { connection, name })
    }

    /// Its name, for marks.
    pub fn name(&self) -> &RunName {
        &self.name
    }

    /// The run is over.
    pub async fn release(self) {
        // A connection that is gone has released it.
        let _ = self.connection.close().await;
    }
}

/// Whether the run that holds this lock is over. A lock that cannot be asked for counts as held.
pub async fn is_over(server: &Server, run: &RunName) -> bool {
    let Ok(mut connection) = server.connect(&run.database).await else { return false };
    // Taken or not, it goes with the session.
    let free = sqlx::query_scalar("select pg_try_advisory_lock($1)").bind(run.key).fetch_one(&mut connection).await;
    let _ = connection.close().await;
    free.unwrap_or(false)
}

/// Drops what runs left behind that ended before they could tidy up, and says what it was. Templates stay.
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
        if orphaned {
            drop_database(server, &database.name).await?;
            dropped.push(database);
        }
    }
    Ok(dropped)
}
