//! Transactions that fail while a block runs: each is counted once, for what it is, and the rest goes on.

use std::time::Duration;

use pgduel::load::block::{BlockResult, BlockSpec, prepare};
use pgduel::load::patience::BlockEnd;
use pgduel::record::{BlockLoad, Limits};
use sqlx::PgConnection;

use crate::outages::{CONNECTIONS, Held, PATIENT, SECOND, SHORT, fixed, open, spec};

const COUNT_UP: &str = "update held set x = x + 1";

/// A block's statement, on the table of `held` with one row, under these settings.
async fn block(held: &Held, sql: &str, load: BlockLoad, settings: &[(&str, &str)]) -> BlockSpec {
    let mut connection = held.server.connect(&held.database).await;
    sqlx::raw_sql("delete from held; insert into held values (0)").execute(&mut connection).await.expect("one row");
    let mut spec = spec(&held.server.conn_info(&held.database), sql, load, PATIENT);
    spec.target.settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    spec
}

async fn run(spec: BlockSpec) -> BlockResult {
    let result = prepare(spec).await.expect("ready").run().await.expect("the block ends");
    assert!(result.recording.accounting.balances(), "{:?}", result.recording.accounting);
    result
}

fn codes(result: &BlockResult) -> Vec<&str> {
    result.recording.errors.keys().map(String::as_str).collect()
}

async fn count(connection: &mut PgConnection) -> u64 {
    let sum: i64 = sqlx::query_scalar("select sum(x) from held").fetch_one(connection).await.expect("a sum");
    sum.try_into().expect("nothing counts down")
}

