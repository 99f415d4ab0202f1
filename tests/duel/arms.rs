//! Arms that differ in more than their schema: settings, pools, round-trip times, statements.

use serde_json::Value;

use crate::pooler::{self, Pooler, Users};
use crate::project::{LIST, Project, events, finish};
use crate::support::{OwnHome, TestServer};

const SMALL: [&str; 3] = ["--quick", "--scale", "0.1"];

/// The example with one scenario whose arms are written out.
fn project(arms: &str, rest: &str) -> Project {
    let project = Project::example();
    project.write("scenarios/notes/planted.toml", &format!("title = \"Planted\"\n{arms}\n{rest}"));
    project
}

/// The same transaction with other SQL.
fn asking(sql: &str) -> String {
    LIST.replace("select id from notes where workspace_id = :workspace order by created_at desc, id limit 20", sql)
}

fn of_arm(blocks: &[Value], arm: u64) -> Vec<&Value> {
    blocks.iter().filter(|block| block["arm"] == arm).collect()
}

#[tokio::test]
async fn settings_of_an_arm_are_those_of_its_connections() {
    let server = TestServer::shared().await;
    let arms = "[[arm]]\nname = \"usual\"\nvariant = \"after\"\n\n\
                [[arm]]\nname = \"small\"\nvariant = \"after\"\nset = { work_mem = \"64kB\" }\n";
    let asks = asking("select current_setting('work_mem') from workspaces where id = :workspace");
    let known = project(arms, &asks);
    let mut command = known.duel("notes/planted", &["--checks-only", "--scale", "0.1"]);
    let finished = finish(command.env("DATABASE_URL", server.url("postgres"))).expect_code(6);
    assert!(finished.stdout.contains("small (64kB)"), "{}", finished.stdout);
    // One that the server does not know is told as SQL that it rejects.
    let unknown = project(&arms.replace("work_mem", "wrok_mem"), LIST);
    let mut command = unknown.duel("notes/planted", &["--checks-only", "--scale", "0.1"]);
    finish(command.env("DATABASE_URL", server.url("postgres"))).expect_code(4).expect_said("wrok_mem");
}

#[tokio::test]
async fn pools_and_round_trip_times_are_an_arms_own() {
    let server = TestServer::shared().await;
    let arms = "[[arm]]\nname = \"near\"\nvariant = \"after\"\n\n\
                [[arm]]\nname = \"far\"\nvariant = \"after\"\nrtt = \"5ms\"\n\n\
                [[arm]]\nname = \"narrow\"\nvariant = \"after\"\nconnections = 1\n";
    let project = project(arms, &format!("[load]\nrate = 150\nconnections = 3\n{LIST}"));
    let mut command = project.duel("notes/planted", &SMALL);
    finish(command.env("DATABASE_URL", server.url("postgres"))).expect_said("near → far, narrow");
    let blocks = project.lines("block");
    let connections = |arm: u64| of_arm(&blocks, arm).iter().map(|block| block["generator"]["connections"].as_u64()).collect::<Vec<_>>();
    for (arm, wanted) in [(0, 3), (1, 3), (2, 1)] {
        assert!(!connections(arm).is_empty() && connections(arm).iter().all(|one| *one == Some(wanted)), "{:?}", connections(arm));
    }
    let report: Value = serde_json::from_str(&project.read("out/report.json")).expect("JSON");
    let metrics = report["comparison"]["scenarios"][0]["metrics"].as_array().cloned().unwrap_or_default();
    let far = metrics.iter().find(|metric| metric["arm"] == 1 && metric["quantity"] == "service-p50").expect("a median");
    // No answer comes before the round-trip time is over.
    assert!(far["value_ns"]["arm"].as_f64() > Some(5e6), "{far}");
    assert!(project.read("out/report.html").contains("after, 1 connection, tables"), "the report says what differs");
    let mut command = project.duel("notes/planted", &["--rtt", "1ms"]);
    finish(&mut command).expect_code(2).expect_said("--rtt: arms of notes/planted have round-trip times of their own");
}

