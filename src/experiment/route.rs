//! The way to an arm: its database, its program, and how to get there.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::rejection::is_servers_fault;
use crate::load::identity::SEARCH_PATH;
use crate::load::network::RttProxy;
use crate::load::program::Program;
use crate::load::session::{Session, SessionError, query_text};
use crate::load::wire::{ConnectTarget, Connection, Host, Password, SslMode};
use crate::scenario::{Address, ArmSpec, Identity, Plans, Scenario};
use crate::suite::Suite;
use crate::target::{ConnInfo, Endpoint, HostKind, Login, Server, TargetError, end_idle_sessions, make_roles, quote_ident};

/// An arm, ready to be loaded.
pub struct Route {
    /// The database that is loaded.
    pub database: String,
    /// What runs there.
    pub program: Arc<Program>,
    /// The arm's name.
    arm: String,
    /// Settings of its connections beside those that all have.
    settings: Vec<(String, String)>,
    /// Past any pooler: for checks and evidence.
    pub direct: ConnectTarget,
    /// Through the arm's pooler, if it has one.
    pooled: Option<ConnectTarget>,
    /// Route with the injected round-trip time, if any.
    proxy: Option<RttProxy>,
}

impl Route {
    /// Prepares the route of an arm to `database`, whose place and login are `info`.
    pub fn new(info: &ConnInfo, program: Arc<Program>, arm: &ArmSpec, rtt: Duration) -> std::io::Result<Route> {
        let mut direct = connect_target(info);
        direct.settings = session_settings(program.plans, &arm.settings);
        let pooled = arm.route.as_ref().map(|route| connect_target(&through(info, route)));
        let proxy = if rtt.is_zero() { None } else { Some(RttProxy::start(pooled.as_ref().unwrap_or(&direct), rtt)?) };
        let (name, settings) = (arm.name.clone(), arm.settings.clone());
        Ok(Route { database: info.database.clone(), program, arm: name, settings, direct, pooled, proxy })
    }

    /// The route that is timed.
    pub fn target(&self) -> ConnectTarget {
        let target = self.pooled.as_ref().unwrap_or(&self.direct);
        match &self.proxy {
            Some(proxy) => proxy.route(target),
            None => target.clone(),
        }
    }

    /// Makes the settings of the arm's connections those of its database: a pooler does not pass on what a connection asks for when it begins.
    /// Connections that the pooler holds open began with other settings, and are ended. Does nothing for an arm without a pooler. A setting that
    /// the server refuses is a [`RefusedSetting`].
    pub async fn declare(&self, server: &Server) -> anyhow::Result<()> {
        if self.pooled.is_none() {
            return Ok(());
        }
        let mut admin = server.connect_admin().await?;
        for (name, value) in &self.direct.settings {
            // What the session has is written as PostgreSQL reads it, lists of names too.
            let set = sqlx::query("select set_config($1, $2, false)").bind(name).bind(value).execute(&mut admin).await;
            set.map_err(|error| self.refused(name, error))?;
            let name: Vec<String> = name.split('.').map(quote_ident).collect();
            let sql = format!("alter database {} set {} from current", quote_ident(&self.database), name.join("."));
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut admin).await?;
        }
        let _ = sqlx::Connection::close(admin).await;
        end_idle_sessions(server, &self.database).await?;
        Ok(())
    }

    fn refused(&self, setting: &str, error: sqlx::Error) -> anyhow::Error {
        let said = error.as_database_error().map(|said| (said.code().unwrap_or_default().into_owned(), said.message().to_owned()));
        match said {
            Some((sqlstate, message)) if !is_servers_fault(&sqlstate) => {
                RefusedSetting { arm: self.arm.clone(), setting: setting.to_owned(), sqlstate, message }.into()
            }
            _ => error.into(),
        }
    }

    /// A session on the direct route, for checks and evidence.
    pub async fn session(&self, now: i64) -> Result<Session, SessionError> {
        Session::open(&self.direct, self.program.clone(), now).await
    }

    /// A session on the route that is timed.
    pub async fn loaded_session(&self, now: i64) -> Result<Session, SessionError> {
        Session::open(&self.target(), self.program.clone(), now).await
    }

    /// A session that runs another program, such as the exact form of searches.
    pub async fn session_with(&self, program: Program, now: i64) -> Result<Session, SessionError> {
        Session::open(&self.direct, Arc::new(program), now).await
    }

    /// From now on statements are planned for their values each time.
    pub fn pin_custom_plans(&mut self) {
        self.direct.settings = session_settings(Plans::Custom, &self.settings);
    }
}

/// A setting of an arm that the server refuses.
#[derive(Debug, thiserror::Error)]
#[error("{arm}, set {setting}: {message} ({sqlstate})")]
pub struct RefusedSetting {
    arm: String,
    setting: String,
    sqlstate: String,
    message: String,
}

/// The same database by another way.
fn through(info: &ConnInfo, route: &Address) -> ConnInfo {
    let endpoint = match route.host.starts_with('/') {
        true => Endpoint::Socket { directory: PathBuf::from(&route.host), port: route.port },
        false => Endpoint::Tcp { host: route.host.clone(), port: route.port },
    };
    ConnInfo { endpoint, ..info.clone() }
}

