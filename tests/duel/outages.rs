//! Blocks that would never end by themselves: statements that wait for a lock, servers that restart or go away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use pgduel::dataset::{Dataset, Sizing};
use pgduel::load::bind::{Mix, SequenceRange};
use pgduel::load::block::{BlockResult, BlockSpec, Prepared, prepare};
use pgduel::load::patience::BlockEnd;
use pgduel::load::program::Program;
use pgduel::load::wire::{ConnectTarget, Host, Password, SslMode};
use pgduel::record::{Arm, Arrivals, BlockLoad, Limits, NoProcessorTime};
use pgduel::target::{ConnInfo, EmbeddedServer, Endpoint};
use pgduel::{scenario, suite};
use rustix::process::{Pid, Signal, kill_process};
use sqlx::PgConnection;
use tokio::task::JoinHandle;

use crate::project::{LIST, Project, Running};
use crate::signals::server_of;
use crate::support::{OwnHome, TestServer};

pub const CONNECTIONS: u32 = 2;
pub const SECOND: Duration = Duration::from_secs(1);
/// What is begun also ends, however slow the machine of the tests is.
pub const PATIENT: Limits = Limits {
    acquire_ns: None,
    tries: 1,
    drain_ns: 60_000_000_000,
    stop_ns: 1_000_000_000,
    outage_ns: 60_000_000_000,
    transaction_ns: 600_000_000_000,
};
/// For what never ends: no test shall wait for the real ones.
pub const SHORT: Limits = Limits { drain_ns: 1_000_000_000, outage_ns: 1_000_000_000, ..PATIENT };

fn target(info: &ConnInfo) -> ConnectTarget {
    let Endpoint::Socket { directory, port } = &info.endpoint else { panic!("an embedded server has a socket") };
    ConnectTarget {
        host: Host::Unix(directory.clone()),
        port: *port,
        user: info.user.clone(),
        password: info.password.as_ref().map(|password| Password::new(password.expose())),
        database: info.database.clone(),
        application_name: "outage".to_owned(),
        settings: Vec::new(),
        ssl_mode: SslMode::Disable,
        certificate_name: None,
        authorities: None,
    }
}

/// A block of one transaction with one statement.
pub fn spec(info: &ConnInfo, sql: &str, load: BlockLoad, limits: Limits) -> BlockSpec {
    let writes = if sql.starts_with("update") { "writes = true\n" } else { "" };
    let transaction =
        format!("[[transaction]]\nname = \"only\"\nidentity = \"none\"\n{writes}\n[[transaction.statement]]\nname = \"only\"");
    let project = Project::with_scenario(["before", "after"], "", &format!("{transaction}\nsql = \"{sql}\"\n"));
    let scenario = scenario::load(&project.path(""), "notes/planted").expect("the scenario");
    let model = suite::load(&project.path("seeds/notes")).expect("the example's suite").model;
    let dataset = Dataset::plan(model, Sizing { scale: 0.1, vectors: None, overlays: Vec::new() }, 1).expect("the example's data");
    let (warm_up_sequence, first_sequence) = (SequenceRange::WarmUp(0).first(), SequenceRange::Round(0).first());
    let pooled = BlockLoad { connections: CONNECTIONS, limits, seed: 1, count_busy: true, ..load };
    BlockSpec {
        load: BlockLoad { warm_up: 1, warm_up_sequence, first_sequence, ..pooled },
        target: target(info),
        program: Arc::new(Program::new(&scenario, Arm::BASELINE)),
        mix: Arc::new(Mix::new(Arc::new(dataset), &scenario, 1).expect("nothing to draw")),
        threads: 1,
        stop: Arc::new(AtomicBool::new(false)),
    }
}

pub fn open(per_second: f64, measure: Duration) -> BlockLoad {
    BlockLoad::new(Arrivals::Constant { per_second }, Duration::ZERO, measure)
}

pub fn fixed(transactions: u64) -> BlockLoad {
    BlockLoad::new(Arrivals::Work { transactions }, Duration::ZERO, Duration::ZERO)
}

/// A table of its own for `count(*)`, so that a block waits whenever the table is locked.
pub struct Held {
    pub server: Arc<TestServer>,
    pub database: String,
}

const COUNT: &str = "select count(*) from held";

impl Held {
    pub async fn new() -> Held {
        let server = TestServer::shared().await;
        let database = server.fresh_database().await;
        let mut connection = server.connect(&database).await;
        sqlx::raw_sql("create table held (x int)").execute(&mut connection).await.expect("a table");
        Held { server, database }
    }

    fn spec(&self, load: BlockLoad, limits: Limits) -> BlockSpec {
        spec(&self.server.conn_info(&self.database), COUNT, load, limits)
    }

    /// Locked until the connection is dropped.
    pub async fn lock(&self) -> PgConnection {
        let mut connection = self.server.connect(&self.database).await;
        sqlx::raw_sql("begin; lock table held in access exclusive mode").execute(&mut connection).await.expect("locked");
        connection
    }