#[tokio::test]
async fn rates_and_sessions_are_an_arms_own() {
    let server = TestServer::shared().await;
    let rates = project("duel = [\"after\"]\nsweep.rate = [100, 300]\n", LIST);
    finish(rates.duel("notes/planted", &SMALL).env("DATABASE_URL", server.url("postgres"))).expect_said("rate-100 → rate-300");
    let blocks = rates.lines("block");
    let of_load = |arm: u64, what: fn(&Value) -> u64| of_arm(&blocks, arm).into_iter().map(what).collect::<Vec<_>>();
    let per_second = |block: &Value| block["load"]["arrivals"]["per_second"].as_f64().unwrap_or(0.0) as u64;
    for (arm, rate) in [(0, 100), (1, 300)] {
        assert!(!of_load(arm, per_second).is_empty() && of_load(arm, per_second).iter().all(|one| *one == rate), "{arm}");
    }
    let scheduled = |arm: u64| of_load(arm, |block| block["accounting"]["scheduled"].as_u64().unwrap_or(0)).iter().sum::<u64>();
    assert!(scheduled(1) > 2 * scheduled(0), "{} and {}", scheduled(0), scheduled(1));
    // A variant by its own name has no rate there.
    finish(&mut rates.duel("notes/planted", &["--arms", "rate-100,after"])).expect_code(2).expect_said("sweeps rate");

    let sessions = project("duel = [\"after\"]\nsweep.connections = [1, 3]\n", &format!("[load]\nrate = {{ closed = 2 }}\n{LIST}"));
    finish(sessions.duel("notes/planted", &SMALL).env("DATABASE_URL", server.url("postgres"))).expect_said("connections-1 → connections-3");
    let blocks = sessions.lines("block");
    for (arm, wanted) in [(0, 1), (1, 3)] {
        assert!(of_arm(&blocks, arm).iter().all(|block| block["generator"]["connections"] == wanted), "{blocks:?}");
    }
}

#[tokio::test]
async fn a_route_is_an_arms_own() {
    let through = |port: u16| {
        format!(
            "[[arm]]\nname = \"direct\"\nvariant = \"after\"\n\n\
             [[arm]]\nname = \"pooled\"\nvariant = \"after\"\nset = {{ work_mem = \"64kB\" }}\nroute = \"127.0.0.1:{port}\"\n"
        )
    };
    // Division by zero for a connection that was not told its setting.
    let statement = "select id from notes where workspace_id = :workspace order by created_at desc, id limit 20";
    let asks = LIST.replace(
        &format!("sql  = \"{statement}\""),
        &format!(
            "sql  = {{ direct = \"{statement}\", pooled = \"{}\" }}",
            statement.replace(":workspace", ":workspace and 1 / (current_setting('work_mem') = '64kB')::int = 1")
        ),
    );
    assert_ne!(asks, LIST);
    let server = TestServer::shared().await;
    let nowhere = project(&through(1), &asks);
    finish(nowhere.duel("notes/planted", &SMALL).env("DATABASE_URL", server.url("postgres")))
        .expect_code(2)
        .expect_said("route 127.0.0.1:1: no connection as pgduel_requests to database");
    let home = OwnHome::new();
    finish(nowhere.duel("notes/planted", &SMALL).env("PGDUEL_HOME", home.path())).expect_code(2).expect_said("where no pooler knows");
    if pooler::is_missing() {
        return;
    }
    let pooler = Pooler::start_for("session", Users::OfServer).await;
    let misspelt = project(&through(pooler.port).replace("work_mem", "wrok_mem"), &asks);
    finish(misspelt.duel("notes/planted", &SMALL).env("DATABASE_URL", pooler.server.url("postgres")))
        .expect_code(4)
        .expect_said("pooled, set wrok_mem: unrecognized configuration parameter");
    for writes in [false, true] {
        let load = "[load]\nrate = 100\nconnections = 2\n";
        let asks = if writes { asks.replace("identity =", "writes = true\nidentity =") } else { asks.clone() };
        let pooled = project(&through(pooler.port), &format!("{load}{asks}"));
        finish(pooled.duel("notes/planted", &SMALL).env("DATABASE_URL", pooler.server.url("postgres")))
            .expect_said(&format!("work_mem = 64kB, through 127.0.0.1:{}", pooler.port));
        let blocks = pooled.lines("block");
        for arm in [0, 1] {
            let blocks = of_arm(&blocks, arm);
            assert!(!blocks.is_empty() && blocks.iter().all(|block| block["accounting"]["error"] == 0), "{blocks:?}");
            let hidden = |block: &&Value| block["server"]["no_processor"] == "other-host-or-container";
            assert!(!cfg!(target_os = "linux") || blocks.iter().all(|block| hidden(block) == (arm == 1)), "{blocks:?}");
        }
    }
}