#[tokio::test]
async fn a_killed_backend_costs_one_transaction_and_is_replaced() {
    let held = Held::new().await;
    let spec = block(&held, "select pg_sleep(0.01)", fixed(200), &[]).await;
    let prepared = prepare(spec).await.expect("ready");
    let mut connection = held.server.connect(&held.database).await;
    tokio::spawn(async move {
        let one = "select pg_terminate_backend(pid) from pg_stat_activity \
                   where datname = current_database() and application_name = 'outage' and state = 'active' limit 1";
        while sqlx::query(one).fetch_optional(&mut connection).await.expect("a look").is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let result = prepared.run().await.expect("the block ends");
    let accounting = result.recording.accounting;
    assert_eq!((accounting.scheduled, accounting.ok, accounting.error), (200, 199, 1));
    assert_eq!((codes(&result), &result.end), (vec!["57P01"], &BlockEnd::Finished));
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_an_error_with_its_time() {
    let held = Held::new().await;
    let limit = [("statement_timeout", "500ms")];
    let result = run(block(&held, "select pg_sleep(10)", fixed(6), &limit).await).await;
    assert_eq!((result.recording.accounting.error, codes(&result)), (6, vec!["57014"]));
    let times = &result.recording.errors["57014"];
    assert!(times.quantile(0.0).is_some_and(|least| least >= 490e6), "{times:?}");
    assert!(result.recording.transactions[0].response.is_empty());
}

const REPEATABLE: [(&str, &str); 1] = [("default_transaction_isolation", "repeatable read")];

/// What the row has counted before the block: warming the connections counts too.
async fn conflicts(held: &Held, max_tries: u32) -> (BlockResult, u64) {
    let mut spec = block(held, COUNT_UP, fixed(400), &REPEATABLE).await;
    spec.load.limits.tries = max_tries;
    spec.load.connections = 8;
    let mut connection = held.server.connect(&held.database).await;
    let prepared = prepare(spec).await.expect("ready");
    let before = count(&mut connection).await;
    let result = prepared.run().await.expect("the block ends");
    assert!(result.recording.accounting.balances(), "{:?}", result.recording.accounting);
    let counted = count(&mut connection).await - before;
    (result, counted)
}

#[tokio::test]
async fn a_transaction_that_loses_is_an_error_unless_it_may_be_run_again() {
    let held = Held::new().await;
    let (result, counted) = conflicts(&held, 1).await;
    let accounting = result.recording.accounting;
    assert_eq!((accounting.scheduled, codes(&result)), (400, vec!["40001"]));
    assert!(accounting.error > 0 && counted == accounting.ok, "{accounting:?}, and the row counted {counted}");
    assert_eq!(result.recording.transactions[0].retries, 0);

    let (result, counted) = conflicts(&held, 100).await;
    assert_eq!((result.recording.accounting.ok, counted), (400, 400));
    let times = &result.recording.transactions[0];
    assert!(times.retries > 0 && times.retried.count() > 0, "{} runs again", times.retries);
    assert!(times.retries >= times.retried.count() && times.retried.count() < times.service.count());
    // The time of the runs that lost is in it: on the average more than that of those which won at once.
    assert!(times.retried.mean() > times.service.mean(), "{:?} and {:?}", times.retried.mean(), times.service.mean());
}

#[tokio::test]
async fn more_clients_than_the_server_takes_are_refused_by_name() {
    let held = Held::new().await;
    let database = &held.database;
    let mut connection = held.server.connect("postgres").await;
    let few = format!("create role few_{database} login password 'few' connection limit 1");
    sqlx::raw_sql(sqlx::AssertSqlSafe(few)).execute(&mut connection).await.expect("a role");
    let mut spec = block(&held, "select 1", fixed(10), &[]).await;
    spec.target.user = format!("few_{database}");
    spec.target.password = Some(pgduel::load::wire::Password::new("few"));
    let error = prepare(spec).await.expect_err("one connection is not two").to_string();
    assert!(error.contains("too many connections for role") && error.contains("53300"), "{error}");
    let gone = format!("drop role few_{database}");
    for _ in 0..100 {
        if sqlx::raw_sql(sqlx::AssertSqlSafe(gone.clone())).execute(&mut connection).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn who_waits_too_long_for_a_connection_gives_up() {
    let held = Held::new().await;
    let mut spec = block(&held, "select count(*) from held", open(100.0, 5 * SECOND), &[]).await;
    spec.load.limits.acquire_ns = Some(100_000_000);
    let prepared = prepare(spec).await.expect("ready");
    let lock = held.lock().await;
    tokio::spawn(async move {
        tokio::time::sleep(SECOND).await;
        drop(lock);
    });
    let result = prepared.run().await.expect("the block ends");
    let accounting = result.recording.accounting;
    assert!(accounting.balances(), "{accounting:?}");
    // Both connections wait for the lock, and those that were due in the first 0.9 s behind them have given up by its end.
    assert!(accounting.acquire_timeouts >= 60 && accounting.ok >= 60, "{accounting:?}");
    assert_eq!((accounting.scheduled, accounting.error, accounting.in_flight), (500, 0, 0));
    // None that was served had waited for longer.
    assert!(result.recording.transactions[0].acquire.max() < 110_000_000);
    assert!(accounting.ok >= u64::from(CONNECTIONS));
}

#[tokio::test]
async fn who_gave_up_before_the_end_is_not_in_flight() {
    let held = Held::new().await;
    let mut spec = block(&held, "select count(*) from held", open(25.0, 4 * SECOND), &[]).await;
    spec.load.limits.acquire_ns = Some(100_000_000);
    spec.load.limits = Limits { acquire_ns: spec.load.limits.acquire_ns, ..SHORT };
    let prepared = prepare(spec).await.expect("ready");
    let result = held.run_locked(prepared).await;
    let accounting = result.recording.accounting;
    assert_eq!((accounting.scheduled, accounting.in_flight, accounting.ok), (100, u64::from(CONNECTIONS), 0));
    assert_eq!(accounting.acquire_timeouts, 100 - u64::from(CONNECTIONS));
    assert_eq!(result.generator.lag.count(), 100, "how late they began is known of those who gave up too");
}
