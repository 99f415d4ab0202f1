//! A server, whoever runs it: how to connect to it, and what it is.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection, PgConnection};

use super::connection::{ConnInfo, HostKind, connect};
use super::database::{DatabaseMark, Purpose};
use super::embedded::EmbeddedServer;
use super::error::TargetError;
use super::external::ExternalServer;
use super::login::{self, Login};
use super::run_lock::RunName;
use super::secret::Secret;

/// Settings that decide what a measurement means, recorded with every run beside those that pgduel set itself.
const DESCRIBED_SETTINGS: [&str; 27] = [
    "autovacuum",
    "checkpoint_timeout",
    "commit_delay",
    "data_checksums",
    "default_statistics_target",
    "effective_cache_size",
    "effective_io_concurrency",
    "fsync",
    "full_page_writes",
    "hash_mem_multiplier",
    "huge_pages",
    "jit",
    "maintenance_work_mem",
    "max_connections",
    "max_parallel_workers_per_gather",
    "max_wal_size",
    "plan_cache_mode",
    "random_page_cost",
    "server_encoding",
    "shared_buffers",
    "shared_preload_libraries",
    "synchronize_seqscans",
    "synchronous_commit",
    "track_functions",
    "track_io_timing",
    "wal_level",
    "work_mem",
];

/// The server under test.
#[derive(Debug)]
pub enum Server {
    /// pgduel's own.
    Embedded(Box<EmbeddedServer>),
    /// Somebody else's.
    External(Box<ExternalServer>),
}

/// Who runs the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServerKind {
    /// pgduel does.
    Embedded,
    /// Somebody else does.
    External,
}

/// What a server is, as far as it bears on a measurement. Holds no address and no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ServerDescription {
    /// `version()`, in full.
    pub version: String,
    /// `server_version_num`, say 170002.
    pub version_num: i32,
    /// The pgvector that databases get, `None` where there is none.
    pub pgvector_version: Option<String>,
    /// Who runs it.
    pub kind: ServerKind,
    /// Whether it is on this machine.
    pub host: HostKind,
    /// Settings as `SHOW` prints them, by name.
    pub settings: BTreeMap<String, String>,
}

impl From<EmbeddedServer> for Server {
    fn from(server: EmbeddedServer) -> Self {
        Self::Embedded(Box::new(server))
    }
}

impl From<ExternalServer> for Server {
    fn from(server: ExternalServer) -> Self {
        Self::External(Box::new(server))
    }
}

impl Server {
    /// Options for sqlx to connect to `database`.
    pub fn connect_options(&self, database: &str) -> PgConnectOptions {
        match self {
            Self::Embedded(server) => server.conn_info(database).connect_options(),
            Self::External(server) => server.connect_options(database),
        }
    }

    /// What any client needs to connect to `database`.
    pub fn conn_info(&self, database: &str) -> ConnInfo {
        match self {
            Self::Embedded(server) => server.conn_info(database),
            Self::External(server) => server.conn_info(database),
        }
    }

    /// One sqlx connection to `database` as the superuser, for everything that is not timed. It looks for names in `pg_catalog` alone: a suite's files may
    /// have put anything else elsewhere.
    pub async fn connect(&self, database: &str) -> Result<PgConnection, TargetError> {
        let options = self.connect_options(database).options([("search_path", "pg_catalog")]);
        connect(&options, &self.conn_info(database)).await
    }

    /// What any client needs to connect to `database` as `login`. Its role has to be made before: [`super::make_roles`].
    pub fn conn_info_as(&self, login: Login<'_>, database: &str) -> ConnInfo {
        let info = self.conn_info(database);
        match login.role(self.kind()) {
            Some(role) => ConnInfo { user: role.to_owned(), password: Some(self.login_password(role)), ..info },
            None => info,
        }
    }

    /// Options for sqlx to do so.
    pub fn connect_options_as(&self, login: Login<'_>, database: &str) -> PgConnectOptions {
        let options = self.connect_options(database);
        match login.role(self.kind()) {
            Some(role) => options.username(role).password(self.login_password(role).expose()),
            None => options,
        }
    }

    /// One sqlx connection to `database` as `login`.
    pub async fn connect_as(&self, login: Login<'_>, database: &str) -> Result<PgConnection, TargetError> {
        connect(&self.connect_options_as(login, database), &self.conn_info_as(login, database)).await
    }