/// Whether the route of an arm leads to the server that the others are on, asked of both by the number that no other server has.
async fn leads_to(server: &Server, login: Login<'_>, route: &Address) -> anyhow::Result<()> {
    const WHO: &str = "select system_identifier, session_user from pg_control_system()";
    let unsuited = |why: String| TargetError::Unsuited(format!("route {route}: {why}"));
    if let Server::Embedded(_) = server {
        let why = "leads past pgduel's own server, which listens where no pooler knows; name a server with --database-url or DATABASE_URL";
        return Err(unsuited(why.to_owned()).into());
    }
    let direct = server.conn_info_as(login, server.admin_database());
    let pooled = through(&direct, route);
    if pooled.endpoint.host_kind() == HostKind::Remote && direct.endpoint.host_kind() == HostKind::Loopback {
        return Err(unsuited("leads to another machine, and the server is on this one".to_owned()).into());
    }
    let mut found = Vec::new();
    for info in [&direct, &pooled] {
        let connected = Connection::connect(&connect_target(info)).await;
        let who = format!("as {} to database {}", info.user, info.database);
        let mut connection = connected.map_err(|error| unsuited(format!("no connection {who}: {error}")))?;
        found.push(query_text(&mut connection, WHO).await.map_err(|error| unsuited(error.to_string()))?);
        connection.close().await;
    }
    let user = &direct.user;
    let found: Vec<Vec<Option<String>>> = found.into_iter().flatten().collect();
    match found.as_slice() {
        [direct, pooled] if direct == pooled => Ok(()),
        [direct, pooled] if direct.first() == pooled.first() => {
            let who = pooled.get(1).cloned().flatten().unwrap_or_default();
            Err(unsuited(format!("logs in as {who}, not as {user}: its rights would be others than those of arms without a route")).into())
        }
        _ => Err(unsuited("leads to another server".to_owned()).into()),
    }
}

/// Connections beside those that carry load: an observer, what checks hold open, and what a person has open to look on.
const OTHER_CONNECTIONS: u32 = 5;

/// As whom the sessions of a scenario log in.
pub fn login<'a>(suite: &'a Suite, scenario: &Scenario) -> Login<'a> {
    let of_nobody = scenario.transactions.iter().any(|transaction| transaction.identity == Identity::None);
    match suite.login.as_deref().filter(|_| of_nobody) {
        Some(name) => Login::Application(name),
        None => Login::Requests,
    }
}

/// Makes the roles of the run. Whether connections that carry load get through, and as many of them as the scenarios want, before minutes are spent on
/// data: they have no password file yet.
pub async fn reachable(server: &Server, suite: &Suite, scenarios: &[Scenario]) -> anyhow::Result<()> {
    let mut admin = server.connect_admin().await?;
    let sql = "select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
                      - coalesce(current_setting('reserved_connections', true)::int, 0),
                      (select rolsuper from pg_roles where rolname = current_user), current_user::text";
    let (allowed, superuser, user): (i32, bool, String) = sqlx::query_as(sql).fetch_one(&mut admin).await?;
    let _ = sqlx::Connection::close(admin).await;
    if !superuser {
        let why = "is no superuser of the server, which pgduel must be there: it creates databases, extensions and roles, and reads the server's counters";
        return Err(TargetError::Unsuited(format!("{user} {why}")).into());
    }
    for scenario in scenarios {
        // Checks and evidence hold two an arm.
        let wanted = scenario.sessions().max(2 * scenario.arms.count() as u32) + OTHER_CONNECTIONS;
        if i64::from(wanted) > i64::from(allowed) {
            let why = format!(
                "({OTHER_CONNECTIONS} of them to look on), and the server allows {allowed} (max_connections, without those reserved)"
            );
            return Err(TargetError::Unsuited(format!("{} needs {wanted} connections {why}", scenario.path())).into());
        }
    }
    make_roles(server, suite.login.as_deref()).await?;
    let mut tried = BTreeSet::new();
    for scenario in scenarios {
        let login = login(suite, scenario);
        if tried.insert((login.role(server.kind()), None)) {
            let target = connect_target(&server.conn_info_as(login, server.admin_database()));
            Connection::connect(&target).await.context("connections that carry load do not get through to the server")?;
        }
        for route in scenario.arms.values().filter_map(|arm| arm.route.as_ref()) {
            if tried.insert((login.role(server.kind()), Some(route))) {
                leads_to(server, login, route).await?;
            }
        }
    }
    Ok(())
}

/// Statements are prepared before any request sets its search path, and must find the extensions' operators by then.
fn session_settings(plans: Plans, own: &[(String, String)]) -> Vec<(String, String)> {
    let mode = match plans {
        Plans::Auto => "auto",
        Plans::Custom => "force_custom_plan",
        Plans::Generic => "force_generic_plan",
    };
    let all = [("search_path".to_owned(), SEARCH_PATH.to_owned()), ("plan_cache_mode".to_owned(), mode.to_owned())];
    all.into_iter().chain(own.iter().cloned()).collect()
}

/// The same place in the hot path's words.
pub fn connect_target(info: &ConnInfo) -> ConnectTarget {
    let (host, port) = match &info.endpoint {
        Endpoint::Socket { directory, port } => (Host::Unix(directory.clone()), *port),
        Endpoint::Tcp { host, port } => (Host::Tcp(host.clone()), *port),
    };
    use sqlx::postgres::PgSslMode;
    let ssl_mode = match info.ssl_mode {
        PgSslMode::Disable => SslMode::Disable,
        PgSslMode::Allow => SslMode::Allow,
        PgSslMode::Prefer => SslMode::Prefer,
        PgSslMode::Require => SslMode::Require,
        PgSslMode::VerifyCa => SslMode::VerifyCa,
        PgSslMode::VerifyFull => SslMode::VerifyFull,
    };
    ConnectTarget {
        host,
        port,
        user: info.user.clone(),
        password: info.password.as_ref().map(|password| Password::new(password.expose())),
        database: info.database.clone(),
        application_name: "pgduel load".to_owned(),
        settings: Vec::new(),
        ssl_mode,
        certificate_name: None,
        authorities: match info.authorities.as_deref() {
            Some(name) => ConnectTarget::authorities_in(name),
            None => ConnectTarget::usual_authorities(),
        },
    }
}
