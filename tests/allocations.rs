//! Once warm, a transaction allocates next to nothing: what the generator does with memory is not to be part of what it measures.

mod support;

use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use pgduel::dataset::{Dataset, Sizing};
use pgduel::diagnostic::Source;
use pgduel::experiment::connect_target;
use pgduel::load::bind::{Mix, SequenceRange};
use pgduel::load::event_loop;
use pgduel::load::program::Program;
use pgduel::load::session::{End, Session};
use pgduel::load::wire::ConnectTarget;
use pgduel::pgbench::client::{self, Client, QueryMode};
use pgduel::record::Arm;
use pgduel::script::evaluate::Variables;
use pgduel::script::random::Random;
use pgduel::script::{Script, Symbols};
use pgduel::{scenario, suite};
use support::TestServer;
use tokio::runtime::Runtime;

const WARM_UP: u64 = 200;
const TRANSACTIONS: u64 = 1_000;

/// A server with the roles that PostgREST becomes, and a way there.
async fn ready() -> (Arc<TestServer>, ConnectTarget) {
    let server = TestServer::shared().await;
    let database = server.fresh_database().await;
    let mut connection = server.connect(&database).await;
    let role = "do $$ begin create role authenticated nologin; exception when duplicate_object or unique_violation then null; end $$; \
                create table numbers as select i from generate_series(1, 1000) i; grant select on numbers to public; \
                create index on numbers (i); analyze numbers";
    sqlx::raw_sql(role).execute(&mut connection).await.expect("a role and a table");
    let target = connect_target(&server.conn_info(&database));
    (server, target)
}

/// With a thread of its own: this one runs the event loop, as load threads do.
fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// Allocations of this thread for each of the transactions that `run` makes, once it is warm. It takes how many, and connects first.
fn per_transaction(runtime: &Runtime, run: impl AsyncFn(u64)) -> f64 {
    let all = |transactions| {
        let counted = allocation_counter::measure(|| {
            event_loop::run(runtime.handle(), vec![Box::pin(run(transactions))]).expect("a loop");
        });
        counted.count_total as f64
    };
    (all(WARM_UP + TRANSACTIONS) - all(WARM_UP)) / TRANSACTIONS as f64
}

#[test]
fn a_transaction_as_postgrest_sends_it() {
    let runtime = runtime();
    let (_server, target) = runtime.block_on(ready());
    let text = "title = \"T\"\nduel = [\"before\", \"after\"]\n\n[[transaction]]\nname = \"only\"\nidentity = \"member\"\n\
                draw.i = { int = [1, 1000] }\n\n[[transaction.statement]]\nname = \"only\"\nsql = \"select i from numbers where i = :i\"\n";
    let scenario = scenario::parse("notes", "only", Path::new("only.toml"), text).expect("a scenario");
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/notes/seeds/notes");
    let model = suite::load(&root).expect("the example's suite").model;
    let dataset = Arc::new(Dataset::plan(model, Sizing { scale: 0.1, vectors: None, overlays: Vec::new() }, 1).expect("its data"));
    let mix = Mix::new(dataset.clone(), &scenario, 1).expect("something to draw");
    let program = Arc::new(Program::new(&scenario, Arm::BASELINE));
    // Under open load arrivals are drawn ahead, and by another thread; what a closed loop draws comes on top.
    let arrival = mix.arrival(SequenceRange::Round(0).first());
    let allocations = per_transaction(&runtime, async |transactions| {
        let mut session = Session::open(&target, program.clone(), dataset.now()).await.expect("a session");
        for _ in 0..transactions {
            session.run(&arrival, End::Commit, None).await.expect("an answer");
        }
    });
    assert!(allocations <= 1.0, "{allocations} allocations a transaction");
}

#[test]
fn a_transaction_of_a_script() {
    let runtime = runtime();
    let (_server, target) = runtime.block_on(ready());
    for mode in [QueryMode::Prepared, QueryMode::Simple] {
        let mut symbols = Symbols::new();
        let text = "\\set i random(1, 1000)\nbegin;\nselect i from numbers where i = :i;\nend;\n";
        let script = Script::read(&Source::new(Path::new("numbers.sql"), text), 1, &mut symbols).expect("a script");
        let program = client::Program::new(vec![script], symbols, mode);
        let allocations = per_transaction(&runtime, async |transactions| {
            let variables = Variables::new(&program.symbols);
            let client = Client::connect(&program, &target, variables, Random::new(1), Rc::default()).await;
            let mut client = client.expect("a client");
            for _ in 0..transactions {
                client.run(0, None).await.expect("an answer");
            }
        });
        assert!(allocations <= 1.0, "{mode:?}: {allocations} allocations a transaction");
    }
}
