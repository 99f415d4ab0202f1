//! The pool: who waits for a connection, for how long, and how many are at work.

use std::time::Duration;

use pgduel::load::block::{BlockError, BlockResult, prepare};
use pgduel::record::{Arrivals, BlockLoad, Limits, Spacing, Stage, StageTimes};

use crate::outages::{Held, PATIENT, SECOND, SHORT, spec};
use crate::project::{Project, finish};
use crate::support::TestServer;

async fn run(held: &Held, sql: &str, load: BlockLoad, connections: u32) -> BlockResult {
    run_with(held, sql, load, connections, PATIENT).await
}

async fn run_with(held: &Held, sql: &str, load: BlockLoad, connections: u32, limits: Limits) -> BlockResult {
    let mut spec = spec(&held.server.conn_info(&held.database), sql, load, limits);
    spec.load.connections = connections;
    // One pool, whatever thread a connection belongs to.
    spec.threads = 3;
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
    let work = BlockLoad::new(Arrivals::Poisson { per_second: 240.0 }, SECOND, 10 * SECOND);
    let mut differences = Vec::new();
    // Where the machine stands still for a second at the end, what began before it is counted in one way and not in the other.
    while differences.len() < 3 {
        let result = run(&held, "select pg_sleep(0.02)", work.clone(), 8).await;
        let (looked_up, by_little) = (result.generator.busy.expect("somebody looked"), by_little(&result));
        assert!(looked_up.looks > 1_000, "{looked_up:?}");
        differences.push(looked_up.mean / by_little - 1.0);
        if differences.iter().any(|difference| difference.abs() < 0.05) {
            return;
        }
    }
    panic!("more or fewer at work than their times say, by {differences:?}");
}

#[tokio::test]
async fn a_load_that_was_stored_does_the_same_work_again() {
    let held = Held::new().await;
    let load = BlockLoad { seed: 7, ..BlockLoad::new(Arrivals::Poisson { per_second: 300.0 }, SECOND / 4, SECOND) };
    let stored = serde_json::to_string(&load).expect("it is data");
    let read: BlockLoad = serde_json::from_str(&stored).expect("it reads");
    assert_eq!(read, load);
    let first = run(&held, "select 1", load.clone(), 2).await.recording.accounting;
    let again = run(&held, "select 1", read, 2).await.recording.accounting;
    assert!(first.scheduled > 200 && first.scheduled != 300 && first == again, "{first:?} and {again:?}");
    let of_others = BlockLoad { mix: vec![1.0, 2.0], ..load };
    let refused = prepare(spec(&held.server.conn_info(&held.database), "select 1", of_others, PATIENT)).await;
    assert!(matches!(refused, Err(BlockError::OtherMix { weights: 2, transactions: 1 })));
}

#[tokio::test]
async fn five_hundred_connections_are_one_pool() {
    let held = Held::new().await;
    // 500 a second that take 0.5 s each.
    let work = BlockLoad::new(Arrivals::Constant { per_second: 500.0 }, SECOND, 6 * SECOND);
    let result = run(&held, "select pg_sleep(0.5)", work, 500).await;
    let accounting = result.recording.accounting;
    assert_eq!((accounting.scheduled, accounting.ok), (3_000, 3_000), "{accounting:?}");
    assert!(result.generator.busy.is_some_and(|busy| busy.mean > 200.0), "{:?}", result.generator.busy);
}

#[tokio::test]
async fn more_connections_than_the_server_allows_are_refused_before_anything_is_made() {
    let server = TestServer::shared().await;
    let project = Project::example();
    let arguments = ["run", "notes/list-notes", "--variant", "after", "--scale", "0.1", "--connections", "9000"];
    let finished = finish(project.pgduel(&arguments).arg("--out").arg(project.out()).env("DATABASE_URL", server.url("postgres")));
    let finished = finished.expect_code(2).expect_said("max_connections").expect_said("9005");
    assert!(!finished.says("seeding") && project.lines("block").is_empty(), "{}{}", finished.stdout, finished.stderr);
}

#[tokio::test]
async fn a_spike_is_told_apart_from_what_comes_before_and_after() {
    let held = Held::new().await;
    let stage = |rate, length: Duration| Stage { from_per_second: rate, to_per_second: rate, length_ns: length.as_nanos() as u64 };
    let stages = [stage(20.0, 2 * SECOND), stage(300.0, SECOND), stage(0.0, 2 * SECOND), stage(20.0, SECOND)];
    let length = 6 * SECOND;
    let arrivals = Arrivals::Stages { spacing: Spacing::Constant, stages: stages.into() };
    // Two connections serve a hundred a second at most, so the spike takes two seconds more.
    let work = BlockLoad::new(arrivals, Duration::ZERO, length);
    let recording = run(&held, "select pg_sleep(0.02)", work.clone(), 2).await.recording;
    let of_stages = |what: &dyn Fn(&StageTimes) -> u64| recording.stages.iter().map(what).collect::<Vec<u64>>();
    assert_eq!(of_stages(&|stage| stage.scheduled), [40, 300, 0, 20]);
    assert_eq!(of_stages(&|stage| stage.response.count()), [40, 300, 0, 20]);
    let waited = |stage: usize| recording.stages[stage].acquire.quantile(0.5).unwrap();
    let (spike, before_or_after) = (waited(1), waited(0).min(waited(3)));
    assert!(spike > 5e8 && spike > 10.0 * before_or_after, "{spike} in the spike, {before_or_after} before or after");

    // Those of the spike who wait for more than half a second give up; the others are not concerned.
    let mut spec = spec(&held.server.conn_info(&held.database), "select pg_sleep(0.02)", work, PATIENT);
    spec.load.limits.acquire_ns = Some(500_000_000);
    let recording = prepare(spec).await.expect("ready").run().await.expect("the block ends").recording;
    assert!(recording.accounting.balances() && recording.accounting.acquire_timeouts > 50, "{:?}", recording.accounting);
    let failed = recording.stages.iter().map(|stage| stage.failed).collect::<Vec<u64>>();
    assert_eq!(failed.iter().sum::<u64>(), recording.accounting.acquire_timeouts, "{failed:?}");
    assert!(failed[1] > 50 && failed[0].min(failed[3]) == 0, "{failed:?}");
}

