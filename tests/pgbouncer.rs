//! Load through PgBouncer: a session of its own works, and one that changes hands is refused with the reason.

#[path = "support/pooler.rs"]
mod pooler;
mod support;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use pgduel::experiment::connect_target;
use pgduel::load::program::Program;
use pgduel::load::session::Session;
use pgduel::load::wire::{ConnectTarget, Host};
use pgduel::record::{Arm, NoProcessorTime};
use pgduel::scenario;
use pgduel::target::{Endpoint, Installation, Server};
use pooler::{Pooler, is_missing, version};
use support::isolate;

/// A pooler and a database behind it.
struct Bench {
    pooler: Pooler,
    database: String,
}

impl Bench {
    async fn start(mode: &str) -> Bench {
        let pooler = Pooler::start(mode).await;
        let database = pooler.server.fresh_database().await;
        Bench { pooler, database }
    }

    fn pgduel(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgduel"));
        isolate(&mut command).arg("pgbench").args(arguments);
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", self.pooler.port.to_string())
            .env("PGUSER", "anybody")
            .env("PGDATABASE", &self.database);
        command.output().expect("pgduel runs")
    }

    /// pgbench's own tables, made past the pooler.
    fn tables(&self) {
        let Server::Embedded(embedded) = self.pooler.server.server() else { unreachable!("the test server is embedded") };
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

#[tokio::test]
async fn a_session_of_its_own_serves_every_protocol() {
    if is_missing() {
        return;
    }
    let bench = Bench::start("session").await;
    bench.tables();
    for mode in ["simple", "extended", "prepared"] {
        // More clients than connections would wait for ever for the first ones to leave.
        let found = bench.pgduel(&["-n", "-S", "-c", "2", "-j", "2", "-t", "50", "-M", mode]);
        let (said, complained) = (String::from_utf8_lossy(&found.stdout), String::from_utf8_lossy(&found.stderr));
        assert!(found.status.success() && said.contains("100/100"), "{mode}: {said}{complained}");
    }
}

#[tokio::test]
async fn no_process_is_taken_for_the_backend_behind_it() {
    if is_missing() {
        return;
    }
    let bench = Bench::start("session").await;
    let text = "title = \"T\"\nduel = [\"a\", \"b\"]\n[[transaction]]\nname = \"only\"\nidentity = \"none\"\n\
                [[transaction.statement]]\nname = \"only\"\nsql = \"select 1\"\n";
    let scenario = scenario::parse("notes", "only", Path::new("only.toml"), text).expect("a scenario");
    let direct = connect_target(&bench.pooler.server.conn_info(&bench.database));
    let pooled =
        ConnectTarget { host: Host::Tcp("127.0.0.1".to_owned()), port: bench.pooler.port, user: "anybody".to_owned(), ..direct.clone() };
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
    let bench = Bench::start("transaction").await;
    bench.tables();
    // Four clients on two connections: what one has prepared, another meets.
    let arguments = ["-n", "-S", "-c", "4", "-j", "2", "-t", "200"];
    let simple = bench.pgduel(&arguments);
    assert!(simple.status.success(), "the simple protocol needs no session: {}", String::from_utf8_lossy(&simple.stderr));
    let prepared = bench.pgduel(&[&arguments[..], &["-M", "prepared"]].concat());
    let complained = String::from_utf8_lossy(&prepared.stderr);
    match version() >= Some((1, 21)) {
        true => assert!(prepared.status.success(), "{complained}"),
        false => {
            assert_eq!(prepared.status.code(), Some(2), "{complained}");
            assert!(complained.contains("transaction mode") && complained.contains("1.21"), "{complained}");
        }
    }
}
