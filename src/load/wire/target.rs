//! Where to connect, and as whom.

use std::fmt;
use std::path::{Path, PathBuf};

/// A server's address, without the port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Host {
    /// The directory that holds the Unix socket `.s.PGSQL.<port>`.
    Unix(PathBuf),
    /// A host name or an IP address.
    Tcp(String),
}

/// A password. It has no `Display` and no `Serialize`, and `Debug` hides it, so that it cannot reach any output by accident.
#[derive(Clone, Eq, PartialEq)]
pub struct Password(String);

impl Password {
    /// Wraps a password.
    pub fn new(secret: impl Into<String>) -> Password {
        Password(secret.into())
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What is asked of TLS, by libpq's `sslmode` names. A Unix socket never has it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SslMode {
    /// Never.
    #[default]
    Disable,
    /// Only if the server takes nobody without.
    Allow,
    /// If the server has it, and takes the role with it.
    Prefer,
    /// Always; any certificate will do, unless there is a file of authorities: then it is [`SslMode::VerifyCa`].
    Require,
    /// Always, with a certificate of a known authority.
    VerifyCa,
    /// Always, with a certificate of a known authority for this very server.
    VerifyFull,
}

/// Everything a connection needs to know before it exists.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConnectTarget {
    /// The server's address.
    pub host: Host,
    /// Port; for a Unix socket, the number in its file name.
    pub port: u16,
    /// Role to log in as.
    pub user: String,
    /// Password, where the server asks for one.
    pub password: Option<Password>,
    /// Database.
    pub database: String,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// Further start-up parameters by name, such as `("plan_cache_mode", "force_generic_plan")`: session settings that need no round
    /// trip. PgBouncer refuses those that it does not track.
    pub settings: Vec<(String, String)>,
    /// TLS.
    pub ssl_mode: SslMode,
    /// Name that the server's certificate must be for, where that is not the host: behind a proxy.
    pub certificate_name: Option<String>,
    /// Certificates of the authorities that are believed, a file; those of the system if there is none.
    pub authorities: Option<PathBuf>,
}

impl ConnectTarget {
    /// In the place of a file of authorities: those that the system believes.
    pub const SYSTEM: &str = "system";

    /// What `sslrootcert` names: a file, or [`ConnectTarget::SYSTEM`].
    pub fn authorities_in(name: &Path) -> Option<PathBuf> {
        (name != Path::new(ConnectTarget::SYSTEM)).then(|| name.to_owned())
    }

    /// The file of authorities where libpq looks for it: PGSSLROOTCERT, else `~/.postgresql/root.crt` if that is there.
    pub fn usual_authorities() -> Option<PathBuf> {
        let named = std::env::var_os("PGSSLROOTCERT").filter(|name| !name.is_empty());
        match named {
            Some(name) => ConnectTarget::authorities_in(Path::new(&name)),
            None => std::env::home_dir().map(|home| home.join(".postgresql/root.crt")).filter(|file| file.is_file()),
        }
    }
}
