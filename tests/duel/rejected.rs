//! Mistakes in files: told with the place, before or instead of timing.

use crate::project::{Project, finish};
use crate::support::TestServer;

const SMALL: [&str; 3] = ["--quick", "--scale", "0.1"];
const COUNT: &str = r#"
[[transaction]]
name     = "count"
identity = "member"
draw.workspace = "tenant"

[[transaction.statement]]
name = "notes"
sql  = """
select count(*) from notes
 where workspace_id = :workspace
"""
"#;

fn line_of(text: &str, needle: &str) -> usize {
    text.lines().position(|line| line.contains(needle)).expect("the line") + 1
}

#[test]
fn a_mistake_in_a_scenario_names_file_line_and_key() {
    let project = Project::with_scenario(["before", "after"], "", &COUNT.replace(":workspace", ":workspaec"));
    let text = project.read("scenarios/notes/planted.toml");
    let place = format!("scenarios/notes/planted.toml:{}: transaction.statement.sql: :workspaec", line_of(&text, ":workspaec"));
    let finished = finish(&mut project.duel("notes/planted", &SMALL)).expect_code(2);
    assert!(finished.stderr.contains(&place), "{place:?} is not in {}", finished.stderr);
    assert!(!project.out().exists(), "no run began");
}

#[tokio::test]
async fn sql_of_a_variant_that_postgresql_rejects() {
    let server = TestServer::shared().await;
    let bad = "create index on notes (title);\n\ncreate index on notes (titel);\n";
    let project = Project::with_scenario(["before", "bad"], "", COUNT).variant("bad", "after", bad);
    let run = finish(project.duel("notes/planted", &SMALL).env("DATABASE_URL", server.url("postgres")));
    run.expect_code(4).expect_said("seeds/notes/bad.sql:3: [42703]").expect_said("titel");
}

/// Whose fault it is, the exit code says: a full disk and a lost connection are no mistake in the file that was being applied.
#[tokio::test]
async fn a_server_that_fails_while_sql_is_applied() {
    let server = TestServer::shared().await;
    let raising = |code: &str| format!("\ndo $$ begin raise exception 'raised' using errcode = '{code}'; end $$;\n");
    let lost = "\nselect pg_terminate_backend(pg_backend_pid());\n".to_owned();
    for (sql, code, said) in [
        (raising("53100"), 5, "bad.sql:2: [53100] raised"),
        (raising("53400"), 4, "bad.sql:2: [53400] raised"),
        (raising("58P01"), 4, "bad.sql:2: [58P01] raised"),
        (lost, 5, "bad.sql:2: "),
    ] {
        let project = Project::with_scenario(["before", "bad"], "", COUNT).variant("bad", "after", &sql);
        let run = finish(project.duel("notes/planted", &SMALL).env("DATABASE_URL", server.url("postgres")));
        run.expect_code(code).expect_said(said);
    }
}

#[tokio::test]
async fn shared_sql_that_postgresql_rejects() {
    let server = TestServer::shared().await;
    let project = Project::with_scenario(["before", "after"], "", COUNT);
    let indexes = project.read("seeds/notes/indexes.sql") + "create index on notse (id);\n";
    project.write("seeds/notes/indexes.sql", &indexes);
    let place = format!("seeds/notes/indexes.sql:{}: [42P01]", line_of(&indexes, "notse"));
    let run = finish(project.duel("notes/planted", &SMALL).env("DATABASE_URL", server.url("postgres")));
    run.expect_code(4).expect_said(&place);
}

#[tokio::test]
async fn a_statement_that_postgresql_rejects() {
    let server = TestServer::shared().await;
    let project = Project::with_scenario(["before", "after"], "", &COUNT.replace("where workspace_id", "where workspaec"));
    let text = project.read("scenarios/notes/planted.toml");
    let place = format!("scenarios/notes/planted.toml:{}: before, count/notes: ", line_of(&text, "where workspaec"));
    let run = finish(project.duel("notes/planted", &SMALL).env("DATABASE_URL", server.url("postgres")));
    run.expect_code(4).expect_said(&place).expect_said("42703");
    assert!(project.lines("block").is_empty());
}

