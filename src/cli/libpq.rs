//! Where programs that use libpq would connect to: arguments, environment, password file.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use super::pgpass::{self, Wanted};
use super::{Failure, conninfo, out};
use crate::load::wire::{ConnectTarget, Host, Password, SslMode};

/// Where Debian's packages and PostgreSQL itself put the Unix socket.
const SOCKETS: [&str; 2] = ["/var/run/postgresql", "/tmp"];

/// What pgbench calls itself.
const APPLICATION_NAME: &str = "pgbench";

/// What the arguments name.
#[derive(Clone, Copy, Debug, Default)]
pub struct Named<'a> {
    /// A database, a URL, or a connection string of keys and values.
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
    let connection_string = named.database.filter(|text| text.contains('='));
    let mut given = connection_string.map_or(Ok(BTreeMap::new()), conninfo::parse).map_err(Failure::Usage)?;
    // As in libpq, what a connection string names counts more than an option.
    let user = given.remove("user").or_else(|| named.user.map(str::to_owned)).or_else(|| variable("PGUSER")).unwrap_or_else(login_name);
    let host = given.remove("host").or_else(|| named.host.map(str::to_owned)).or_else(|| variable("PGHOST"));
    let host = match host {
        Some(host) if host.starts_with('/') => Host::Unix(host.into()),
        Some(host) => Host::Tcp(host),
        None => match SOCKETS.into_iter().find(|folder| Path::new(folder).is_dir()) {
            Some(folder) => Host::Unix(folder.into()),
            None => Host::Tcp("localhost".to_owned()),
        },
    };
    let port = match (given.remove("port"), named.port) {
        (Some(text), _) => port_of("port", &text)?,
        (None, Some(port)) => port,
        (None, None) => variable("PGPORT").map_or(Ok(5432), |text| port_of("PGPORT", &text))?,
    };
    let ssl_mode = match given.remove("sslmode") {
        Some(text) => ssl_mode_of("sslmode", &text)?,
        None => variable("PGSSLMODE").map_or(Ok(SslMode::Prefer), |text| ssl_mode_of("PGSSLMODE", &text))?,
    };
    // Where a connection string does not say, libpq takes the user's name for the database's; else pgbench does, which does not look at -U.
    let database = match connection_string {
        Some(_) => given.remove("dbname").or_else(|| variable("PGDATABASE")).unwrap_or_else(|| user.clone()),
        None => {
            let named = named.database.map(str::to_owned).or_else(|| variable("PGDATABASE")).or_else(|| variable("PGUSER"));
            named.unwrap_or_else(login_name)
        }
    };
    let password = given.remove("password").or_else(|| variable("PGPASSWORD"));
    Ok(ConnectTarget {
        password: password.map(Password::new).or_else(|| kept(&host, port, &database, &user)),
        host,
        port,
        database,
        user,
        application_name: given.remove("application_name").unwrap_or_else(|| APPLICATION_NAME.to_owned()),
        settings: given.remove("options").map_or_else(options, |text| vec![("options".to_owned(), text)]),
        ssl_mode,
        certificate_name: None,
        authorities: match given.remove("sslrootcert") {
            Some(file) => ConnectTarget::authorities_in(Path::new(&file)),
            None => ConnectTarget::usual_authorities(),
        },
    })
}

fn port_of(name: &str, text: &str) -> Result<u16, Failure> {
    text.trim().parse().map_err(|_| Failure::Usage(format!("{name} is {text}, which is no port")))
}

fn ssl_mode_of(name: &str, text: &str) -> Result<SslMode, Failure> {
    match text {
        "disable" => Ok(SslMode::Disable),
        "allow" => Ok(SslMode::Allow),
        "prefer" => Ok(SslMode::Prefer),
        "require" => Ok(SslMode::Require),
        "verify-ca" => Ok(SslMode::VerifyCa),
        "verify-full" => Ok(SslMode::VerifyFull),
        other => {
            let modes = "disable, allow, prefer, require, verify-ca or verify-full";
            Err(Failure::Usage(format!("{name} is {other}, and may be {modes}")))
        }
    }
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
