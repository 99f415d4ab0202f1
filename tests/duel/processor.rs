//! Time that backends take on processors: of the load's backends, of all of them, and of nobody else.
//!
//! These servers are nobody else's. On a shared one sessions of other tests end all the time, and each might have been a parallel worker.
#![cfg(target_os = "linux")]

use std::sync::atomic::Ordering;
use std::time::Duration;

use pgduel::experiment::connect_target;
use pgduel::load::block::{BlockResult, BlockSpec, prepare};
use pgduel::load::network::RttProxy;
use pgduel::load::session::{End, Session};
use pgduel::record::{NoProcessorTime, ProcessorTime};
use pgduel::target::EmbeddedServer;

use crate::outages::{PATIENT, SECOND, fixed, open, spec};
use crate::project::{LIST, Project, finish};
use crate::support::OwnHome;

/// Some tens of milliseconds on a processor, most of them in debug builds too.
const BURN: &str = "select count(*) from generate_series(1, 200000) i where md5(i::text) like 'ab%'";
const SLEEP: &str = "select pg_sleep(0.05)";
/// A scan that is shared out.
const SCAN: &str = "select count(*) from wide where md5(x::text) like 'ab%'";
const SHARED_OUT: [(&str, &str); 4] = [
    ("parallel_setup_cost", "0"),
    ("parallel_tuple_cost", "0"),
    ("min_parallel_table_scan_size", "0"),
    ("max_parallel_workers_per_gather", "2"),
];

struct Own {
    home: OwnHome,
    server: EmbeddedServer,
}

impl Own {
    async fn start() -> Own {
        let home = OwnHome::new();
        let server = EmbeddedServer::start(&home.options()).await.expect("the server starts");
        Own { home, server }
    }

    fn spec(&self, sql: &str, transactions: u64) -> BlockSpec {
        spec(&self.server.conn_info("postgres"), sql, fixed(transactions), PATIENT)
    }

    async fn sql(&self, sql: &'static str) {
        let mut connection = self.server.conn_info("postgres").connect().await.expect("a connection");
        sqlx::raw_sql(sql).execute(&mut connection).await.expect("it runs");
        let _ = sqlx::Connection::close(connection).await;
    }

    async fn finish(self) {
        self.server.finish().await.expect("the server stops");
        drop(self.home);
    }
}

async fn run(spec: BlockSpec) -> BlockResult {
    prepare(spec).await.expect("ready").run().await.expect("the block ends")
}

/// Service times together, ns.
fn service(result: &BlockResult) -> f64 {
    let service = &result.recording.transactions[0].service;
    service.mean().expect("something ran") * service.count() as f64
}

/// What burns a processor is seen to have done so.
fn assert_burnt(result: &BlockResult) {
    let time = result.processor.expect("it is known");
    let (on, waiting, service) = (time.on_processor_ns as f64, time.waiting_ns as f64, service(result));
    assert!(on > service / 10.0 && on + waiting > service / 3.0 && on < service * 2.0, "{time:?} of {service} ns");
}

#[tokio::test]
async fn what_burns_has_a_processor_and_what_sleeps_has_none() {
    let own = Own::start().await;
    let burnt = run(own.spec(BURN, 20)).await;
    assert_eq!(burnt.finished, 20);
    assert_burnt(&burnt);
    let slept = run(own.spec(SLEEP, 20)).await;
    let time = slept.processor.expect("it is known");
    assert!(time.on_processor_ns > 0 && (time.on_processor_ns as f64) < service(&slept) / 10.0, "{time:?} of {} ns", service(&slept));

    // By any way there.
    let by_tcp = connect_target(&own.server.tcp_conn_info("postgres"));
    assert_burnt(&run(BlockSpec { target: by_tcp.clone(), ..own.spec(BURN, 5) }).await);
    for direct in [by_tcp, own.spec(BURN, 5).target] {
        let proxy = RttProxy::start(&direct, Duration::from_millis(1)).expect("a proxy");
        assert_burnt(&run(BlockSpec { target: proxy.route(&direct), ..own.spec(BURN, 5) }).await);
    }
    // Some of them on another thread, and some with nothing to do.
    let mut many = BlockSpec { threads: 2, ..own.spec(BURN, 3) };
    many.load.connections = 5;
    assert_burnt(&run(many).await);
    own.finish().await;
}

