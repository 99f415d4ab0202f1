//! A server that is somebody else's: reached by its URL, described, never started or stopped.

use std::path::Path;
use std::sync::OnceLock;

use sqlx::postgres::PgConnectOptions;

use super::connection::{APPLICATION_NAME, ConnInfo, Endpoint};
use super::embedded;
use super::error::TargetError;
use super::run_lock::RunName;
use super::secret::{ConnectionString, Secret};

/// A server given by its URL.
#[derive(Debug, Clone)]
pub struct ExternalServer {
    url: ConnectionString,
    run: OnceLock<RunName>,
    login_key: OnceLock<Secret>,
}

impl ExternalServer {
    /// From a `postgres://` URL. Does not connect.
    pub fn new(url: ConnectionString) -> Self {
        Self { url, run: OnceLock::new(), login_key: OnceLock::new() }
    }

    /// From the text of a URL. Does not connect.
    pub fn parse(url: &str) -> Result<Self, TargetError> {
        url.parse().map(Self::new)
    }

    pub(super) fn run(&self) -> &OnceLock<RunName> {
        &self.run
    }

    /// What the passwords of pgduel's roles are made from: the superuser's own, else a file that only this account can read.
    pub(super) fn prepare_login_key(&self) -> Result<(), TargetError> {
        if self.login_key.get().is_none() {
            let key = match self.url.password() {
                Some(password) => password.clone(),
                None => embedded::login_key()?,
            };
            let _ = self.login_key.set(key);
        }
        Ok(())
    }

    /// The same, once it is prepared.
    pub(super) fn login_key(&self) -> Secret {
        self.login_key.get().or(self.url.password()).cloned().unwrap_or_else(|| Secret::new(""))
    }

    /// The database that the URL names, if it names one.
    pub fn database(&self) -> Option<&str> {
        self.url.options().get_database()
    }

    /// The URL's options (certificates among them), for another database of the server.
    pub fn connect_options(&self, database: &str) -> PgConnectOptions {
        self.url.options().clone().database(database).application_name(APPLICATION_NAME)
    }

    /// What a client without sqlx needs.
    pub fn conn_info(&self, database: &str) -> ConnInfo {
        let options = self.url.options();
        let port = options.get_port();
        let socket = options.get_socket().cloned().or_else(|| options.get_host().starts_with('/').then(|| options.get_host().into()));
        ConnInfo {
            endpoint: match socket {
                Some(directory) => Endpoint::Socket { directory, port },
                None => Endpoint::Tcp { host: options.get_host().to_owned(), port },
            },
            user: options.get_username().to_owned(),
            password: self.url.password().cloned(),
            database: database.to_owned(),
            ssl_mode: options.get_ssl_mode(),
            authorities: self.url.authorities().map(Path::to_owned),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::target::HostKind;

    #[test]
    fn a_url_becomes_what_any_client_needs() {
        let server = ExternalServer::parse("postgres://ann:pw@db.example:6432/app").expect("a URL");
        let info = server.conn_info("other");
        assert_eq!(info.to_string(), "ann@db.example:6432/other");
        assert_eq!(info.endpoint.host_kind(), HostKind::Remote);
        assert_eq!(server.database(), Some("app"));
        assert_eq!(info.authorities, None);
        let named = ExternalServer::parse("postgres://ann@db.example/app?sslmode=verify-full&sslrootcert=%2Fetc/ca.pem").expect("a URL");
        assert_eq!(named.conn_info("app").authorities.as_deref(), Some(Path::new("/etc/ca.pem")));
        let socket = ExternalServer::parse("postgres:///app?host=/run/pg&port=7").expect("a URL");
        assert_eq!(socket.conn_info("app").endpoint, Endpoint::Socket { directory: "/run/pg".into(), port: 7 });
    }
}
