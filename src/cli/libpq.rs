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
    let database = named.database.map(str::to_owned).or_else(|| variable("PGDATABASE"));
    if let Some(url) = database.as_deref().filter(|text| text.starts_with("postgres://") || text.starts_with("postgresql://")) {
        return by_url(named, url);
    }
    let connection_string = database.as_deref().filter(|text| text.contains('='));
    let given = connection_string.map_or(Ok(BTreeMap::new()), conninfo::parse).map_err(Failure::Usage)?;
    // As in libpq, what a connection string names counts more than an option, and that it is nothing more than a variable.
    let found = |key: &str, option: Option<&str>, name: &str| match given.get(key) {
        Some(text) => Some(text.clone()).filter(|text| !text.is_empty()),
        None => option.map(str::to_owned).or_else(|| variable(name)),
    };
    let user = found("user", named.user, "PGUSER").unwrap_or_else(login_name);
    let host = match found("host", named.host, "PGHOST") {
        Some(host) if host.starts_with('/') => Host::Unix(host.into()),
        Some(host) => Host::Tcp(host),
        None => match SOCKETS.into_iter().find(|folder| Path::new(folder).is_dir()) {
            Some(folder) => Host::Unix(folder.into()),
            None => Host::Tcp("localhost".to_owned()),
        },
    };
    let port = match found("port", named.port.map(|port| port.to_string()).as_deref(), "PGPORT") {
        Some(text) => port_of(&text)?,
        None => 5432,
    };
    let named_authorities = found("sslrootcert", None, "PGSSLROOTCERT");
    let by_system = named_authorities.as_deref() == Some(ConnectTarget::SYSTEM);
    let authorities =
        named_authorities.map_or_else(ConnectTarget::usual_authorities, |name| ConnectTarget::authorities_in(Path::new(&name)));
    let ssl_mode = ssl_mode(found("sslmode", None, "PGSSLMODE").as_deref(), by_system)?;
    must_know_authorities(ssl_mode, authorities.is_some() || by_system)?;
    let database = match connection_string {
        // Where one does not say, libpq takes the user's name; without one pgbench does, which does not look at -U.
        Some(string) => found("dbname", None, "PGDATABASE").filter(|name| name != string).unwrap_or_else(|| user.clone()),
        None => database.or_else(|| variable("PGUSER")).unwrap_or_else(login_name),
    };
    Ok(ConnectTarget {
        password: found("password", None, "PGPASSWORD").map(Password::new).or_else(|| kept(&host, port, &database, &user)),
        host,
        port,
        database,
        user,
        application_name: given.get("application_name").cloned().unwrap_or_else(|| APPLICATION_NAME.to_owned()),
        settings: found("options", None, "PGOPTIONS").map(start_up_options).into_iter().collect(),
        ssl_mode,
        certificate_name: None,
        authorities,
    })
}

fn by_url(named: &Named<'_>, url: &str) -> Result<ConnectTarget, Failure> {
    if named.host.is_some() || named.port.is_some() || named.user.is_some() {
        return Err(Failure::Usage("-h, -p and -U do not go with a URL, which has all of them".to_owned()));
    }
    let server = crate::target::ExternalServer::parse(url).map_err(|error| Failure::Usage(error.to_string()))?;
    let database = server.database().unwrap_or("postgres").to_owned();
    let info = server.conn_info(&database);
    let mut target = crate::experiment::connect_target(&info);
    let by_system = match &info.authorities {
        Some(name) => name == Path::new(ConnectTarget::SYSTEM),
        None => variable("PGSSLROOTCERT").as_deref() == Some(ConnectTarget::SYSTEM),
    };
    must_know_authorities(target.ssl_mode, target.authorities.is_some() || by_system)?;
    target.application_name = APPLICATION_NAME.to_owned();
    target.settings = variable("PGOPTIONS").map(start_up_options).into_iter().collect();
    if target.password.is_none() {
        target.password = kept(&target.host, target.port, &target.database, &target.user);
    }
    Ok(target)
}

fn port_of(text: &str) -> Result<u16, Failure> {
    let port = text.trim().parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| Failure::Usage(format!("the port is {text}, and may be 1 to 65535")))
}

/// By its name. Who believes the authorities of the system, of which there are many, must ask for the server's name too; as in libpq from version 16.
fn ssl_mode(name: Option<&str>, by_system: bool) -> Result<SslMode, Failure> {
    let mode = match name {
        None if by_system => SslMode::VerifyFull,
        None | Some("prefer") => SslMode::Prefer,
        Some("disable") => SslMode::Disable,
        Some("allow") => SslMode::Allow,
        Some("require") => SslMode::Require,
        Some("verify-ca") => SslMode::VerifyCa,
        Some("verify-full") => SslMode::VerifyFull,
        Some(other) => {
            let modes = "disable, allow, prefer, require, verify-ca or verify-full";
            return Err(Failure::Usage(format!("sslmode (PGSSLMODE) is {other}, and may be {modes}")));
        }
    };
    match by_system && mode != SslMode::VerifyFull {
        true => Err(Failure::Usage("with the authorities of the system (sslrootcert, PGSSLROOTCERT) sslmode is verify-full".to_owned())),
        false => Ok(mode),
    }
}

/// Whoever wants to know a certificate must say whom it believes: as in libpq, the system's authorities are not taken unasked.
fn must_know_authorities(mode: SslMode, known: bool) -> Result<(), Failure> {
    match !known && matches!(mode, SslMode::VerifyCa | SslMode::VerifyFull) {
        true => Err(Failure::Usage(
            "verify-ca and verify-full want to know certificate authorities, and there is no ~/.postgresql/root.crt: name a file in sslrootcert \
             or PGSSLROOTCERT, or \"system\" for those that the system believes"
                .to_owned(),
        )),
        false => Ok(()),
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

/// What `PGOPTIONS` has, as a start-up parameter.
fn start_up_options(options: String) -> (String, String) {
    ("options".to_owned(), options)
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