    /// Has the key at hand from which the passwords of pgduel's roles are made.
    pub(super) fn prepare_login_key(&self) -> Result<(), TargetError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::External(server) => server.prepare_login_key(),
        }
    }

    /// The password of a role of pgduel's.
    pub(super) fn login_password(&self, role: &str) -> Secret {
        let key = match self {
            Self::Embedded(server) => server.password().clone(),
            Self::External(server) => server.login_key(),
        };
        login::password(&key, role)
    }

    /// A connection to a database that is only used to manage others: the one in the URL, else `postgres`.
    pub async fn connect_admin(&self) -> Result<PgConnection, TargetError> {
        self.connect_as(Login::Superuser, self.admin_database()).await
    }

    /// The database from which others are made.
    pub fn admin_database(&self) -> &str {
        match self {
            Self::Embedded(_) => "postgres",
            Self::External(server) => server.database().unwrap_or("postgres"),
        }
    }

    /// Who runs it.
    pub fn kind(&self) -> ServerKind {
        match self {
            Self::Embedded(_) => ServerKind::Embedded,
            Self::External(_) => ServerKind::External,
        }
    }

    /// Whether it is on this machine.
    pub fn host_kind(&self) -> HostKind {
        self.conn_info(self.admin_database()).endpoint.host_kind()
    }

    /// How many cores it has, where it is on this machine.
    pub fn cores(&self) -> Option<usize> {
        let cores = std::thread::available_parallelism().ok().map(usize::from);
        cores.filter(|_| self.host_kind() == HostKind::Loopback)
    }

    /// Has the databases that are made from now on be those of a run. The first one counts.
    pub fn belongs_to(&self, run: &RunName) {
        let _ = self.run().set(run.clone());
    }

    /// The mark of a database that goes with the run, if there is one.
    pub fn mark(&self, purpose: Purpose, key: impl Into<String>) -> DatabaseMark {
        DatabaseMark { run: self.run().get().cloned(), ..DatabaseMark::new(purpose, key) }
    }

    fn run(&self) -> &OnceLock<RunName> {
        match self {
            Self::Embedded(server) => server.run(),
            Self::External(server) => server.run(),
        }
    }

    /// What pgduel set on it, name and value; nothing on an external server.
    pub fn settings(&self) -> &[(String, String)] {
        match self {
            Self::Embedded(server) => server.settings(),
            Self::External(_) => &[],
        }
    }

    /// `server_version_num`, say 170002.
    pub async fn version_num(&self) -> Result<i32, TargetError> {
        let mut connection = self.connect_admin().await?;
        let version = version_num(&mut connection).await?;
        close(connection).await;
        Ok(version)
    }

    /// The version of pgvector that `CREATE EXTENSION vector` installs, if there is one.
    pub async fn pgvector_version(&self) -> Result<Option<String>, TargetError> {
        let mut connection = self.connect_admin().await?;
        let version = pgvector_version(&mut connection).await?;
        close(connection).await;
        Ok(version)
    }

    /// Everything about it that belongs in a run's record.
    pub async fn describe(&self) -> Result<ServerDescription, TargetError> {
        let mut connection = self.connect_admin().await?;
        let doing = "describe the server";
        let version = sqlx::query_scalar("select version()").fetch_one(&mut connection).await.map_err(TargetError::sql(doing))?;
        let names: Vec<&str> = DESCRIBED_SETTINGS.into_iter().chain(self.settings().iter().map(|(name, _)| name.as_str())).collect();
        let settings: Vec<(String, String)> =
            sqlx::query_as("select lower(name), current_setting(name) from pg_settings where lower(name) = any($1)")
                .bind(names)
                .fetch_all(&mut connection)
                .await
                .map_err(TargetError::sql(doing))?;
        let description = ServerDescription {
            version,
            version_num: version_num(&mut connection).await?,
            pgvector_version: pgvector_version(&mut connection).await?,
            kind: self.kind(),
            host: self.host_kind(),
            settings: settings.into_iter().collect(),
        };
        close(connection).await;
        Ok(description)
    }

    /// Ends the use of the server: an embedded one stops, unless it shall keep running.
    pub async fn finish(self) -> Result<(), TargetError> {
        match self {
            Self::Embedded(server) => server.finish().await,
            Self::External(_) => Ok(()),
        }
    }
}

pub(super) async fn version_num(connection: &mut PgConnection) -> Result<i32, TargetError> {
    sqlx::query_scalar("select current_setting('server_version_num')::int")
        .fetch_one(connection)
        .await
        .map_err(TargetError::sql("read the server's version"))
}

async fn pgvector_version(connection: &mut PgConnection) -> Result<Option<String>, TargetError> {
    sqlx::query_scalar("select default_version from pg_available_extensions where name = 'vector'")
        .fetch_optional(connection)
        .await
        .map_err(TargetError::sql("read pgvector's version"))
}

/// Says goodbye; a connection that is already gone needs none.
pub(super) async fn close(connection: PgConnection) {
    let _ = connection.close().await;
}
