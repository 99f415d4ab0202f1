//! How to reach one database, for any client.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::{ConnectOptions, PgConnection};

use super::error::TargetError;
use super::secret::Secret;

/// The start of every `application_name` that pgduel uses: how it tells its own sessions from others'.
pub const APPLICATION_NAME: &str = "pgduel";

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket: `directory/.s.PGSQL.port`.
    Socket {
        /// The socket's directory.
        directory: PathBuf,
        /// The port, which is part of the socket's name.
        port: u16,
    },
    /// TCP.
    Tcp {
        /// Name or address.
        host: String,
        /// The port.
        port: u16,
    },
}

/// Whether traffic leaves this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HostKind {
    /// A Unix socket, `localhost` or a loopback address.
    Loopback,
    /// Anything else; also a name that may well resolve to this machine.
    Remote,
}

impl Endpoint {
    /// Whether it is on this machine for certain.
    pub fn host_kind(&self) -> HostKind {
        match self {
            Self::Socket { .. } => HostKind::Loopback,
            Self::Tcp { host, .. } => {
                let address = host.trim_start_matches('[').trim_end_matches(']');
                let loopback =
                    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
                if loopback { HostKind::Loopback } else { HostKind::Remote }
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { directory, port } => write!(f, "{}:{port}", directory.display()),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

/// Everything that a client needs to connect to one database. `Display` has no password.
#[derive(Debug, Clone)]
pub struct ConnInfo {
    /// Where.
    pub endpoint: Endpoint,
    /// As whom.
    pub user: String,
    /// With what; `None` where the server asks for none.
    pub password: Option<Secret>,
    /// To which database.
    pub database: String,
    /// Whether to encrypt.
    pub ssl_mode: PgSslMode,
    /// File of certificate authorities, where one is named.
    pub authorities: Option<PathBuf>,
}

impl ConnInfo {
    /// For sqlx.
    pub fn connect_options(&self) -> PgConnectOptions {
        let options = PgConnectOptions::new_without_pgpass()
            .username(&self.user)
            .database(&self.database)
            .ssl_mode(self.ssl_mode)
            .application_name(APPLICATION_NAME);
        let options = match &self.endpoint {
            Endpoint::Socket { directory, port } => options.socket(directory).port(*port),
            Endpoint::Tcp { host, port } => options.host(host).port(*port),
        };
        match &self.password {
            Some(password) => options.password(password.expose()),
            None => options,
        }
    }

    /// One connection.
    pub async fn connect(&self) -> Result<PgConnection, TargetError> {
        connect(&self.connect_options(), self).await
    }
}

impl fmt::Display for ConnInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}/{}", self.user, self.endpoint, self.database)
    }
}

/// Connects; an error names `target`.
pub(super) async fn connect(options: &PgConnectOptions, target: &impl fmt::Display) -> Result<PgConnection, TargetError> {
    // sqlx logs slow statements; pgduel reports times itself.
    options.clone().disable_statement_logging().connect().await.map_err(|error| TargetError::Connect { target: target.to_string(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_certainly_local_is_loopback() {
        let kind = |host: &str| Endpoint::Tcp { host: host.to_owned(), port: 5432 }.host_kind();
        for host in ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1", "[::1]"] {
            assert_eq!(kind(host), HostKind::Loopback, "{host}");
        }
        for host in ["db.example", "10.0.0.1", "0.0.0.0", "localhost.example", ""] {
            assert_eq!(kind(host), HostKind::Remote, "{host}");
        }
    }

    #[test]
    fn no_rendering_shows_the_password() {
        let info = ConnInfo {
            endpoint: Endpoint::Tcp { host: "db.example".to_owned(), port: 1 },
            user: "ann".to_owned(),
            password: Some(Secret::new("c4n4ry")),
            database: "app".to_owned(),
            ssl_mode: PgSslMode::Prefer,
            authorities: None,
        };
        assert_eq!(info.to_string(), "ann@db.example:1/app");
        assert!(!format!("{info:?} {info:#?}").contains("c4n4ry"));
    }
}
