//! What a run does to its server: templates kept, everything else gone, writes only where they belong.

use std::collections::BTreeMap;

use pgduel::target::{Purpose, list_pgduel_databases};
use sqlx::Connection;

use crate::project::{Project, Running, events, finish};
use crate::support::TestServer;

const SMALL: [&str; 3] = ["--quick", "--scale", "0.1"];
const ADD: &str = r#"
[[transaction]]
name     = "add"
identity = "member"
writes   = true
draw.id        = "new-uuid"
draw.workspace = "tenant"
draw.me        = "user"

[[transaction.statement]]
name = "insert"
sql  = """
insert into notes (id, workspace_id, author_id, title, body, created_at) values (:id, :workspace, :me, 'A title', 'A body', :now)
returning id
"""
"#;

pub const OPEN: &str = r#"
title = "Open load"
duel  = ["before", "after"]

[load]
rate        = 200
connections = 2

[[transaction]]
name     = "read"
identity = "member"
draw.workspace = "tenant"

[[transaction.statement]]
name = "count"
sql  = "select count(*) from notes where workspace_id = :workspace"
"#;

/// Names of the databases that the run of this process made and left.
async fn left(server: &TestServer, process: u32) -> Vec<String> {
    let prefix = format!("pgduel_d_{process}_");
    let all = list_pgduel_databases(server.server()).await.expect("databases are listed");
    all.into_iter().map(|database| database.name).filter(|name| name.starts_with(&prefix)).collect()
}

#[tokio::test]
async fn templates_are_reused_and_working_databases_go() {
    let server = TestServer::shared().await;
    let url = server.url("postgres");
    // Runs that end well, with failed checks, with a rejected statement. The first may find the template of another test.
    let good = || Project::with_scenario(["before", "after"], "", ADD);
    let wrong = Project::with_scenario(["before", "wrong"], "", ADD);
    let wrong = wrong.variant("wrong", "after", "create policy everyone on notes for select to authenticated using (true);");
    let rejected = Project::with_scenario(["before", "after"], "", &ADD.replace("author_id", "auhtor_id"));
    let half = Project::with_scenario(["before", "half"], "", ADD).variant("half", "after", "select 1;\nselect nothing;\n");
    for (number, (project, code)) in [(good(), 0), (good(), 0), (wrong, 6), (rejected, 4), (half, 4)].into_iter().enumerate() {
        let mut command = project.duel("notes/planted", &["--checks-only", "--scale", "0.1"]);
        let run = Running::start(command.env("DATABASE_URL", &url));
        let process = run.id();
        let finished = run.finish().expect_code(code);
        assert!(number == 0 || finished.stderr.contains("reusing the seeded template"), "{}", finished.stderr);
        assert_eq!(left(&server, process).await, Vec::<String>::new(), "after a run that ended with {code}");
    }
}

#[tokio::test]
async fn two_runs_that_want_the_same_new_template_share_it() {
    let server = TestServer::shared().await;
    let url = server.url("postgres");
    let projects = [Project::with_scenario(["before", "after"], "", ADD), Project::with_scenario(["before", "after"], "", ADD)];
    let start = |project: &Project| {
        let mut command = project.duel("notes/planted", &["--checks-only", "--scale", "0.1", "--seed", "77"]);
        Running::start(command.env("DATABASE_URL", &url))
    };
    let runs = projects.each_ref().map(start);
    let reused = runs.map(|run| run.finish().expect_code(0).stderr.contains("reusing the seeded template"));
    assert!(reused.contains(&true), "one of them waited for the other");
}

#[tokio::test]
async fn a_dump_can_be_a_variant_and_another_file_can_follow_it() {
    let server = TestServer::shared().await;
    let dump = "\\restrict aB3\nselect pg_catalog.set_config('search_path', '', false);\ncreate index dumped on public.notes (title);\n\\unrestrict aB3\n";
    let project = Project::example().variant("dump", "before", dump).variant("more", "dump", "create index followed on notes (body);");
    let mut run = project.pgduel(&["run", "notes/list-notes", "--variant", "more", "--scale", "0.1", "--time", "200ms", "--out"]);
    finish(run.arg(project.out()).env("DATABASE_URL", server.url("postgres"))).expect_code(0);
    let applied = project.lines("variant")[0]["applied"].as_array().expect("files").len();
    assert_eq!(applied, project.read("seeds/notes/suite.toml").matches("Planted").count() + 1, "the two files and that of before");
}

