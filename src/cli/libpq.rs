//! Where programs that use libpq would connect to: arguments, environment, password file.

use std::path::Path;
use std::time::Duration;

use super::pgpass::{self, Wanted};
use super::{Failure, out};
use crate::load::wire::{ConnectTarget, Host, Password, SslMode};

/// Where Debian's packages and PostgreSQL itself put the Unix socket.
const SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// What pgbench calls itself.
const APPLICATION_NAME: &str = "pgbench";

/// What the arguments name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named<'a> {
    /// A database, or a URL.
    pub database: Option<&'a str>,
    /// A host, or the folder of a socket.
    pub host: Option<&'a str>,
    /// A port.
    pub port: Option<u16>,
    /// A user.
    pub user: Option<&'a str>,
}

/// As libpq finds its server: arguments, then its variables of the environment, then what it is built with.
pub fn target(named: &Named<'_>) -> Result<ConnectTarget, Failure> {
    if let Some(url) = named.database.filter(|text| text.starts_with("postgres://") || text.starts_with("postgresql://")) {
        if named.host.is_some() || named.port.is_some() || named.user.is_some() {
            return Err(Failure::Usage("-h, -p and -U do not go with a URL, which has all of them".to_owned()));
        }
        let server = crate::target::ExternalServer::parse(url).map_err(|error| Failure::Usage(error.to_string()))?;
        let database = server.database().unwrap_or("postgres").to_owned();
        let mut target = crate::experiment::connect_target(&server.conn_info(&database));
        target.application_name = APPLICATION_NAME.to_owned();
        target.settings = options();
        if target.password.is_none() {
            target.password = kept(&target.host, target.port, &target.database, &target.user);
        }
        return Ok(target);
    }
    if named.database.is_some_and(|text| text.contains('=')) {
        return Err(Failure::Usage("a connection string of the form key=value is not read; give a URL, or -h, -p and -U".to_owned()));
    }
    let user = named.user.map(str::to_owned).or_else(|| variable("PGUSER")).unwrap_or_else(login_name);
    let host = named.host.map(str::to_owned).or_else(|| variable("PGHOST"));
    let host = match host {
        Some(host) if host.starts_with('/') => Host::Unix(host.into()),
        Some(host) => Host::Tcp(host),
        None => match SOCKETS.into_iter().find(|folder| Path::new(folder).is_dir()) {
            Some(folder) => Host::Unix(folder.into()),
            None => Host::Tcp("localhost".to_owned()),
        },
    };
    let port = match (named.port, variable("PGPORT")) {
        (Some(port), _) => port,
        (None, Some(text)) => text.parse().map_err(|_| Failure::Usage(format!("PGPORT is {text}, which is no port")))?,
        (None, None) => 5432,
    };
    let ssl_mode = match variable("PGSSLMODE").as_deref() {
        Some("disable") => SslMode::Disable,
        Some("allow") => SslMode::Allow,
        None | Some("prefer") => SslMode::Prefer,
        Some("require") => SslMode::Require,
        Some("verify-ca") => SslMode::VerifyCa,
        Some("verify-full") => SslMode::VerifyFull,
        Some(other) => {
            let modes = "disable, allow, prefer, require, verify-ca or verify-full";
            return Err(Failure::Usage(format!("PGSSLMODE is {other}, and may be {modes}")));
        }
    };
    let database =
        named.database.map(str::to_owned).or_else(|| variable("PGDATABASE")).or_else(|| variable("PGUSER")).unwrap_or_else(login_name);
    Ok(ConnectTarget {
        password: variable("PGPASSWORD").map(Password::new).or_else(|| kept(&host, port, &database, &user)),
        host,
        port,
        database,
        user,
        application_name: APPLICATION_NAME.to_owned(),
        settings: options(),
        ssl_mode,
        certificate_name: None,
        authorities: ConnectTarget::usual_authorities(),
    })
}

/// How long connecting may take by `PGCONNECT_TIMEOUT`, whole seconds; without it or with none above 0, as long as the operating system lets it.
/// As in libpq, less than two seconds are two.
pub fn connect_limit() -> Result<Option<Duration>, Failure> {
    let Some(text) = std::env::var_os("PGCONNECT_TIMEOUT") else { return Ok(None) };
    let text = text.to_string_lossy();
    let seconds: i32 =
        text.trim().parse().map_err(|_| Failure::Usage(format!("PGCONNECT_TIMEOUT is \"{text}\", and may be whole seconds")))?;
    Ok(u64::try_from(seconds).ok().filter(|seconds| *seconds > 0).map(|seconds| Duration::from_secs(seconds.max(2))))
}

/// The name of who runs this, as libpq has it: by the user's number, and from the environment only where no list of users has that.
fn login_name() -> String {
    let number = rustix::process::geteuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let of_number = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    of_number.or_else(|| variable("USER")).or_else(|| variable("LOGNAME")).unwrap_or_else(|| "postgres".to_owned())
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// `PGOPTIONS`, as a start-up parameter.
fn options() -> Vec<(String, String)> {
    variable("PGOPTIONS").map(|options| ("options".to_owned(), options)).into_iter().collect()
}

/// The password that the file of passwords has for this server.
fn kept(host: &Host, port: u16, database: &str, user: &str) -> Option<Password> {
    let name = match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(folder) if SOCKETS.iter().any(|usual| Path::new(usual) == folder) => "localhost".to_owned(),
        Host::Unix(folder) => folder.display().to_string(),
    };
    let found = pgpass::password(&Wanted { host: &name, port, database, user });
    found
        .unwrap_or_else(|why| {
            out::say(&format!("pgduel pgbench: warning: {why}"));
            None
        })
        .map(Password::new)
}
