//! Scripts of pgbench as transactions of a scenario: they duel, and what they did can be counted.

use pgduel::pgbench::builtin::BUILTINS;

use crate::project::{Project, finish};
use crate::support::TestServer;

/// pgbench's tables at scale 1, out of reach of the API's roles.
const TABLES: &str = r"
create table pgbench_branches as select bid, 0 as bbalance from generate_series(1, 1) as bid;
create table pgbench_tellers as select tid, 1 as bid, 0 as tbalance from generate_series(1, 10) as tid;
create table pgbench_accounts as select aid, 1 as bid, 0 as abalance from generate_series(1, 100000) as aid;
create table pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp);
revoke all on pgbench_branches, pgbench_tellers, pgbench_accounts, pgbench_history from anon, authenticated, service_role;
grant all on pgbench_branches, pgbench_tellers, pgbench_accounts, pgbench_history to notes_app;
";
const BRANCHES: &str = r"\set aid random(1, 100000)
\if :aid % 2 = 0
SELECT bid, abalance FROM pgbench_accounts WHERE aid = :aid \gset a_
SELECT count(*) FROM pgbench_tellers WHERE bid = :a_bid;
\else
\sleep 1 ms
SELECT tbalance FROM pgbench_tellers WHERE tid = 1 + :aid % 10;
\endif
";

fn project(transactions: &str) -> Project {
    let project = Project::with_scenario(["tables", "keyed"], "", transactions).variant("tables", "before", TABLES).variant(
        "keyed",
        "tables",
        "alter table pgbench_accounts add primary key (aid);",
    );
    project.names_a_login();
    project.write("scenarios/notes/tpcb.sql", BUILTINS[0].text);
    project.write("scenarios/notes/branches.sql", BRANCHES);
    project
}

#[tokio::test]
async fn an_old_script_duels_unchanged() {
    let server = TestServer::shared().await;
    let transactions = "[[transaction]]\nname = \"tpcb\"\nscript = \"tpcb.sql\"\nwrites = true\nvariables = { scale = 1 }\n";
    let project = project(transactions);
    let mut duel = project.duel("notes/planted", &["--quick", "--scale", "0.1"]);
    finish(duel.env("DATABASE_URL", server.url("postgres"))).expect_code(0).expect_said("tpcb/update-6").expect_said("improved");
    let names: Vec<String> = project.lines("scenario")[0]["transactions"][0]["statements"][0]
        .as_array()
        .expect("statements")
        .iter()
        .map(|statement| statement["name"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(names, ["begin-5", "update-6", "select-7", "update-8", "update-9", "insert-10", "end-11"]);
    // Only what has a plan is explained, with the values that the script reckons.
    let explained: Vec<String> =
        project.lines("evidence").iter().map(|line| line["statement"].as_str().expect("a name").to_owned()).collect();
    assert!(explained.contains(&"tpcb/select-7".to_owned()) && !explained.contains(&"tpcb/begin-5".to_owned()), "{explained:?}");
    let gate = |statement: &str| {
        let report: serde_json::Value = serde_json::from_str(&project.read("out/report.json")).expect("JSON");
        let metrics = report["comparison"]["scenarios"][0]["metrics"].as_array().cloned().unwrap_or_default();
        let of_statement = metrics.iter().find(|metric| metric["statement"] == statement);
        of_statement.map(|metric| metric["gate"]["kind"].as_str().unwrap_or_default().to_owned())
    };
    let gates = ["update-6", "begin-5", "end-11"].map(gate);
    assert_eq!(gates, ["gated", "shown", "shown"].map(|kind| Some(kind.to_owned())), "what begins and ends a transaction is shown only");
    let blocks = project.lines("block");
    let errors: u64 = blocks.iter().map(|block| block["accounting"]["error"].as_u64().expect("a count")).sum();
    assert!(errors == 0 && !blocks.is_empty(), "{errors} errors in {} blocks", blocks.len());
}

#[tokio::test]
async fn a_branch_that_is_not_taken_has_no_times_and_what_gset_takes_goes_on() {
    let server = TestServer::shared().await;
    let project = project("[[transaction]]\nname = \"look\"\nscript = \"branches.sql\"\n");
    let mut duel = project.duel("notes/planted", &["--quick", "--scale", "0.1"]);
    let finished = finish(duel.env("DATABASE_URL", server.url("postgres")));
    assert_eq!(finished.code, Some(0), "{}\n{}", finished.stdout, finished.stderr);
    let blocks = project.lines("block");
    assert!(!blocks.is_empty());
    for block in blocks {
        let count = |statement: &str| {
            let text = block["statements"][format!("look/{statement}")].as_str().expect("a histogram");
            serde_json::from_value::<pgduel::record::Histogram>(text.into()).expect("a histogram").count()
        };
        let done = block["accounting"]["ok"].as_u64().expect("a count");
        assert_eq!((count("select-3"), count("select-3") + count("select-7")), (count("select-4"), done));
        assert!(count("select-7") > 0 && count("select-4") > 0, "both branches are taken among {done}");
    }
}

#[tokio::test]
async fn a_script_that_postgresql_rejects_is_told_with_its_line() {
    let server = TestServer::shared().await;
    let project = project("[[transaction]]\nname = \"look\"\nscript = \"wrong.sql\"\n");
    project.write("scenarios/notes/wrong.sql", "\\set aid 1\nSELECT 1;\nSELECT abalance\n  FROM pgbench_acounts WHERE aid = :aid;\n");
    let mut duel = project.duel("notes/planted", &["--quick", "--scale", "0.1"]);
    finish(duel.env("DATABASE_URL", server.url("postgres"))).expect_code(4).expect_said("wrong.sql:4: tables, look/select-3");
}

#[tokio::test]
async fn a_script_that_leaves_its_transaction_open_fails_instead_of_swallowing_the_rest() {
    let server = TestServer::shared().await;
    let project = project("[[transaction]]\nname = \"open\"\nscript = \"open.sql\"\n");
    project.write("scenarios/notes/open.sql", "BEGIN; SELECT 1; SELECT 2;\n");
    let names = |line: &serde_json::Value| line["transactions"][0]["statements"][0].as_array().expect("statements").clone();
    let mut duel = project.duel("notes/planted", &["--quick", "--scale", "0.1"]);
    finish(duel.env("DATABASE_URL", server.url("postgres"))).expect_code(4);
    let found: Vec<_> =
        names(&project.lines("scenario")[0]).iter().map(|one| one["name"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(found, ["begin-1", "select-1", "select-1-2"], "several statements may stand in one line");
    for block in project.lines("block") {
        assert_eq!(block["accounting"]["ok"], 0);
        assert!(block["errors"]["script"].is_string(), "{block}");
    }
}