#[tokio::test]
async fn a_scenario_that_is_come_back_to_is_planned_as_it_says() {
    if pooler::is_missing() {
        return;
    }
    let pooler = Pooler::start_for("session", Users::OfServer).await;
    let project = Project::example();
    for plans in ["custom", "generic"] {
        let arms = format!(
            "[[arm]]\nname = \"direct\"\nvariant = \"after\"\n[[arm]]\nname = \"pooled\"\nvariant = \"after\"\nroute = \"127.0.0.1:{}\"\n",
            pooler.port
        );
        let load = format!("[load]\nrate = {{ work = 1, transactions = 40 }}\nplans = \"{plans}\"\n");
        project.write(&format!("scenarios/notes/{plans}.toml"), &format!("title = \"{plans}\"\n{arms}{load}{LIST}"));
    }
    let mut command = project.pgduel(&["duel", "notes/custom", "notes/generic", "--scale", "0.1", "--budget", "40s"]);
    command.arg("--out").arg(project.out());
    let finished = finish(command.env("DATABASE_URL", pooler.server.url("postgres")));
    let blocks = project.lines("block");
    // On a slow machine none is come back to; each has blocks after the other's databases were made all the same.
    for (scenario, other) in [("notes/custom", "generic_plans"), ("notes/generic", "custom_plans")] {
        let of_scenario = blocks.iter().filter(|block| block["scenario"] == scenario);
        let found: Vec<_> = of_scenario.map(|block| (&block["round"], &block["arm"], &block["server"][other])).collect();
        assert!(found.len() >= 8, "{} blocks of {scenario}: {}{}", found.len(), finished.stdout, finished.stderr);
        assert!(found.iter().all(|(_, _, plans)| **plans == 0), "{scenario} has {other}, by round and arm: {found:?}");
    }
}

#[tokio::test]
async fn arms_are_chosen_by_their_names_with_all_that_they_change() {
    let server = TestServer::shared().await;
    let arms = "[[arm]]\nname = \"one\"\nvariant = \"after\"\n\n\
                [[arm]]\nname = \"two\"\nvariant = \"after\"\nset = { work_mem = \"64kB\" }\n\n\
                [[arm]]\nname = \"three\"\nvariant = \"before\"\n";
    let apart = LIST.replace(
        "sql  = \"select id from notes where workspace_id = :workspace order by created_at desc, id limit 20\"",
        "sql  = { one = \"select 1 where :workspace::uuid is not null\", two = \"select 2 where :workspace::uuid is not null\", three = \"select 2 where :workspace::uuid is not null\" }",
    );
    let project = project(arms, &apart);
    let mut command = project.duel("notes/planted", &["--arms", "three,two", "--checks-only", "--scale", "0.1"]);
    finish(command.env("DATABASE_URL", server.url("postgres"))).expect_code(0);
    let scenario = &project.lines("scenario")[0];
    assert_eq!(scenario["arms"][1], serde_json::json!({ "name": "two", "variant": "after", "settings": { "work_mem": "64kB" } }));
    assert!(scenario["transactions"][0]["statements"][1][0]["sql"].to_string().contains("select 2"), "{scenario}");
    // One alone can be set against itself; names may have spaces around them, and must be there.
    std::fs::remove_dir_all(project.out()).expect("the first run's folder");
    let mut command = project.duel("notes/planted", &["--arms", " two", "--aa", "--checks-only", "--scale", "0.1"]);
    finish(command.env("DATABASE_URL", server.url("postgres")))
        .expect_code(0)
        .expect_said("two (on after, work_mem = 64kB), two-2 (on after");
    finish(&mut project.duel("notes/planted", &["--arms", "two"])).expect_code(2).expect_said("--aa duels two against itself");
    finish(&mut project.duel("notes/planted", &["--arms", "one,"])).expect_code(2).expect_said("a name is empty");
    finish(&mut project.duel("notes/planted", &["--arms", "one,thre"]))
        .expect_code(2)
        .expect_said("and notes/planted has the arms one, two, three. Did you mean three?");
    // Two arms run on that variant, and other statements.
    finish(&mut project.duel("notes/planted", &["--arms", "three,after"])).expect_code(2).expect_said("name one of one, two");
}