/// Names of statements are unique within a transaction only.
#[tokio::test]
async fn a_rejected_statement_is_placed_in_its_own_transaction() {
    let server = TestServer::shared().await;
    let second = COUNT.replace("\"count\"", "\"other\"").replace("where workspace_id", "where workspaec");
    let project = Project::with_scenario(["before", "after"], "", &format!("{COUNT}{second}"));
    let text = project.read("scenarios/notes/planted.toml");
    let place = format!("scenarios/notes/planted.toml:{}: before, other/notes: ", line_of(&text, "where workspaec"));
    let run = finish(project.duel("notes/planted", &SMALL).env("DATABASE_URL", server.url("postgres")));
    run.expect_code(4).expect_said(&place);
}

#[tokio::test]
async fn an_exact_form_that_postgresql_rejects() {
    let server = TestServer::shared().await;
    let search = COUNT.replace("name     = \"count\"", "name     = \"count\"\nanswers  = { recall = 0.9 }");
    let search = format!("{search}exact = \"\"\"\nselect count(*) from notes\n where workspaec_id = :workspace\n\"\"\"\n");
    let project = Project::with_scenario(["before", "after"], "", &search);
    let text = project.read("scenarios/notes/planted.toml");
    let place = format!("scenarios/notes/planted.toml:{}: before, exact form, count/notes: ", line_of(&text, "workspaec_id"));
    let run = finish(project.duel("notes/planted", &SMALL).env("DATABASE_URL", server.url("postgres")));
    run.expect_code(4).expect_said(&place).expect_said("42703");
}

/// What all arms refuse whoever asks is a scenario that cannot run, and no wrong answer.
#[tokio::test]
async fn a_statement_that_always_fails_on_both_sides() {
    let server = TestServer::shared().await;
    let project = Project::with_scenario(["before", "after"], "", &COUNT.replace("count(*)", "count(*) / (count(*) - count(*))"));
    let run = finish(project.duel("notes/planted", &SMALL).env("DATABASE_URL", server.url("postgres")));
    run.expect_code(4).expect_said("22012").expect_said("planted.toml");
    assert!(project.lines("block").is_empty());
}

/// A user who may not, and a database that does not exist, are no failure of the server.
#[tokio::test]
async fn a_server_that_refuses_who_asks() {
    let server = TestServer::shared().await;
    let mut admin = server.connect("postgres").await;
    let role = "create role pgduel_test_guest login password 'guest'";
    let _ = sqlx::raw_sql("drop role if exists pgduel_test_guest").execute(&mut admin).await;
    sqlx::raw_sql(role).execute(&mut admin).await.expect("a role");
    let url = server.url("postgres");
    let (_, rest) = url.split_once('@').expect("a URL with a user");
    let project = Project::with_scenario(["before", "after"], "", COUNT);
    for (url, said) in [
        (format!("postgres://pgduel_test_guest:guest@{rest}"), "pgduel_test_guest is no superuser of the server"),
        (format!("postgres://pgduel_test_guest:wrong@{rest}"), "password authentication failed"),
        (server.url("pgduel_test_missing"), "does not exist"),
    ] {
        let _ = std::fs::remove_dir_all(project.out());
        finish(project.duel("notes/planted", &SMALL).env("DATABASE_URL", url)).expect_code(2).expect_said(said);
    }
    sqlx::raw_sql("drop role pgduel_test_guest").execute(&mut admin).await.expect("dropped");
}

/// Both sides' answers are held in memory while they are compared.
#[tokio::test]
async fn an_answer_that_is_too_large_to_be_compared() {
    let server = TestServer::shared().await;
    let large = COUNT
        .replace("count(*) from notes", "repeat('x', 1000000) from notes, generate_series(1, 200)")
        .replace("\"member\"", "\"service\"");
    let project = Project::with_scenario(["before", "after"], "", &large);
    let run = finish(project.duel("notes/planted", &SMALL).env("DATABASE_URL", server.url("postgres")));
    run.expect_code(4).expect_said("planted.toml").expect_said("more than 128 MiB").expect_said("have it return fewer rows");
}

/// A connection that is lost in the checks has given no wrong answer.
#[tokio::test]
async fn a_connection_that_is_lost_in_the_checks() {
    let server = TestServer::shared().await;
    let lost = COUNT
        .replace("count(*)", "count(*), pg_terminate_backend(pg_backend_pid())")
        .replace("identity = \"member\"", "identity = \"none\"");
    let project = Project::with_scenario(["before", "after"], "", &lost);
    project.names_a_login();
    project.write("seeds/notes/before.sql", &(project.read("seeds/notes/before.sql") + "grant select on notes to notes_app;\n"));
    let run = finish(project.duel("notes/planted", &SMALL).env("DATABASE_URL", server.url("postgres")));
    run.expect_code(5).expect_said("was lost in the checks");
}
