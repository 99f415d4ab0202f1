//! A real PostgreSQL for tests.
//!
//! `TestServer::shared()` gives the one server of this test process, starting it if no test holds it; the last test to
//! let go ends it, as statics are never dropped. Its cluster is kept between runs in a fixed temporary directory, so only
//! the first run pays for initdb; other test processes at the same time get a slot of their own. A server that a killed
//! test left behind is taken over by the next run.

// Each test file compiles its own copy and uses a part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use pgduel::target::{
    ConnInfo, DatabaseMark, Durability, EmbeddedOptions, EmbeddedServer, Login, Purpose, Server, create_database, drop_database,
    list_pgduel_databases,
};
use sqlx::PgConnection;
use tokio::sync::Mutex;

const SHARED_BUFFERS_BYTES: u64 = 256 * 1024 * 1024;

/// Whether a test may be left out for want of a program that `make test` installs on Debian and nowhere else. `excuse` is a variable with which
/// somebody leaves it out there too.
pub fn may_be_missing(program: &str, excuse: &str) -> bool {
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let excused = !release.lines().any(|line| line == "ID=debian") || std::env::var_os(excuse).is_some();
    if excused {
        eprintln!("skipped: no {program} on the path");
    }
    excused
}

/// One server for many tests.
pub struct TestServer {
    server: Server,
}

static SHARED: Mutex<Weak<TestServer>> = Mutex::const_new(Weak::new());
static NEXT_DATABASE: AtomicU32 = AtomicU32::new(0);

impl TestServer {
    /// The server of this test process. Hold on to it as long as the test needs a database.
    pub async fn shared() -> Arc<TestServer> {
        let mut shared = SHARED.lock().await;
        if let Some(server) = shared.upgrade() {
            return server;
        }
        let embedded =
            EmbeddedServer::start(&options(test_home())).await.expect("PostgreSQL with pgvector starts (`make setup` installs it)");
        let server = Arc::new(TestServer { server: embedded.into() });
        server.drop_leftovers().await;
        *shared = Arc::downgrade(&server);
        server
    }

    /// A server that no other test uses; it ends with this value.
    pub async fn alone(home: &OwnHome) -> TestServer {
        TestServer { server: EmbeddedServer::start(&home.options()).await.expect("PostgreSQL starts").into() }
    }

    /// The server as the product sees it.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// A new, empty database with pgduel's mark and a name of its own. Dropped with the server's next start at the
    /// latest; call [`TestServer::drop_database`] for a large one.
    pub async fn fresh_database(&self) -> String {
        let name = self.fresh_name();
        create_database(&self.server, &name, None, &DatabaseMark::new(Purpose::Scratch, "test")).await.expect("a database is created");
        name
    }

    /// A name that no database has.
    pub fn fresh_name(&self) -> String {
        format!("test_{}_{}", std::process::id(), NEXT_DATABASE.fetch_add(1, Ordering::Relaxed))
    }

    /// A connection to `database` as the superuser.
    pub async fn connect(&self, database: &str) -> PgConnection {
        self.server.connect_as(Login::Superuser, database).await.expect("the server takes connections")
    }

    /// How any client connects to `database`.
    pub fn conn_info(&self, database: &str) -> ConnInfo {
        self.server.conn_info(database)
    }

    /// A `postgres://` URL, password included, for commands that take one.
    pub fn url(&self, database: &str) -> String {
        let Server::Embedded(server) = &self.server else {
            unreachable!("the test server is embedded");
        };
        let info = server.tcp_conn_info(database);
        let password = info.password.as_ref().map(|password| password.expose().to_owned()).unwrap_or_default();
        // With the mode named, a PGSSLMODE of the person who runs the tests does not matter.
        format!("postgres://{}:{password}@{}/{database}?sslmode=disable", info.user, info.endpoint)
    }

    pub async fn drop_database(&self, name: &str) {
        drop_database(&self.server, name).await.expect("the database is dropped");
    }

    async fn drop_leftovers(&self) {
        for database in list_pgduel_databases(&self.server).await.expect("databases are listed") {
            self.drop_database(&database.name).await;
        }
    }
}

/// Takes from a command everything in the environment that would change what pgduel does or how its output looks.
pub fn isolate(command: &mut Command) -> &mut Command {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("PG") || ["DATABASE_URL", "COLUMNS", "CLICOLOR_FORCE", "NO_COLOR", "RUST_LOG"].contains(&text.as_ref()) {
            command.env_remove(&name);
        }
    }
    command.stdin(Stdio::null())
}

/// Options of a small, fast server in `home`.
pub fn options(home: PathBuf) -> EmbeddedOptions {
    EmbeddedOptions {
        home: Some(home),
        durability: Durability::Off,
        shared_buffers_bytes: Some(SHARED_BUFFERS_BYTES),
        ..EmbeddedOptions::default()
    }
}

/// Where the shared server's cluster is kept. Not below the checkout: another account may have to reach it.
pub fn test_home() -> PathBuf {
    std::env::temp_dir().join(format!("pgduel-test-{}", rustix::process::geteuid().as_raw()))
}

/// A home of one's own, for tests that break it; removed when dropped. The server's account may enter it.
pub struct OwnHome(tempfile::TempDir);

impl OwnHome {
    pub fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::Builder::new().prefix("pgduel-").tempdir().expect("a temporary directory");
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).expect("its mode is set");
        Self(directory)
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn options(&self) -> EmbeddedOptions {
        options(self.path().to_owned())
    }
}