    /// Stops a block, as a signal does, as soon as all its sessions wait for the table.
    async fn stop_when_all_wait(&self, spec: &BlockSpec) -> JoinHandle<()> {
        let mut connection = self.server.connect(&self.database).await;
        let stop = spec.stop.clone();
        tokio::spawn(async move {
            let waiting = "select count(*) from pg_stat_activity \
                           where datname = current_database() and application_name = 'outage' and wait_event_type = 'Lock'";
            while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&mut connection).await.expect("a count") < i64::from(CONNECTIONS) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            stop.store(true, Ordering::Relaxed);
        })
    }

    /// Runs what is ready while the table is locked, and sees to it that the server is left with nothing to do.
    pub async fn run_locked(&self, prepared: Prepared) -> BlockResult {
        let mut lock = self.lock().await;
        let result = prepared.run().await.expect("the block ends");
        assert!(result.recording.accounting.balances(), "{:?}", result.recording.accounting);
        let waiting = "select count(*) from pg_stat_activity where datname = current_database() and application_name = 'outage'";
        let mut left = 1_i64;
        for _ in 0..200 {
            sqlx::raw_sql("select pg_stat_clear_snapshot()").execute(&mut lock).await.expect("a look");
            left = sqlx::query_scalar(waiting).fetch_one(&mut lock).await.expect("a count");
            if left == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(left, 0, "sessions are left on the server");
        result
    }
}

#[tokio::test]
async fn an_open_loop_gives_up_on_what_does_not_end_and_leaves_nothing_running() {
    let held = Held::new().await;
    let prepared = prepare(held.spec(open(100.0, SECOND / 5), SHORT)).await.expect("ready");
    let result = held.run_locked(prepared).await;
    let accounting = result.recording.accounting;
    assert_eq!((accounting.scheduled, accounting.ok, accounting.in_flight), (20, 0, 20));
    assert_eq!(result.end, BlockEnd::Finished);
    assert_eq!(result.generator.lag.count(), 20, "how late they began is known of all");
    assert_eq!(result.generator.achieved_share, 0.0, "what was offered and not answered is told");
    if cfg!(target_os = "linux") {
        assert_eq!(result.processor, Err(NoProcessorTime::Unfinished));
    }
}

#[tokio::test]
async fn a_closed_loop_does_too() {
    let held = Held::new().await;
    let prepared = prepare(held.spec(BlockLoad::new(Arrivals::Closed, Duration::ZERO, SECOND / 5), SHORT)).await.expect("ready");
    let result = held.run_locked(prepared).await;
    assert_eq!((result.recording.accounting.ok, result.recording.accounting.in_flight), (0, u64::from(CONNECTIONS)));
}

#[tokio::test]
async fn fixed_work_ends_with_a_transaction_that_takes_far_too_long() {
    let held = Held::new().await;
    // Opening a connection is a matter of patience too.
    let patience = Limits { transaction_ns: 5_000_000_000, ..SHORT };
    let prepared = prepare(held.spec(fixed(50), patience)).await.expect("ready");
    let result = held.run_locked(prepared).await;
    assert_eq!(result.end, BlockEnd::Overrun { limit: 5 * SECOND });
    assert_eq!(result.recording.accounting.in_flight, u64::from(CONNECTIONS));
}

#[tokio::test]
async fn one_signal_is_enough_though_nothing_ends() {
    let held = Held::new().await;
    let spec = held.spec(fixed(50), SHORT);
    let stop = held.stop_when_all_wait(&spec).await;
    let result = held.run_locked(prepare(spec).await.expect("ready")).await;
    stop.await.expect("all waited");
    assert_eq!(result.end, BlockEnd::Interrupted);
    assert_eq!(result.recording.accounting.in_flight, u64::from(CONNECTIONS));
}

#[tokio::test]
async fn an_interrupted_open_loop_accounts_for_all_that_was_due() {
    let held = Held::new().await;
    let spec = held.spec(open(100.0, Duration::from_secs(600)), SHORT);
    let stop = held.stop_when_all_wait(&spec).await;
    let result = held.run_locked(prepare(spec).await.expect("ready")).await;
    stop.await.expect("all waited");
    let accounting = result.recording.accounting;
    assert_eq!((&result.end, accounting.scheduled, accounting.ok), (&BlockEnd::Interrupted, 60_000, 0));
    // Those due before the signal wait, or run; those after it never came.
    assert!(accounting.in_flight >= u64::from(CONNECTIONS) && accounting.dropped > 0, "{accounting:?}");
    assert_eq!(result.generator.lag.count(), accounting.in_flight);
}

#[tokio::test]
async fn one_signal_is_enough_before_a_block_begins() {
    let held = Held::new().await;
    let _lock = held.lock().await;
    let spec = held.spec(fixed(50), SHORT);
    let stop = spec.stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(SECOND / 5).await;
        stop.store(true, Ordering::Relaxed);
    });
    let result = prepare(spec).await.expect("stopping is no error").run().await.expect("the block ends");
    assert_eq!((result.end, result.recording.accounting.scheduled), (BlockEnd::Interrupted, 0));
}

