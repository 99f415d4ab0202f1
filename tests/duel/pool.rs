//! The pool: who waits for a connection, for how long, and how many are at work.

use std::time::Duration;

use pgduel::load::block::{BlockResult, Work, prepare};
use pgduel::load::schedule::Process;

use crate::outages::{Held, SECOND, SHORT, spec};

async fn run(held: &Held, sql: &str, work: Work, connections: u32) -> BlockResult {
    let mut spec = spec(&held.server.conn_info(&held.database), sql, work, SHORT);
    spec.connections = connections;
    let result = prepare(spec).await.expect("ready").run().await.expect("the block ends");
    assert!(result.recording.accounting.balances(), "{:?}", result.recording.accounting);
    result
}

/// Connections at work, by the times that were recorded.
fn by_little(result: &BlockResult) -> f64 {
    let service = &result.recording.transactions[0].service;
    service.mean().unwrap_or(0.0) * service.count() as f64 / result.duration.as_nanos() as f64
}

#[tokio::test]
async fn connections_at_work_are_as_many_as_their_times_say() {
    let held = Held::new().await;
    // 60% of eight connections, for ten seconds.
    let work = Work::Open { process: Process::Poisson(240.0), settle: SECOND, measure: 10 * SECOND };
    let result = run(&held, "select pg_sleep(0.02)", work, 8).await;
    let (looked_up, by_little) = (result.generator.busy.expect("somebody looked"), by_little(&result));
    assert!(looked_up.looks > 1_000, "{looked_up:?}");
    assert!((looked_up.mean / by_little - 1.0).abs() < 0.05, "{looked_up:?} at work, and {by_little} by their times");
}

#[tokio::test]
async fn users_think_between_an_answer_and_their_next_question() {
    let held = Held::new().await;
    let users = |users, think_ms| Work::Users { users, think: Duration::from_millis(think_ms), settle: SECOND / 2, measure: 3 * SECOND };
    // Ten users who think for 90 ms and are answered in 10 come to a hundred a second.
    let result = run(&held, "select pg_sleep(0.01)", users(10, 90), 10).await;
    let per_second = result.recording.accounting.ok as f64 / 3.0;
    assert!((70.0..=115.0).contains(&per_second), "{per_second}/s");
    // A pool of one serves a hundred a second at most, and a thousand users do not make its queue longer than a thousand.
    let result = run(&held, "select pg_sleep(0.01)", users(1_000, 10), 1).await;
    let accounting = result.recording.accounting;
    let completed = result.recording.completed;
    assert!((100..=330).contains(&completed), "{completed} ended in three seconds of a hundred a second at most");
    assert!(accounting.ok <= 400 && accounting.in_flight + accounting.ok + accounting.dropped <= 1_400, "{accounting:?}");
    assert!(result.generator.busy.is_some_and(|busy| busy.mean > 0.9), "{:?}", result.generator.busy);
}

#[tokio::test]
async fn ten_thousand_users_share_a_pool() {
    let held = Held::new().await;
    let work = Work::Users { users: 10_000, think: 5 * SECOND, settle: SECOND / 2, measure: 2 * SECOND };
    let result = run(&held, "select 1", work, 50).await;
    let accounting = result.recording.accounting;
    // Two thousand a second are asked for; what the machine has no time for waits.
    assert!(accounting.ok > 500, "{accounting:?}");
    assert_eq!((accounting.error, accounting.dropped), (0, 0));
}
