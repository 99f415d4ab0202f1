//! Load through PgBouncer: a session of its own works, and one that changes hands is refused with the reason.
//!
//! Without PgBouncer it fails on Debian, unless PGDUEL_NO_PGBOUNCER is set; elsewhere it says that it skips.

mod support;

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;

use pgduel::experiment::connect_target;
use pgduel::load::program::Program;
use pgduel::load::session::Session;
use pgduel::load::wire::{ConnectTarget, Host};
use pgduel::record::{Arm, NoProcessorTime};
use pgduel::scenario;
use pgduel::target::{Endpoint, Installation, Server};
use support::{TestServer, isolate, may_be_missing};

/// It refuses to run as root.
const NOBODY: &str = "nobody";

/// A running PgBouncer in front of the test server.
struct Pooler {
    child: Child,
    port: u16,
    server: Arc<TestServer>,
    database: String,
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
fn version() -> Option<(u32, u32)> {
    let output = Command::new(program()).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut parts = text.lines().next()?.split(' ').nth(1)?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

impl Pooler {
    /// Two server connections for whoever comes.
    async fn start(mode: &str) -> Pooler {
        let server = TestServer::shared().await;
        let database = server.fresh_database().await;
        let folder = tempfile::tempdir().expect("a folder");
        let Server::Embedded(embedded) = server.server() else { unreachable!("the test server is embedded") };
        let info = embedded.tcp_conn_info(&database);
        let Endpoint::Tcp { host, port } = &info.endpoint else { unreachable!("TCP was asked for") };
        let password = info.password.as_ref().map(|password| password.expose().to_owned()).unwrap_or_default();
        let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
        let settings = format!(
            "[databases]\n{database} = host={host} port={port} user={} password={password}\n\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {free}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\ndefault_pool_size = 2\n{}",
            info.user,
            if version() >= Some((1, 21)) { "max_prepared_statements = 100\n" } else { "" }
        );
        let file = folder.path().join("pgbouncer.ini");
        std::fs::write(&file, settings).expect("its settings");
        let mut command = Command::new(program());
        if rustix::process::geteuid().is_root() {
            for path in [folder.path(), &file] {
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
        Pooler { child, port: free, server, database, _folder: folder }
    }

    fn pgduel(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgduel"));
        isolate(&mut command).arg("pgbench").args(arguments);
        command.env("PGHOST", "127.0.0.1").env("PGPORT", self.port.to_string()).env("PGUSER", "anybody").env("PGDATABASE", &self.database);
        command.output().expect("pgduel runs")
    }

    /// pgbench's own tables, made past the pooler.
    fn tables(&self) {
        let Server::Embedded(embedded) = self.server.server() else { unreachable!("the test server is embedded") };
        let info = embedded.tcp_conn_info(&self.database);
        let Endpoint::Tcp { host, port } = &info.endpoint else { unreachable!("TCP was asked for") };
        let bin = Installation::choose(None).expect("a PostgreSQL").bin.join("postgres").canonicalize().expect("its program");
        let mut command = Command::new(bin.with_file_name("pgbench"));
        isolate(&mut command).args(["-i", "-q"]).env("PGHOST", host).env("PGPORT", port.to_string()).env("PGUSER", &info.user);
        command.env("PGPASSWORD", info.password.as_ref().map(|password| password.expose()).unwrap_or_default());
        let made = command.env("PGDATABASE", &self.database).output().expect("pgbench runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }
}

fn is_missing() -> bool {
    let missing = version().is_none();
    assert!(
        !missing || may_be_missing("PgBouncer", "PGDUEL_NO_PGBOUNCER"),
        "no PgBouncer on the path: apt-get install pgbouncer, or set PGDUEL_NO_PGBOUNCER to leave these tests out"
    );
    missing
}

#[tokio::test]
async fn a_session_of_its_own_serves_every_protocol() {
    if is_missing() {
        return;
    }
    let pooler = Pooler::start("session").await;
    pooler.tables();
    for mode in ["simple", "extended", "prepared"] {
        // More clients than connections would wait for ever for the first ones to leave.
        let found = pooler.pgduel(&["-n", "-S", "-c", "2", "-j", "2", "-t", "50", "-M", mode]);
        let (said, complained) = (String::from_utf8_lossy(&found.stdout), String::from_utf8_lossy(&found.stderr));
        assert!(found.status.success() && said.contains("100/100"), "{mode}: {said}{complained}");
    }
}

#[tokio::test]
async fn no_process_is_taken_for_the_backend_behind_it() {
    if is_missing() {
        return;
    }
    let pooler = Pooler::start("session").await;
    let text = "title = \"T\"\nduel = [\"a\", \"b\"]\n[[transaction]]\nname = \"only\"\nidentity = \"none\"\n\
                [[transaction.statement]]\nname = \"only\"\nsql = \"select 1\"\n";
    let scenario = scenario::parse("notes", "only", Path::new("only.toml"), text).expect("a scenario");
    let direct = connect_target(&pooler.server.conn_info(&pooler.database));
    let pooled = ConnectTarget { host: Host::Tcp("127.0.0.1".to_owned()), port: pooler.port, user: "anybody".to_owned(), ..direct.clone() };
    let unknown = if cfg!(target_os = "linux") { NoProcessorTime::OtherHostOrContainer } else { NoProcessorTime::NotLinux };
    for (target, expected) in [(pooled, Err(unknown)), (direct, if cfg!(target_os = "linux") { Ok(()) } else { Err(unknown) })] {
        let program = Arc::new(Program::new(&scenario, Arm::BASELINE));
        let mut session = Session::open(&target, program, 0).await.expect("a session");
        assert_eq!(session.meter_statements().await, expected, "{:?}", target.host);
    }
}

#[tokio::test]
async fn a_session_that_changes_hands_is_refused_with_the_reason() {
    if is_missing() {
        return;
    }
    let pooler = Pooler::start("transaction").await;
    pooler.tables();
    // Four clients on two connections: what one has prepared, another meets.
    let arguments = ["-n", "-S", "-c", "4", "-j", "2", "-t", "200"];
    let simple = pooler.pgduel(&arguments);
    assert!(simple.status.success(), "the simple protocol needs no session: {}", String::from_utf8_lossy(&simple.stderr));
    let prepared = pooler.pgduel(&[&arguments[..], &["-M", "prepared"]].concat());
    let complained = String::from_utf8_lossy(&prepared.stderr);
    match version() >= Some((1, 21)) {
        true => assert!(prepared.status.success(), "{complained}"),
        false => {
            assert_eq!(prepared.status.code(), Some(2), "{complained}");
            assert!(complained.contains("transaction mode") && complained.contains("1.21"), "{complained}");
        }
    }
}