#[tokio::test]
async fn a_rate_that_keeps_the_scheduler_busy_is_seen() {
    let held = Held::new().await;
    // The load threads have nothing to do: all that they run waits.
    let prepared = prepare(held.spec(open(1e6, SECOND / 5), SHORT)).await.expect("ready");
    let result = held.run_locked(prepared).await;
    // A thread that has no time to wait is busy all the time, or is kept from it and late.
    let late = result.generator.lag.quantile(0.99).unwrap_or(0.0) > 1e6;
    assert!(result.generator.cpu_share > 0.7 || late, "{:?}", result.generator);
}

/// Lets a server do something to itself shortly after load began.
fn shortly(pid: i32, signal: Signal) {
    tokio::spawn(async move {
        tokio::time::sleep(SECOND / 2).await;
        kill_process(Pid::from_raw(pid).expect("a process"), signal).expect("it takes the signal");
    });
}

/// The process of one of the block's sessions.
async fn a_session(info: &ConnInfo) -> i32 {
    let mut connection = info.connect().await.expect("a connection");
    let one = "select pid from pg_stat_activity where application_name = 'outage' limit 1";
    sqlx::query_scalar(one).fetch_one(&mut connection).await.expect("a session")
}

const SLEEP: &str = "select pg_sleep(0.01)";

#[tokio::test]
async fn a_server_that_restarts_is_survived() {
    let home = OwnHome::new();
    let server = EmbeddedServer::start(&home.options()).await.expect("the server starts");
    let info = server.conn_info("postgres");
    let patient = Limits { drain_ns: 120_000_000_000, outage_ns: 120_000_000_000, ..SHORT };
    for work in [fixed(300), open(50.0, 2 * SECOND)] {
        let prepared = prepare(spec(&info, SLEEP, work, patient.clone())).await.expect("ready");
        // A backend that is killed takes all others with it: the server starts anew.
        shortly(a_session(&info).await, Signal::KILL);
        let result = prepared.run().await.expect("the block ends");
        let accounting = result.recording.accounting;
        assert_eq!((&result.end, accounting.scheduled > 50), (&BlockEnd::Finished, true));
        assert!(accounting.balances() && accounting.ok > accounting.error && accounting.error >= 1, "{accounting:?}");
        assert_eq!((accounting.dropped, accounting.in_flight), (0, 0));
        // What came next waited for a connection, for the shortest back-off at least.
        assert!(result.recording.transactions[0].acquire.max() > 5_000_000);
    }
    server.finish().await.expect("the server stops");
}

#[tokio::test]
async fn a_server_that_goes_away_ends_the_block() {
    let home = OwnHome::new();
    for work in [fixed(100_000), open(50.0, Duration::from_secs(600))] {
        let server = EmbeddedServer::start(&home.options()).await.expect("the server starts");
        let prepared = prepare(spec(&server.conn_info("postgres"), SLEEP, work.clone(), SHORT)).await.expect("ready");
        shortly(server.pid(), Signal::QUIT);
        let result = prepared.run().await.expect("the block ends");
        let accounting = result.recording.accounting;
        assert!(matches!(result.end, BlockEnd::ServerGone { .. }), "{:?}", result.end);
        assert!(accounting.balances() && accounting.error >= 1, "{accounting:?}");
        if work.arrivals.is_work() {
            assert!(accounting.scheduled < 100_000 && accounting.error <= 10, "what had not begun is not counted: {accounting:?}");
        }
    }
}

/// A process of the server that works for a database whose name begins so.
fn backend_of(postmaster: Pid, database: &str) -> Option<Pid> {
    let postmaster = postmaster.as_raw_nonzero();
    let children = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children")).expect("its children");
    let title = |pid: &&str| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let pid = children.split_whitespace().find(|pid| title(pid).contains(database))?;
    Pid::from_raw(pid.parse().ok()?)
}

#[test]
fn a_restart_costs_the_block_and_not_the_run() {
    let home = OwnHome::new();
    let project = Project::with_scenario(["before", "after"], "", LIST);
    let mut command = project.pgduel(&["run", "notes/planted", "--variant", "before", "--time", "20s", "--scale", "0.1", "--fsync", "off"]);
    let mut run = Running::start(command.arg("--out").arg(project.out()).env("PGDUEL_HOME", home.path()));
    run.until_said(" on before for");
    // Connections are opened and warmed first, and load runs for a while before it is measured.
    std::thread::sleep(Duration::from_secs(8));
    let mut killed = None;
    run.until("a backend", || {
        killed = backend_of(server_of(&home), "pgduel_r_");
        killed.is_some()
    });
    kill_process(killed.expect("a backend"), Signal::KILL).expect("it takes the signal");
    let finished = run.finish();
    let blocks = project.lines("block");
    assert_eq!(blocks.len(), 1, "{}{}", finished.stdout, finished.stderr);
    assert_eq!(blocks[0]["discard"]["reason"], "server-restarted");
    assert!(blocks[0]["accounting"]["error"].as_u64() >= Some(1), "{}", blocks[0]["accounting"]);
    assert_eq!(project.lines("scenario-end").pop().expect("the scenario's end")["stop"]["why"], "budget");
}