#[tokio::test]
async fn stages_are_run_and_shown_and_are_the_same_on_both_sides_of_a_duel() {
    let server = TestServer::shared().await;
    let project = Project::example();
    let run = |arguments: &[&str]| {
        let usual = ["run", "notes/list-notes", "--variant", "after", "--scale", "0.1", "--seed", "3"];
        let mut command = project.pgduel(&[&usual, arguments].concat());
        finish(command.arg("--out").arg(project.path(arguments[0])).env("DATABASE_URL", server.url("postgres")))
    };
    let shown = run(&["--stages", "ramp:80:1s,spike:200:500ms,hold:40:1s"]).expect_code(0);
    let shown = shown.expect_said("0/s → 80.0/s in 1.00 s").expect_said("200/s for 500 ms").expect_said("40.0/s for 1.00 s");
    let counts: Vec<u64> = {
        let text = project.read("--stages/run.jsonl");
        let block = text.lines().find(|line| line.contains("\"line\":\"block\"")).expect("a block");
        let block: serde_json::Value = serde_json::from_str(block).expect("JSON");
        assert_eq!(block["accounting"]["scheduled"], block["accounting"]["ok"], "{}", shown.stdout);
        block["stages"].as_array().expect("stages").iter().map(|stage| stage["scheduled"].as_u64().expect("a count")).collect()
    };
    // Poisson, with a fixed seed.
    assert!((25..=60).contains(&counts[0]) && (70..=135).contains(&counts[1]) && (22..=62).contains(&counts[2]), "{counts:?}");
    run(&["--time", "5s", "--stages", "hold:40:1s"]).expect_code(2);
    run(&["--stages", "hold:40"]).expect_code(2).expect_said("such as ramp:400:10s");
    run(&["--stages", "hold:0:1s"]).expect_code(2).expect_said("nobody arrives");

    let text = project.read("scenarios/notes/list-notes.toml")
        + "\n[load]\nrate = { stages = [{ hold = 100, for = \"400ms\" }, { ramp = 300, for = \"400ms\" }] }\n";
    project.write("scenarios/notes/list-notes.toml", &text);
    run(&["--time", "5s"]).expect_code(2).expect_said("stages of notes/list-notes say how long");
    let mut duel = project.duel("notes/list-notes", &["--quick", "--scale", "0.1"]);
    finish(duel.env("DATABASE_URL", server.url("postgres"))).expect_said("list/newest p50");
    let report = project.read("out/report.md");
    assert!(report.contains("100/s for 400 ms, 100/s → 300/s in 400 ms"), "{report}");
    let blocks = project.lines("block");
    let of_stages = |block: &serde_json::Value| {
        block["stages"].as_array().expect("stages").iter().map(|stage| stage["scheduled"].clone()).collect::<Vec<_>>()
    };
    let of_arm = |arm: u64| blocks.iter().filter(|block| block["arm"] == arm && block["round"] == 0).map(of_stages).collect::<Vec<_>>();
    assert!(!of_arm(0).is_empty() && of_arm(0) == of_arm(1), "{:?} and {:?}", of_arm(0), of_arm(1));
    assert!(blocks.iter().all(|block| block["duration_ns"] == 800_000_000), "a block is as long as its stages");
}

#[tokio::test]
async fn users_think_between_an_answer_and_their_next_question() {
    let held = Held::new().await;
    let users = |users, think_ms: u64| BlockLoad::new(Arrivals::Users { users, think_ns: think_ms * 1_000_000 }, SECOND / 2, 3 * SECOND);
    // Ten users who think for 90 ms and are answered in 10 come to a hundred a second.
    let result = run(&held, "select pg_sleep(0.01)", users(10, 90), 10).await;
    let per_second = result.recording.accounting.ok as f64 / 3.0;
    assert!((10.0..=115.0).contains(&per_second), "{per_second}/s");
    // A pool of one serves a hundred a second at most, and a thousand users do not make its queue longer than a thousand.
    let result = run_with(&held, "select pg_sleep(0.01)", users(1_000, 10), 1, SHORT).await;
    let accounting = result.recording.accounting;
    let completed = result.recording.completed;
    assert!((30..=330).contains(&completed), "{completed} ended in three seconds of a hundred a second at most");
    assert!(accounting.ok <= 400 && accounting.in_flight + accounting.ok + accounting.dropped <= 1_400, "{accounting:?}");
    assert!(result.generator.busy.is_some_and(|busy| busy.mean > 0.9), "{:?}", result.generator.busy);
}

#[tokio::test]
async fn ten_thousand_users_share_a_pool() {
    let held = Held::new().await;
    let work = BlockLoad::new(Arrivals::Users { users: 10_000, think_ns: 5_000_000_000 }, SECOND / 2, 2 * SECOND);
    let result = run(&held, "select 1", work, 50).await;
    let accounting = result.recording.accounting;
    // Two thousand a second are asked for; what the machine has no time for waits.
    assert!(accounting.ok > 500, "{accounting:?}");
    assert_eq!((accounting.error, accounting.dropped), (0, 0));
}
