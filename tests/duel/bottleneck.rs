//! A generator that is the bottleneck says so; one that is disturbed says so too, and its rounds count.

use std::time::Duration;

use pgduel::load::block::prepare;
use pgduel::load::wire::Host;
use pgduel::record::Histogram;
use pgduel::record::{Arrivals, BlockLoad};
use rustix::process::Signal;

use crate::course::OPEN;
use crate::nothing::answer_at_once;
use crate::outages::{Held, SECOND, SHORT, spec};
use crate::project::{Project, Running};
use crate::support::TestServer;

/// More than any machine can begin in a second.
const FAR_TOO_MANY: f64 = 1e6;

#[tokio::test]
async fn a_rate_that_the_generator_cannot_offer_is_its_own_fault() {
    let held = Held::new().await;
    let measure = SECOND / 4;
    let work = BlockLoad::new(Arrivals::Constant { per_second: FAR_TOO_MANY }, Duration::ZERO, measure);
    let mut spec = spec(&held.server.conn_info(&held.database), "select 1", work, SHORT);
    // A server that takes no time at all: whatever is late, is late for the generator.
    spec.target.host = Host::Tcp("127.0.0.1".to_owned());
    spec.target.port = answer_at_once().expect("a port");
    let result = prepare(spec).await.expect("ready").run().await.expect("the block ends");
    let generator = &result.generator;
    let lag_p99 = generator.lag.quantile(0.99).unwrap_or(0.0);
    assert!(result.recording.accounting.balances(), "{:?}", result.recording.accounting);
    assert!(lag_p99 > 1e6 || generator.cpu_share > 0.7 || generator.achieved_share < 0.99, "{generator:?}");
}

/// Stopped for 40 ms again and again, as on a machine that others use: there is no pair without a stall.
#[tokio::test]
async fn a_generator_that_stands_still_costs_no_pair() {
    let server = TestServer::shared().await;
    let project = Project::example();
    project.write("scenarios/notes/open.toml", OPEN);
    let mut command = project.duel("notes/open", &["--scale", "0.1", "--quick"]);
    let mut run = Running::start(command.env("DATABASE_URL", server.url("postgres")));
    while run.is_running() {
        run.signal(Signal::STOP);
        std::thread::sleep(Duration::from_millis(40));
        run.signal(Signal::CONT);
        std::thread::sleep(Duration::from_millis(160));
    }
    let finished = run.finish().expect_said("blocks of the run were disturbed");
    assert!(matches!(finished.code, Some(0 | 1)), "{:?}: {}", finished.code, finished.stdout);
    let why = project.lines("scenario-end")[0]["stop"]["why"].clone();
    assert!(why == "precise" || why == "rounds", "{why}");
    let blocks = project.lines("block");
    // Others write to this server: their checkpoints may cost a pair.
    let kept = blocks.iter().filter(|block| block["discard"].is_null()).count();
    let generators: Vec<_> = blocks.iter().filter(|block| block["discard"]["reason"] == "not-offered").collect();
    assert!(kept >= 24 && generators.is_empty(), "{kept} of {} blocks: {generators:?}", blocks.len());
    // Both are seen: that load threads stood still, and that arrivals were late for it.
    let most = |key: &str| project.lines("block").iter().filter_map(|block| block["generator"][key].as_u64()).max();
    assert!(most("longest_stall_ns") >= Some(30_000_000), "{:?}", most("longest_stall_ns"));
    let late = |block: &serde_json::Value| serde_json::from_value::<Histogram>(block["generator"]["lag"].clone()).expect("lags").max();
    let latest = project.lines("block").iter().map(late).max();
    assert!(latest >= Some(20_000_000), "{latest:?}");
}
