//! What is called improved, regressed, or neither.

use std::path::Path;

use crate::project::{Project, finish};
use crate::support::TestServer;

/// Full size, so that reading every note takes ten times as long as reading twenty.
const QUICK: [&str; 1] = ["--quick"];
const DROP_INDEX: &str = "drop index notes_workspace_newest;";
const LIST: &str = r#"
[[transaction]]
name     = "list"
identity = "member"
draw.workspace = "tenant"

[[transaction.statement]]
name = "newest"
sql  = "select id, title from notes where workspace_id = :workspace order by created_at desc, id limit 20"
"#;

/// Verdicts on medians and 95th percentiles; processor time is known on Linux alone.
fn verdicts(project: &Project) -> Vec<String> {
    let text = std::fs::read_to_string(project.out().join("report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let scenarios = report["comparison"]["scenarios"].as_array().expect("scenarios");
    let metrics = scenarios.iter().flat_map(|scenario| scenario["metrics"].as_array().cloned().unwrap_or_default());
    metrics
        .filter(|metric| metric["gate"]["kind"] == "gated" && metric["quantity"] != "processor")
        .map(|metric| metric["verdict"].as_str().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn the_example_improves_as_it_says() {
    let project = Project::example();
    finish(&mut project.duel("notes/list-notes", &QUICK)).expect_code(0).expect_said("▲ improved");
    assert_eq!(verdicts(&project), ["improved"]);
    assert!(project.lines("check").iter().all(|check| check["outcome"] == "passed"), "{:?}", project.lines("check"));
    assert!(project.lines("check").iter().any(|check| check["kind"] == "plan"), "plan-has was looked at");
    let counted: Vec<_> = project.lines("evidence").into_iter().map(|line| line["statistics"].clone()).collect();
    assert_eq!(counted.len(), 2, "a statement on two arms");
    for statistics in &counted {
        let timed = statistics["processor_ns"].as_u64() > Some(0) || !cfg!(target_os = "linux");
        assert!(timed, "it is no parallel query: {statistics}");
        assert_eq!(statistics["calls"], statistics["transactions"], "one execution a transaction: {statistics}");
        assert!(statistics["calls"].as_u64() > Some(0) && statistics["execution_ns"].as_u64() > Some(0), "{statistics}");
    }
    let blocks = |arm: usize| counted[arm]["blocks_hit"].as_f64().unwrap_or(0.0) / counted[arm]["calls"].as_f64().unwrap_or(1.0);
    assert!(blocks(0) > 2.0 * blocks(1), "before reads all notes, after twenty: {counted:?}");
}

#[tokio::test]
async fn every_scenario_of_the_example_passes_lint_and_checks() {
    let server = TestServer::shared().await;
    let project = Project::example();
    finish(&mut project.pgduel(&["lint"])).expect_code(0);
    let mut command = project.duel("notes", &["--checks-only", "--scale", "0.1"]);
    finish(command.env("DATABASE_URL", server.url("postgres"))).expect_code(0);
    let ended = project.lines("scenario-end");
    assert_eq!(ended.len(), 2);
    assert!(ended.iter().all(|end| end["stop"]["why"] == "checks-only"), "{ended:?}");
}

/// The leak that the walk-through plants is caught as it says.
#[tokio::test]
async fn the_walk_through_shows_files_of_the_example_and_its_leak_is_caught() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("docs/your-own-suite.md")).expect("the page");
    let project = Project::example();
    let mut files = String::new();
    for folder in ["seeds/notes", "scenarios/notes"] {
        for entry in std::fs::read_dir(project.path(folder)).expect("a folder of the example") {
            files += &std::fs::read_to_string(entry.expect("an entry").path()).expect("a file of the example");
        }
    }
    let blocks = |language: &str| {
        let open = format!("```{language}\n");
        let parts: Vec<&str> = page.split(open.as_str()).skip(1).filter_map(|part| part.split("```").next()).collect();
        parts
    };
    for block in blocks("toml").into_iter().chain(blocks("sql")) {
        assert!(files.contains(block), "not in the example:\n{block}");
    }
    let leak = blocks("text").pop().expect("the planted leak");
    let after = project.read("seeds/notes/after.sql") + leak;
    project.write("seeds/notes/after.sql", &after);
    let server = TestServer::shared().await;
    let mut command = project.duel("notes/list-notes", &["--checks-only", "--scale", "0.1"]);
    let run = finish(command.env("DATABASE_URL", server.url("postgres")));
    run.expect_code(6).expect_said("leak: sees").expect_said("foreign row");
}

#[test]
fn a_variant_against_itself_shows_no_difference() {
    let project = Project::with_scenario(["after", "before"], "", LIST);
    finish(&mut project.duel("notes/planted", &["--quick", "--aa", "--scale", "0.1"])).expect_code(0);
    assert!(project.lines("variant").iter().all(|line| line["variant"] == "after"), "both arms are the first variant");
    let found = verdicts(&project);
    assert!(!found.is_empty() && found.iter().all(|verdict| verdict == "unchanged" || verdict == "inconclusive"), "{found:?}");
}

#[tokio::test]
async fn a_variant_against_itself_runs_the_same_statements() {
    let server = TestServer::shared().await;
    let sides = LIST.replace("sql  = \"select", "sql.after = \"select 1 as other\"\nsql.before = \"select");
    let project = Project::with_scenario(["before", "after"], "", &sides);
    let mut command = project.duel("notes/planted", &["--checks-only", "--aa", "--scale", "0.1"]);
    finish(command.env("DATABASE_URL", server.url("postgres"))).expect_code(0);
    let statements = &project.lines("scenario")[0]["transactions"][0]["statements"];
    assert!(statements[0].to_string().contains("from notes") && statements[0] == statements[1], "{statements}");
}

#[test]
fn a_dropped_index_regresses_and_an_added_one_improves() {
    let project = Project::with_scenario(["after", "no-index"], "", LIST).variant("no-index", "after", DROP_INDEX);
    finish(&mut project.duel("notes/planted", &QUICK)).expect_code(1).expect_said("▼ regressed");
    assert_eq!(verdicts(&project), ["regressed"]);

    let project = Project::with_scenario(["no-index", "after"], "", LIST).variant("no-index", "after", DROP_INDEX);
    finish(&mut project.duel("notes/planted", &QUICK)).expect_code(0).expect_said("▲ improved");
    assert_eq!(verdicts(&project), ["improved"]);
}

#[test]
fn the_exit_code_reports_surprises_only() {
    let expecting = |verdict: &str| {
        let head = format!("expect = \"{verdict}\"\nexpect-why = \"the index is gone\"");
        Project::with_scenario(["after", "no-index"], &head, LIST).variant("no-index", "after", DROP_INDEX)
    };
    let project = expecting("regressed");
    finish(&mut project.duel("notes/planted", &QUICK)).expect_code(0).expect_said("▼ regressed");
    finish(&mut expecting("unchanged").duel("notes/planted", &QUICK)).expect_code(1).expect_said("the index is gone");
}

#[test]
fn a_plan_that_is_not_the_expected_one_is_reported() {
    let list = format!("{LIST}plan-has = [\"a_wanted_index\"]\nplan-lacks = [\"Index Scan\"]\n");
    let project = Project::with_scenario(["before", "after"], "", &list);
    finish(&mut project.duel("notes/planted", &["--quick", "--scale", "0.1"]))
        .expect_code(0)
        .expect_said("the plan lacks \"a_wanted_index\"");
    let warned = project.lines("check").into_iter().find(|check| check["kind"] == "plan").expect("the plan was looked at");
    assert_eq!(warned["outcome"], "warning");
    assert!(warned["findings"].to_string().contains("must not hold \\\"Index Scan\\\""), "{warned}");
    for report in ["report.md", "report.html"] {
        assert!(project.read(&format!("out/{report}")).contains("a_wanted_index"), "{report}");
    }
}

/// Three arms in one experiment: each is held against the baseline, and the best is named.
#[test]
fn several_arms_are_judged_against_one_baseline() {
    let project = Project::with_scenario(["no-index", "after", "sorted"], "", LIST).variant("no-index", "after", DROP_INDEX).variant(
        "sorted",
        "no-index",
        "select 1;",
    );
    let finished = finish(&mut project.duel("notes/planted", &QUICK)).expect_code(0);
    for said in
        ["no-index → after, sorted", "list/newest p50  ", "\n    after  ", "\n    sorted  ", "after is the fastest: all others are slower"]
    {
        assert!(finished.stdout.contains(said), "{said}\n{}", finished.stdout);
    }
    let arms: Vec<_> = project.lines("block").iter().map(|block| block["arm"].as_u64()).collect();
    assert!((0..3).all(|arm| arms.iter().filter(|one| **one == Some(arm)).count() * 3 == arms.len()), "{arms:?}");
    // The same arms by the command line, on another scenario's statements.
    let chosen = Project::example().variant("no-index", "after", DROP_INDEX);
    let mut command = chosen.duel("notes/list-notes", &["--arms", "before,after,no-index", "--checks-only", "--scale", "0.1"]);
    finish(&mut command).expect_code(0).expect_said("before → after, no-index");
    finish(&mut chosen.duel("notes/list-notes", &["--arms", "before,before"])).expect_code(2).expect_said("names before twice");
    finish(&mut chosen.duel("notes/list-notes", &["--arms", "before"])).expect_code(2).expect_said("takes two arms or more");
    finish(&mut chosen.duel("notes/list-notes", &["--arms", "before,aftre"])).expect_code(2).expect_said("Did you mean after?");
}
