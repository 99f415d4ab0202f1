//! The production guard: decides whether pgduel may write to a database.

use std::fmt;

use sqlx::PgConnection;

use super::connection::{APPLICATION_NAME, HostKind};
use super::database::{database_exists, database_mark};
use super::error::TargetError;
use super::server::{Server, close};

/// Which hosts may be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostPolicy {
    /// Only this machine.
    #[default]
    LoopbackOnly,
    /// Any (`--allow-host`).
    Any,
}

/// What somebody wants to write to, and what they said to allow it.
#[derive(Debug, Clone, Copy, Default)]
pub struct WriteRequest<'a> {
    /// The database.
    pub database: &'a str,
    /// The database's name as a person typed it out to say that they mean it.
    pub typed_out_name: Option<&'a str>,
    /// Which hosts are allowed.
    pub hosts: HostPolicy,
    /// The tables that would be created, `schema.table`; in a database without pgduel's mark none may exist already.
    pub tables: &'a [&'a str],
}

/// One reason not to write to a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It has no mark of pgduel's, and nobody typed out its name.
    NotCreatedByPgduel,
    /// A name was typed out, but another one.
    OtherNameTyped(String),
    /// No such database.
    Missing,
    /// The server is not on this machine.
    RemoteHost,
    /// Others are connected: how many, and one of their application names.
    ForeignSessions(i64, String),
    /// The server is a standby.
    Replica,
    /// The database publishes its changes.
    Publication(String),
    /// The database receives changes.
    Subscription(String),
    /// A table that pgduel did not create is in the way.
    ForeignTable(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotCreatedByPgduel => f.write_str(
                "pgduel did not create it (it has no mark of pgduel's). Rename or drop it, so that pgduel can make one of its own",
            ),
            Self::OtherNameTyped(name) => write!(f, "the name typed out is \"{name}\", not this one"),
            Self::Missing => f.write_str("there is no such database"),
            Self::RemoteHost => f.write_str("its server is not on this machine; --allow-host allows that"),
            Self::ForeignSessions(count, application) => {
                let plural = if *count == 1 { "session" } else { "sessions" };
                write!(f, "{count} other {plural} connected to it (\"{application}\"); end them first")
            }
            Self::Replica => f.write_str("its server is a standby (pg_is_in_recovery)"),
            Self::Publication(name) => write!(f, "it publishes its changes (publication \"{name}\")"),
            Self::Subscription(name) => write!(f, "it receives changes (subscription \"{name}\")"),
            Self::ForeignTable(name) => write!(f, "table {name} is there already and not pgduel's"),
        }
    }
}

/// Every reason not to write to a database, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusals(pub Vec<Refusal>);

impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, refusal) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{refusal}")?;
        }
        Ok(())
    }
}

/// Ok if pgduel may write to the database; else [`TargetError::Refused`] with every reason, not only the first.
pub async fn guard_writable(server: &Server, request: &WriteRequest<'_>) -> Result<(), TargetError> {
    let mut refusals = Vec::new();
    if server.host_kind() == HostKind::Remote && request.hosts == HostPolicy::LoopbackOnly {
        // Not even a connection is opened to a host that was not allowed.
        return Err(refused(request, vec![Refusal::RemoteHost]));
    }
    let mut admin = server.connect_admin().await?;
    if !database_exists(&mut admin, request.database).await? {
        return Err(refused(request, vec![Refusal::Missing]));
    }
    let marked = database_mark(&mut admin, request.database).await?.is_some();
    close(admin).await;
    match request.typed_out_name {
        _ if marked => {}
        Some(name) if name == request.database => {}
        Some(name) => refusals.push(Refusal::OtherNameTyped(name.to_owned())),
        None => refusals.push(Refusal::NotCreatedByPgduel),
    }

    let mut connection = server.connect(request.database).await?;
    refusals.extend(server_refusals(&mut connection).await?);
    refusals.extend(replication_refusals(&mut connection, marked).await?);
    if !marked {
        refusals.extend(table_refusals(&mut connection, request.tables).await?);
    }
    close(connection).await;
    match refusals.is_empty() {
        true => Ok(()),
        false => Err(refused(request, refusals)),
    }
}

fn refused(request: &WriteRequest<'_>, refusals: Vec<Refusal>) -> TargetError {
    TargetError::Refused { database: request.database.to_owned(), refusals: Refusals(refusals) }
}

async fn server_refusals(connection: &mut PgConnection) -> Result<Vec<Refusal>, TargetError> {
    let mut refusals = Vec::new();
    let replica: bool = sqlx::query_scalar("select pg_is_in_recovery()")
        .fetch_one(&mut *connection)
        .await
        .map_err(TargetError::sql("ask whether the server is a standby"))?;
    if replica {
        refusals.push(Refusal::Replica);
    }
    // To a user without pg_read_all_stats other users' sessions show neither name nor type: they count as foreign.
    let (sessions, application): (i64, Option<String>) = sqlx::query_as(
        "select count(*), min(coalesce(nullif(application_name, ''), usename::text, 'unknown'))
           from pg_stat_activity
          where datname = current_database() and pid <> pg_backend_pid()
            and coalesce(backend_type, 'client backend') = 'client backend'
            and not starts_with(coalesce(application_name, ''), $1)",
    )
    .bind(APPLICATION_NAME)
    .fetch_one(connection)
    .await
    .map_err(TargetError::sql("look for other sessions"))?;
    if sessions > 0 {
        refusals.push(Refusal::ForeignSessions(sessions, application.unwrap_or_default()));
    }
    Ok(refusals)
}

/// What pgduel made may publish: nobody receives it.
async fn replication_refusals(connection: &mut PgConnection, marked: bool) -> Result<Vec<Refusal>, TargetError> {
    let publications: Vec<String> = sqlx::query_scalar("select pubname::text from pg_publication where not $1 order by 1")
        .bind(marked)
        .fetch_all(&mut *connection)
        .await
        .map_err(TargetError::sql("look for publications"))?;
    let subscriptions: Vec<String> = sqlx::query_scalar(
        "select subname::text from pg_subscription
          where subdbid = (select oid from pg_database where datname = current_database()) order by 1",
    )
    .fetch_all(connection)
    .await
    .map_err(TargetError::sql("look for subscriptions"))?;
    Ok(publications.into_iter().map(Refusal::Publication).chain(subscriptions.into_iter().map(Refusal::Subscription)).collect())
}

async fn table_refusals(connection: &mut PgConnection, tables: &[&str]) -> Result<Vec<Refusal>, TargetError> {
    let existing: Vec<String> =
        sqlx::query_scalar("select name from unnest($1::text[]) as name where to_regclass(name) is not null order by 1")
            .bind(tables)
            .fetch_all(connection)
            .await
            .map_err(TargetError::sql("look for tables of the same name"))?;
    Ok(existing.into_iter().map(Refusal::ForeignTable).collect())
}
