//! The embedded server's life: starting, stopping, being killed, standing beside another; who may connect; what it is.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pgduel::target::{
    ConnInfo, Durability, EmbeddedOptions, EmbeddedServer, ExternalServer, HostKind, Lifetime, Secret, Server, ServerDescription,
    ServerKind, SlotUse, Stopped, TargetError, embedded_status, stop_embedded,
};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use sqlx::{AssertSqlSafe, PgConnection};
use support::{OwnHome, TestServer};

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

fn lives(pid: i32) -> bool {
    Pid::from_raw(pid).is_some_and(|pid| test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

fn mode(path: impl AsRef<Path>) -> u32 {
    std::fs::metadata(path.as_ref()).expect("it exists").permissions().mode() & 0o777
}

// --- Starting and stopping -----------------------------------------------------------------------------------------

#[tokio::test]
async fn a_server_starts_stops_and_keeps_its_data() {
    let home = OwnHome::new();
    let server = EmbeddedServer::start(&home.options()).await.expect("starts");
    let (first_pid, directory) = (server.pid(), server.directory().to_owned());
    let mut connection = server.conn_info("postgres").connect().await.expect("connects");
    run(&mut connection, "create table kept (x int)").await;
    drop(connection);
    assert!(directory.starts_with(home.path()));
    server.stop().await.expect("stops");
    assert!(!lives(first_pid));
    assert!(!directory.join("data/postmaster.pid").exists(), "a clean stop removes the pid file");

    let server = EmbeddedServer::start(&home.options()).await.expect("starts again");
    let pid = server.pid();
    let mut connection = server.conn_info("postgres").connect().await.expect("connects");
    assert_eq!(number(&mut connection, "select count(*) from kept").await, 0);
    drop(connection);
    drop(server);
    assert!(!lives(pid), "dropping the value ends the server");
}

#[tokio::test]
async fn two_servers_run_side_by_side() {
    let home = OwnHome::new();
    let first = EmbeddedServer::start(&home.options()).await.expect("starts");
    let second = EmbeddedServer::start(&home.options()).await.expect("a second one starts");
    assert_eq!((first.slot(), second.slot()), (0, 1));
    assert_ne!(first.pid(), second.pid());
    for server in [&first, &second] {
        server.conn_info("postgres").connect().await.expect("both answer");
    }
    second.stop().await.expect("stops");
    first.conn_info("postgres").connect().await.expect("the first one is untouched");
}

#[tokio::test]
async fn a_stale_pid_file_does_not_prevent_a_start() {
    let home = OwnHome::new();
    let server = EmbeddedServer::start(&home.options()).await.expect("starts");
    let directory = server.directory().to_owned();
    server.stop().await.expect("stops");
    // A living process with the old server's number: this one. PostgreSQL itself would refuse to start.
    let stale = format!("{}\n{}\n1700000000\n5432\n/tmp\n127.0.0.1\n", std::process::id(), directory.join("data").display());
    std::fs::write(directory.join("data/postmaster.pid"), stale).expect("written");
    std::fs::write(directory.join("socket/.s.PGSQL.5432.lock"), "1\n").expect("written");
    let server = EmbeddedServer::start(&home.options()).await.expect("starts");
    server.conn_info("postgres").connect().await.expect("answers");
}

#[tokio::test]
async fn a_killed_server_starts_again_and_recovers() {
    let home = OwnHome::new();
    let server = EmbeddedServer::start(&home.options()).await.expect("starts");
    let mut connection = server.conn_info("postgres").connect().await.expect("connects");
    run(&mut connection, "create table survivors as select generate_series(1, 1000) as x").await;
    // Without fsync a commit does not wait; the checkpoint does.
    run(&mut connection, "checkpoint").await;
    let pid = Pid::from_raw(server.pid()).expect("a process id");
    kill_process(pid, Signal::KILL).expect("killed");
    drop(server);

    let server = EmbeddedServer::start(&home.options()).await.expect("starts after a crash");
    let mut connection = server.conn_info("postgres").connect().await.expect("connects");
    assert_eq!(number(&mut connection, "select count(*) from survivors").await, 1000);
}

#[tokio::test]
async fn an_interrupted_initdb_leaves_nothing_in_the_way() {
    let home = OwnHome::new();
    let server = EmbeddedServer::start(&home.options()).await.expect("starts");
    let directory = server.directory().to_owned();
    server.stop().await.expect("stops");
    std::fs::rename(directory.join("data"), directory.join("data.new")).expect("renamed");
    let server = EmbeddedServer::start(&home.options()).await.expect("starts from scratch");
    assert!(!server.directory().join("data.new").exists());
}

#[tokio::test]
async fn a_server_left_running_is_taken_over_and_stopped_on_request() {
    let home = OwnHome::new();
    let keep = EmbeddedOptions { lifetime: Lifetime::KeepRunning, ..home.options() };
    let server = EmbeddedServer::start(&keep).await.expect("starts");
    let pid = server.pid();
    server.finish().await.expect("finishes");
    assert!(lives(pid), "`server start` leaves it running");

    let server = EmbeddedServer::start(&home.options()).await.expect("takes over");
    assert_eq!((server.pid(), server.lifetime()), (pid, Lifetime::KeepRunning));
    let status = embedded_status(Some(home.path())).expect("a status");
    assert_eq!(status.len(), 1);
    assert_eq!(status[0].pid, Some(pid));
    assert_eq!(status[0].in_use, SlotUse::InUse(i32::try_from(std::process::id()).ok()));
    let refused = stop_embedded(Some(home.path())).await.expect("an answer");
    assert!(matches!(refused.as_slice(), [Stopped::InUse { .. }]), "{refused:?}");
    drop(server);
    assert!(lives(pid), "a duel does not end a server that it found running");

    let stopped = stop_embedded(Some(home.path())).await.expect("stops");
    assert!(matches!(stopped.as_slice(), [Stopped::Ended { pid: ended, .. }] if *ended == pid), "{stopped:?}");
    assert_eq!(embedded_status(Some(home.path())).expect("a status")[0].pid, None);
    let server = EmbeddedServer::start(&home.options()).await.expect("starts");
    assert_eq!(server.lifetime(), Lifetime::ThisProcess, "stop also forgets that it should keep running");
}

#[tokio::test]
async fn a_server_whose_pgduel_was_killed_is_taken_over_and_ended() {
    let home = OwnHome::new();
    let keep = EmbeddedOptions { lifetime: Lifetime::KeepRunning, ..home.options() };
    let server = EmbeddedServer::start(&keep).await.expect("starts");
    let (pid, marker) = (server.pid(), server.directory().join("keep-running"));
    drop(server);
    // What a killed pgduel leaves: a server, no lock, and no word that it should keep running.
    std::fs::remove_file(marker).expect("removed");
    let server = EmbeddedServer::start(&home.options()).await.expect("takes over");
    assert_eq!((server.pid(), server.slot()), (pid, 0));
    server.finish().await.expect("stops");
    assert_eq!(embedded_status(Some(home.path())).expect("a status")[0].pid, None);
}

#[tokio::test]
async fn a_running_server_with_other_settings_is_restarted() {
    let home = OwnHome::new();
    let keep = EmbeddedOptions { lifetime: Lifetime::KeepRunning, ..home.options() };
    let pid = EmbeddedServer::start(&keep).await.expect("starts").pid();
    let durable = EmbeddedOptions { durability: Durability::On, ..home.options() };
    let server = EmbeddedServer::start(&durable).await.expect("starts");
    assert_ne!(server.pid(), pid);
    let mut connection = server.conn_info("postgres").connect().await.expect("connects");
    let fsync: String = sqlx::query_scalar("show fsync").fetch_one(&mut connection).await.expect("a setting");
    assert_eq!(fsync, "on");
    server.stop().await.expect("stops");
}

#[tokio::test]
async fn a_wrong_pg_bin_is_explained() {
    let home = OwnHome::new();
    let options = EmbeddedOptions { pg_bin: Some(PathBuf::from("/no/such/bin")), ..home.options() };
    let error = EmbeddedServer::start(&options).await.expect_err("refused").to_string();
    for part in [
        "--pg-bin /no/such/bin: no postgres there",
        "expected a directory like /usr/lib/postgresql/17/bin",
        "Found:\n  PostgreSQL ",
        "make setup",
    ] {
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_its_log() {
    let home = OwnHome::new();
    let server = EmbeddedServer::start(&home.options()).await.expect("starts");
    let configuration = server.directory().join("data/postgresql.conf");
    server.stop().await.expect("stops");
    let text = std::fs::read_to_string(&configuration).expect("read");
    std::fs::write(&configuration, text + "\nno_such_setting = 1\n").expect("written");
    let error = EmbeddedServer::start(&home.options()).await.expect_err("refused").to_string();
    assert!(error.contains("PostgreSQL did not start") && error.contains("no_such_setting"), "{error}");
}

// --- Who may connect -----------------------------------------------------------------------------------------------

#[tokio::test]
async fn only_the_password_opens_the_server_and_its_files_are_private() {
    let home = OwnHome::new();
    let server = EmbeddedServer::start(&home.options()).await.expect("starts");
    for good in [server.conn_info("postgres"), server.tcp_conn_info("postgres")] {
        good.connect().await.expect("the right password connects");
        for password in [None, Some(Secret::new("")), Some(Secret::new("wrong"))] {
            let bad = ConnInfo { password, ..good.clone() };
            let error = bad.connect().await.expect_err("a wrong password is refused");
            assert!(matches!(error, TargetError::Connect { .. }), "{error}");
        }
    }
    let directory = server.directory();
    assert_eq!(mode(directory), 0o700);
    assert_eq!(mode(directory.join("socket")), 0o700);
    assert_eq!(mode(directory.join("data")), 0o700);
    assert_eq!(mode(directory.join("password")), 0o600);
    let rules = std::fs::read_to_string(directory.join("data/pg_hba.conf")).expect("read");
    for rule in rules.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        assert!(rule.ends_with("scram-sha-256"), "{rule}");
    }
}

#[tokio::test]
async fn the_password_is_in_no_rendering_and_no_log() {
    let home = OwnHome::new();
    let server = EmbeddedServer::start(&home.options()).await.expect("starts");
    let directory = server.directory().to_owned();
    let info = server.conn_info("postgres");
    let canary = info.password.as_ref().expect("a password").expose().to_owned();
    assert!(canary.len() >= 32);
    let missing = ConnInfo { database: "missing".to_owned(), ..info.clone() };
    let error = missing.connect().await.expect_err("no such database");
    let server = Server::from(server);
    let description = server.describe().await.expect("described");
    let log = std::fs::read_to_string(directory.join("server.log")).expect("read");
    let shown = format!(
        "{info} {info:?} {error} {error:?} {server:?} {description:?} {} {log}",
        serde_json::to_string(&description).expect("serializes")
    );
    assert!(!shown.contains(&canary));
}

// --- What it is ----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_description_says_what_bears_on_a_measurement() {
    let shared = TestServer::shared().await;
    let description = shared.server().describe().await.expect("described");
    assert_eq!((description.kind, description.host), (ServerKind::Embedded, HostKind::Loopback));
    assert!(description.version.starts_with("PostgreSQL "), "{}", description.version);
    assert!(description.version_num >= 140_000);
    assert!(description.pgvector_version.is_some());
    for (name, expected) in [
        ("fsync", "off"),
        ("shared_buffers", "256MB"),
        ("shared_preload_libraries", "pg_stat_statements"),
        ("track_io_timing", "on"),
        ("synchronize_seqscans", "off"),
        ("data_checksums", "on"),
        ("server_encoding", "UTF8"),
        ("listen_addresses", "127.0.0.1"),
    ] {
        assert_eq!(description.settings.get(name).map(String::as_str), Some(expected), "{name}");
    }
    let json = serde_json::to_string(&description).expect("serializes");
    assert_eq!(serde_json::from_str::<ServerDescription>(&json).expect("parses"), description);
}

#[tokio::test]
async fn every_setting_of_pgduels_is_in_force() {
    let shared = TestServer::shared().await;
    let settings = shared.server().settings().to_vec();
    assert!(settings.len() > 10);
    let description = shared.server().describe().await.expect("described");
    for (name, value) in settings {
        assert_eq!(description.settings.get(&name), Some(&value), "{name}");
    }
}

#[tokio::test]
async fn an_external_server_is_reached_by_its_url() {
    let shared = TestServer::shared().await;
    let database = shared.fresh_database().await;
    let external = Server::from(ExternalServer::parse(&shared.url(&database)).expect("a URL"));
    let description = external.describe().await.expect("described");
    assert_eq!((description.kind, description.host), (ServerKind::External, HostKind::Loopback));
    // The layer below sqlx gets everything that it needs as well.
    external.conn_info(&database).connect().await.expect("connects");
}
