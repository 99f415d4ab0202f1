//! A PgBouncer in front of the test server. Without one, tests fail on Debian, unless PGDUEL_NO_PGBOUNCER is set; elsewhere they say that they skip.

// Each test file compiles its own copy and uses a part of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use pgduel::target::{Endpoint, Server};

use crate::support::{TestServer, may_be_missing};

/// It refuses to run as root.
const NOBODY: &str = "nobody";

/// Whom it lets in.
#[derive(Clone, Copy)]
pub enum Users {
    Anybody,
    OfServer,
}

/// A running PgBouncer in front of the test server.
pub struct Pooler {
    child: Child,
    pub port: u16,
    pub server: Arc<TestServer>,
    _folder: tempfile::TempDir,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An ordinary user's path may be without the folder where Debian puts it.
fn program() -> &'static str {
    const DEBIAN: &str = "/usr/sbin/pgbouncer";
    if Path::new(DEBIAN).exists() { DEBIAN } else { "pgbouncer" }
}

/// Major and minor version of the one that is installed.
pub fn version() -> Option<(u32, u32)> {
    let output = Command::new(program()).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut parts = text.lines().next()?.split(' ').nth(1)?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

impl Pooler {
    /// Two server connections for whoever comes, all of them the superuser's.
    pub async fn start(mode: &str) -> Pooler {
        Pooler::start_for(mode, Users::Anybody).await
    }

    /// The same; users of the server are let in as themselves.
    pub async fn start_for(mode: &str, users: Users) -> Pooler {
        let server = TestServer::shared().await;
        let folder = tempfile::tempdir().expect("a folder");
        let Server::Embedded(embedded) = server.server() else { unreachable!("the test server is embedded") };
        let info = embedded.tcp_conn_info("postgres");
        let Endpoint::Tcp { host, port } = &info.endpoint else { unreachable!("TCP was asked for") };
        let password = info.password.as_ref().map(|password| password.expose().to_owned()).unwrap_or_default();
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let known = folder.path().join("users.txt");
        std::fs::write(&known, format!("\"{}\" \"{password}\"\n", info.user)).expect("its users");
        let (user, auth) = match users {
            Users::Anybody => (format!("user={} password={password}", info.user), "auth_type = any".to_owned()),
            Users::OfServer => (
                format!("auth_user={}", info.user),
                format!(
                    "auth_type = scram-sha-256\nauth_file = {}\n\
                     auth_query = select rolname, rolpassword from pg_authid where rolname = $1",
                    known.display()
                ),
            ),
        };
        let settings = format!(
            "[databases]\n* = host={host} port={port} {user}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {free}\nunix_socket_dir =\n{auth}\npool_mode = {mode}\ndefault_pool_size = 2\n{}",
            if version() >= Some((1, 21)) { "max_prepared_statements = 100\n" } else { "" }
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("its settings");
        let mut command = Command::new(program());
        if rustix::process::geteuid().is_root() {
            for path in [folder.path(), &file, &known] {
                let given = Command::new("chown").arg(NOBODY).arg(path).status().expect("chown");
                assert!(given.success());
            }
            command.args(["-u", NOBODY]);
        }
        let mut child = command.arg(&file).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        // It says so when it listens; what it says later is of no interest, but must be read.
        let mut said = BufReader::new(child.stderr.take().expect("what it says")).lines().map_while(Result::ok);
        let up = said.by_ref().find(|line| line.contains("process up"));
        assert!(up.is_some(), "PgBouncer did not start");
        std::thread::spawn(move || said.for_each(drop));
        Pooler { child, port: free, server, _folder: folder }
    }
}

pub fn is_missing() -> bool {
    let missing = version().is_none();
    assert!(
        !missing || may_be_missing("PgBouncer", "PGDUEL_NO_PGBOUNCER"),
        "no PgBouncer on the path: apt-get install pgbouncer, or set PGDUEL_NO_PGBOUNCER to leave these tests out"
    );
    missing
}