#[tokio::test]
async fn a_sweep_fills_in_the_variants_files() {
    let server = TestServer::shared().await;
    let sweep = "duel = [\"filled\"]\nsweep.fill = [50, 90]\n";
    let asks =
        asking("select array_to_string(reloptions, '') from pg_class where relname = 'notes_filled' and :workspace::uuid is not null");
    let project = project(sweep, &asks).variant(
        "filled",
        "before",
        "create index notes_filled on notes (workspace_id, created_at) with (fillfactor = {{fill}});\n",
    );
    let mut command = project.duel("notes/planted", &["--checks-only", "--scale", "0.1"]);
    let finished = finish(command.env("DATABASE_URL", server.url("postgres"))).expect_code(6);
    assert!(finished.says("fillfactor=50") && finished.says("fillfactor=90"), "{}", finished.stdout);
    assert!(finished.stderr.contains("applying filled, fill = 90\n"), "{}", finished.stderr);
    let scenario = &project.lines("scenario")[0];
    assert_eq!(
        scenario["arms"][1],
        serde_json::json!({ "name": "fill-90", "variant": "filled", "factor": { "name": "fill", "value": "90" } })
    );
    finish(&mut project.duel("notes/planted", &["--arms", "fill-50,after"]))
        .expect_code(2)
        .expect_said("notes/planted sweeps fill: after is none of its arms, which are fill-50, fill-90");
    // SQL that is rejected is found in the file, though the file has another text.
    project.write("scenarios/notes/wrong.toml", &project.read("scenarios/notes/planted.toml").replace("pg_class", "pg_classes {{fill}}"));
    let line = 1 + project.read("scenarios/notes/wrong.toml").lines().position(|line| line.contains("pg_classes")).expect("it is there");
    std::fs::remove_dir_all(project.out()).expect("the first run's folder");
    let mut command = project.duel("notes/wrong", &["--checks-only", "--scale", "0.1"]);
    finish(command.env("DATABASE_URL", server.url("postgres"))).expect_code(4).expect_said(&format!("wrong.toml:{line}: fill-50"));
    // A scenario that sweeps nothing cannot use the variant, and is told why: from its file, or where the command names the arms.
    project.write("scenarios/notes/bare.toml", &format!("title = \"Bare\"\nduel = [\"before\", \"filled\"]\n{LIST}"));
    finish(&mut project.duel("notes/bare", &["--checks-only"])).expect_code(2).expect_said("duel: {{fill}} in ").expect_said("filled.sql:");
    std::fs::remove_file(project.path("scenarios/notes/bare.toml")).expect("it was written");
    std::fs::remove_dir_all(project.out()).expect("the last run's folder");
    let mut command = project.duel("notes/list-notes", &["--arms", "before,filled", "--checks-only", "--scale", "0.1"]);
    finish(command.env("DATABASE_URL", server.url("postgres"))).expect_code(4).expect_said("only in a scenario that sweeps it");
    // `run` has one of its arms.
    let mut command = project.pgduel(&["run", "notes/planted", "--variant", "fill-90", "--time", "300ms", "--scale", "0.1"]);
    command.arg("--out").arg(project.path("run"));
    let shown = finish(command.env("DATABASE_URL", server.url("postgres"))).expect_code(0);
    assert!(shown.stdout.starts_with("notes/planted, fill-90 (on filled)"), "{}", shown.stdout);
    // Values that stand nowhere make arms that are all the same.
    project.write("seeds/notes/filled.sql", "create index notes_filled on notes (workspace_id, created_at);\n");
    finish(&mut project.duel("notes/planted", &["--checks-only"])).expect_code(2).expect_said("sweep.fill: changes nothing");
}

#[tokio::test]
async fn a_sweep_is_judged_by_value_and_drawn() {
    let server = TestServer::shared().await;
    let sweep = "duel = [\"after\"]\nsweep.steps = [1, 100000]\n";
    let counts = asking("select 1 where :workspace::uuid is not null and (select count(*) from generate_series(1, {{steps}})) > 0");
    let project = project(sweep, &counts);
    let mut command = project.duel("notes/planted", &SMALL);
    finish(command.env("DATABASE_URL", server.url("postgres"))).expect_code(1).expect_said("steps-1 → steps-100000");
    assert!(project.read("out/report.html").contains("by steps: times as fast as the baseline"), "the report has no chart of the sweep");
}

#[tokio::test]
async fn a_run_of_one_arm_tells_tools_how_it_goes() {
    let server = TestServer::shared().await;
    let project = Project::example();
    let mut command =
        project.pgduel(&["run", "notes/list-notes", "--variant", "after", "--time", "500ms", "--scale", "0.1", "--progress", "json"]);
    command.arg("--out").arg(project.out());
    let finished = finish(command.env("DATABASE_URL", server.url("postgres"))).expect_code(0);
    let events = events(&finished);
    for name in ["applying", "loading", "block", "scenario-ended"] {
        assert_eq!(events.iter().filter(|event| event["event"] == name).count(), 1, "{name}: {}", finished.stderr);
    }
    let scenario = &project.lines("scenario")[0];
    assert_eq!(scenario["arms"].as_array().map(Vec::len), Some(1), "it has no rival: {scenario}");
    assert_eq!(scenario["transactions"][0]["statements"].as_array().map(Vec::len), Some(1));
}