#[tokio::test]
async fn what_parallel_workers_did_is_not_left_out_in_silence() {
    let own = Own::start().await;
    own.sql("create table wide as select x from generate_series(1, 100000) x; analyze wide").await;
    assert_burnt(&run(own.spec(SCAN, 5)).await);
    let mut shared_out = own.spec(SCAN, 5);
    shared_out.target.settings.extend(SHARED_OUT.map(|(name, value)| (name.to_owned(), value.to_owned())));
    assert_eq!(run(shared_out.clone()).await.processor, Err(NoProcessorTime::ParallelWorkers));

    let now = shared_out.mix.dataset().now();
    let arrival = shared_out.mix.arrival(shared_out.load.first_sequence);
    for (target, known) in [(own.spec(SCAN, 5).target, true), (shared_out.target, false)] {
        let mut session = Session::open(&target, shared_out.program.clone(), now).await.expect("a session");
        session.meter_statements().await.expect("its process is found");
        session.run(&arrival, End::Rollback, None).await.expect("an answer");
        assert_eq!(session.metered_ns(0).is_some(), known);
        assert_eq!(session.metered_ns(1), None, "there is one statement");
        let service = session.statements_ns()[0];
        assert!(session.metered_ns(0).is_none_or(|ns| ns > service / 10 && ns < service * 2), "{:?} of {service}", session.metered_ns(0));
    }
    own.finish().await;
}

#[tokio::test]
async fn the_time_of_a_backend_that_ended_is_lost_with_it() {
    let own = Own::start().await;
    let prepared = prepare(spec(&own.server.conn_info("postgres"), SLEEP, open(20.0, 2 * SECOND), PATIENT)).await.expect("ready");
    let running = tokio::spawn(prepared.run());
    tokio::time::sleep(SECOND / 2).await;
    own.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'outage' limit 1").await;
    let result = running.await.expect("it runs").expect("the block ends");
    assert_eq!(result.processor, Err(NoProcessorTime::ConnectionLost));
    own.finish().await;
}

#[tokio::test]
async fn strangers_and_their_ends_change_nothing() {
    let own = Own::start().await;
    let spec = own.spec(SLEEP, 1_000_000);
    let stop = spec.stop.clone();
    let running = tokio::spawn(prepare(spec).await.expect("ready").run());
    own.sql("select count(*) from generate_series(1, 500000) i where md5(i::text) like 'ab%'").await;
    // For the postmaster to see that the session has ended, which is given all of its time then.
    tokio::time::sleep(SECOND / 2).await;
    stop.store(true, Ordering::Relaxed);
    let result = running.await.expect("it runs").expect("the block ends");
    let ProcessorTime { on_processor_ns, .. } = result.processor.expect("it is known");
    assert!((on_processor_ns as f64) < service(&result) / 10.0, "{on_processor_ns} of {} ns", service(&result));
    own.finish().await;
}

#[tokio::test]
async fn a_run_tells_it() {
    let own = Own::start().await;
    let project = Project::with_scenario(["before", "after"], "", LIST);
    let info = own.server.tcp_conn_info("postgres");
    let password = info.password.as_ref().map(|password| password.expose().to_owned()).unwrap_or_default();
    let url = format!("postgres://{}:{password}@{}/postgres?sslmode=disable", info.user, info.endpoint);
    let mut command = project.pgduel(&["run", "notes/planted", "--variant", "before", "--time", "2s", "--scale", "0.1", "--out"]);
    let shown = finish(command.arg(project.out()).env("DATABASE_URL", &url)).expect_code(0);
    let blocks = project.lines("block");
    let server = &blocks[0]["server"];
    assert!(server["processor"]["on_processor_ns"].as_u64() > Some(0), "{server}");
    shown.expect_said("on a processor").expect_said("waiting for one, a transaction");
    own.finish().await;
}