#[tokio::test]
async fn seeding_that_was_killed_is_done_again() {
    let server = TestServer::shared().await;
    let url = server.url("postgres");
    let project = Project::with_scenario(["before", "after"], "", ADD).renamed("killed");
    let arguments = ["--checks-only", "--seed", "4711"];
    let half = async || {
        let all = list_pgduel_databases(server.server()).await.expect("databases are listed");
        all.into_iter().find(|database| database.mark.purpose == Purpose::Scratch && database.name.starts_with("pgduel_t_killed_"))
    };
    let mut run = Running::start(project.duel("killed/planted", &arguments).env("DATABASE_URL", &url));
    let name = loop {
        assert!(run.is_running(), "seeding began");
        // Loading has begun: the tables are there.
        if let Some(database) = half().await
            && let Ok(mut connection) = server.server().connect(&database.name).await
        {
            let there: bool =
                sqlx::query_scalar("select to_regclass('public.notes') is not null").fetch_one(&mut connection).await.unwrap_or(false);
            let _ = connection.close().await;
            if there {
                break database.name;
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    run.signal(rustix::process::Signal::KILL);
    assert_eq!(run.finish().code, None, "killed");
    std::fs::remove_dir_all(project.out()).expect("the record of the killed run");

    let finished = finish(project.duel("killed/planted", &arguments).env("DATABASE_URL", &url)).expect_code(0);
    assert!(!finished.stderr.contains("reusing"), "{}", finished.stderr);
    let mut connection = server.connect(&name).await;
    let notes: i64 = sqlx::query_scalar("select count(*) from notes").fetch_one(&mut connection).await.expect("a count");
    assert_eq!(notes, 20_000);
    connection.close().await.expect("closed");
    server.drop_database(&name).await;
}

/// Least and most notes seen in each database of a run while it went on.
async fn watch(server: &TestServer, run: &mut Running) -> BTreeMap<String, (i64, i64)> {
    let mut seen: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    while run.is_running() {
        for name in left(server, run.id()).await {
            // It may go at any moment.
            let Ok(mut connection) = server.server().connect(&name).await else { continue };
            if let Ok(count) = sqlx::query_scalar::<_, i64>("select count(*) from public.notes").fetch_one(&mut connection).await {
                let range = seen.entry(name).or_insert((count, count));
                *range = (range.0.min(count), range.1.max(count));
            }
            let _ = connection.close().await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
    seen
}

#[tokio::test]
async fn writes_reach_the_working_copies_only_and_checks_write_nothing() {
    let server = TestServer::shared().await;
    let url = server.url("postgres");
    let project = Project::with_scenario(["before", "after"], "", ADD);
    let mut run = Running::start(project.duel("notes/planted", &SMALL).env("DATABASE_URL", &url));
    let process = run.id();
    let seen = watch(&server, &mut run).await;
    let finished = run.finish();
    assert!(matches!(finished.code, Some(0 | 1)), "{:?}\n{}", finished.code, finished.stderr);
    let sides: Vec<_> = seen.iter().filter(|(name, _)| !name.ends_with("_w")).collect();
    let copies: Vec<_> = seen.iter().filter(|(name, _)| name.ends_with("_w")).collect();
    assert_eq!((sides.len(), copies.len()), (2, 2), "{seen:?}");
    assert!(sides.iter().all(|(_, range)| **range == (2_000, 2_000)), "a database under test was written to: {seen:?}");
    // Who looks rarely may not have seen them before anything was written.
    assert!(copies.iter().all(|(_, (_, most))| *most > 2_000), "nothing was written: {seen:?}");
    let blocks = project.lines("block");
    assert!(!blocks.is_empty() && blocks.iter().all(|block| block["accounting"]["ok"] == 20), "{blocks:?}");
    assert_eq!(left(&server, process).await, Vec::<String>::new(), "after a duel that wrote");

    let project = Project::with_scenario(["before", "after"], "", ADD);
    let mut run = Running::start(project.duel("notes/planted", &["--checks-only", "--scale", "0.1"]).env("DATABASE_URL", &url));
    let seen = watch(&server, &mut run).await;
    run.finish().expect_code(0);
    assert!(project.lines("check").iter().any(|check| check["kind"] == "answers" && check["cases"].as_u64() >= Some(12)));
    assert!(!seen.is_empty() && seen.values().all(|range| *range == (2_000, 2_000)), "a check was not rolled back: {seen:?}");
}

/// Ten notes, each in a request of its own or all in one.
const ROW_BY_ROW: &str = r#"
[[transaction]]
name     = "import"
identity = "service"
writes   = true
answers  = "same-rows"
draw.new = { rows = "notes", count = 10 }

[[transaction.statement]]
name   = "insert"
each   = { before = { new = 1 }, after = { new = 10 } }
repeat = "request"
sql    = """
insert into notes (id, workspace_id, author_id, title, body, created_at)
select id, workspace_id, author_id, title, body, created_at from json_populate_recordset(null::notes, :new::json)
returning id
"""
"#;

#[tokio::test]
async fn a_repeated_request_commits_each_time_and_is_compared_as_a_whole() {
    let server = TestServer::shared().await;
    let project = Project::with_scenario(["before", "after"], "", ROW_BY_ROW);
    let finished = finish(project.duel("notes/planted", &SMALL).env("DATABASE_URL", server.url("postgres")));
    assert!(matches!(finished.code, Some(0 | 1)), "{:?}\n{}", finished.code, finished.stderr);
    let scenario = &project.lines("scenario")[0];
    assert_eq!(scenario["transactions"][0]["requests"], serde_json::json!([10, 1]));
    let blocks = project.lines("block");
    assert!(!blocks.is_empty());
    for block in &blocks {
        let commits = block["server"]["commits"].as_u64().unwrap_or(0);
        let expected = if block["arm"] == 0 { 200 } else { 20 };
        // The harness itself commits a few: snapshots and counts of plans.
        assert!((expected..expected + 15).contains(&commits), "{commits} commits on arm {}", block["arm"]);
    }
    let report = std::fs::read_to_string(project.out().join("report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    let metrics = report["comparison"]["scenarios"][0]["metrics"].as_array().cloned().unwrap_or_default();
    let gated: Vec<_> = metrics.iter().filter(|metric| metric["gate"]["kind"] == "gated").collect();
    assert!(!gated.is_empty() && gated.iter().all(|metric| metric["statement"].is_null()), "{gated:?}");
}

/// Open load in default mode: timed blocks, on two builds in turn, for as long as the budget lasts.
#[tokio::test]
async fn a_long_run_under_open_load_ends_with_its_budget() {
    let server = TestServer::shared().await;
    let project = Project::example();
    project.write("scenarios/notes/open.toml", OPEN);
    let mut command = project.duel("notes/open", &["--scale", "0.1", "--budget", "45s"]);
    let run = finish(command.env("DATABASE_URL", server.url("postgres")));
    assert_eq!(run.code, Some(0), "{}\n{}", run.stdout, run.stderr);
    assert_eq!(project.lines("scenario-end")[0]["stop"]["why"], "budget", "{}", run.stdout);
    let blocks = project.lines("block");
    assert!(blocks.len() >= 4 && blocks.iter().all(|block| block["load"]["arrivals"]["kind"] == "poisson"), "{} blocks", blocks.len());
    for block in &blocks {
        let count = |key: &str| block["accounting"][key].as_u64().expect("a count");
        assert_eq!(count("scheduled"), count("ok") + count("error") + count("dropped") + count("in_flight"), "{block}");
        assert!(count("scheduled") > 100, "200 a second for a second: {block}");
    }
    let builds: BTreeMap<u64, usize> = blocks.iter().fold(BTreeMap::new(), |mut builds, block| {
        *builds.entry(block["build"].as_u64().expect("a build")).or_default() += 1;
        builds
    });
    assert!(blocks.len() < 8 || builds.len() == 2, "rounds alternate between the builds: {builds:?}");
}

#[tokio::test]
async fn progress_can_be_read_by_tools() {
    let project = Project::with_scenario(["before", "after", "again"], "", ADD).variant("again", "after", "select 1;");
    let server = TestServer::shared().await;
    // No other test has this scale, so that the tables are filled here.
    let mut command = project.duel("notes/planted", &["--quick", "--scale", "0.11", "--progress", "json"]);
    let finished = finish(command.env("DATABASE_URL", server.url("postgres")));
    let events = events(&finished);
    let named = |name: &str| events.iter().filter(|event| event["event"] == name).collect::<Vec<_>>();
    assert_eq!(named("scenario")[0]["scenario"], "notes/planted");
    assert!(named("round-kept").len() >= 12 && named("table-begun").len() == named("table-done").len(), "{}", finished.stderr);
    // What was sent of each table adds up to its rows.
    assert!(named("table-begun").len() >= 3, "{}", finished.stderr);
    for begun in named("table-begun") {
        let of_table = named("rows-sent").into_iter().filter(|sent| sent["table"] == begun["table"]);
        assert_eq!(of_table.filter_map(|sent| sent["rows"].as_u64()).sum::<u64>(), begun["rows"].as_u64().expect("a count"), "{begun}");
    }
    // Every round has a block of each arm, whoever reads it.
    let arms = |name: &str| named("block").iter().filter(|event| event["arm"] == name).count();
    assert!(arms("before") >= 12 && arms("before") == arms("after") && arms("after") == arms("again"), "{}", finished.stderr);
    assert!(events.iter().all(|event| event["elapsed_seconds"].as_f64().is_some()));
    assert_eq!(named("scenario-ended").len(), 1);
}
