//! Wrong answers and leaks: found before anything is timed, with the row.

use std::sync::Arc;

use pgduel::dataset::{Dataset, Model, Sizing, Value};
use pgduel::suite;

use crate::project::{Finished, Project, finish};
use crate::support::TestServer;

const SCALE: f64 = 0.1;
const LIST: &str = r#"
[[transaction]]
name     = "list"
identity = "member"
draw.workspace = "tenant"

[[transaction.statement]]
name = "newest"
sql  = "select id, title from newest(:workspace)"
"#;
const NEWEST: &str = "create function newest(workspace uuid) returns setof notes language sql stable as $$
  select * from notes where workspace_id = workspace order by created_at desc, id limit 20 $$;";

/// The example's data as these runs see it.
fn dataset(project: &Project) -> Dataset {
    let model: Arc<Model> = suite::load(&project.path("seeds/notes")).expect("the example's suite").model;
    Dataset::plan(model, Sizing { scale: SCALE, vectors: None, overlays: Vec::new() }, 1).expect("the example's data")
}

fn text(value: Value) -> String {
    match value {
        Value::Uuid(bytes) => uuid::Uuid::from_bytes(bytes).to_string(),
        other => panic!("{other:?} is no uuid"),
    }
}

/// Key of the workspace.
fn workspace(data: &Dataset, tenant: u32) -> String {
    let table = data.tenants_table();
    text(data.value(table, u64::from(tenant), data.key(table)))
}

/// Key of a note of the workspace: the newest one.
fn newest_note(data: &Dataset, tenant: u32) -> String {
    let notes = data.table("notes").expect("notes");
    let created = data.column(notes, "created_at").expect("a column");
    let rows = data.rows_of_tenant(notes, tenant).into_iter().flatten();
    let time = |row: &u64| match data.value(notes, *row, created) {
        Value::Timestamp(time) => time,
        other => panic!("{other:?} is no time"),
    };
    let row = rows.max_by_key(time).expect("a note");
    text(data.value(notes, row, data.key(notes)))
}

/// A run on the shared server, which must fail its checks, name the row, and time nothing.
async fn caught(project: &Project, row: &str, how: &str) -> Finished {
    let server = TestServer::shared().await;
    let scale = SCALE.to_string();
    let mut command = project.duel("notes/planted", &["--quick", "--scale", &scale]);
    let finished = finish(command.env("DATABASE_URL", server.url("postgres")));
    assert!(finished.says(row), "row {row} is not shown:\n{}\n{}", finished.stdout, finished.stderr);
    let failed: Vec<_> = project.lines("check").into_iter().filter(|check| check["outcome"] == "failed").collect();
    assert!(failed.iter().any(|check| check["findings"].to_string().contains(how)), "{how:?} is not in {failed:?}");
    for kind in ["block", "probe"] {
        assert!(project.lines(kind).is_empty(), "something was timed");
    }
    for report in ["report.md", "report.html"] {
        assert!(project.read(&format!("out/{report}")).contains(row), "{report} does not show the row");
    }
    finished.expect_code(6)
}

/// Checks that pass on both arms.
async fn agreed(project: &Project) -> Finished {
    let server = TestServer::shared().await;
    let scale = SCALE.to_string();
    let mut command = project.duel("notes/planted", &["--quick", "--checks-only", "--scale", &scale]);
    finish(command.env("DATABASE_URL", server.url("postgres"))).expect_code(0)
}

#[tokio::test]
async fn a_row_that_only_the_whale_misses() {
    let project = Project::with_scenario(["right", "wrong"], "", LIST).variant("right", "after", NEWEST);
    let data = dataset(&project);
    let (whale, row) = (workspace(&data, 0), newest_note(&data, 0));
    let wrong = NEWEST.replace("where", &format!("where not (workspace = '{whale}' and id = '{row}') and"));
    caught(&project.variant("wrong", "after", &wrong), &row, "tenant 0 (whale)").await;
}

#[tokio::test]
async fn a_row_that_comes_twice() {
    let project = Project::with_scenario(["right", "wrong"], "", LIST).variant("right", "after", NEWEST);
    let data = dataset(&project);
    let row = newest_note(&data, 0);
    let wrong = NEWEST.replace(
        "select * from notes",
        &format!("select * from (select * from notes union all select * from notes where id = '{row}') as notes"),
    );
    caught(&project.variant("wrong", "after", &wrong), &row, &row).await;
}

#[tokio::test]
async fn a_policy_that_lets_one_foreign_row_through() {
    let project = Project::with_scenario(["right", "leaky"], "", LIST).variant("right", "after", NEWEST);
    let data = dataset(&project);
    let row = newest_note(&data, data.tenants() - 1);
    let leak = format!("{NEWEST}\ncreate policy leak on notes for select to authenticated using (id = '{row}');");
    let finished = caught(&project.variant("leaky", "after", &leak), &row, "leak: sees 1 row that it must not see").await;
    assert!(finished.says("foreign row"), "{}", finished.stdout);
}

#[tokio::test]
async fn a_policy_that_hides_one_row_of_the_whale() {
    let project = Project::with_scenario(["right", "strict"], "", LIST).variant("right", "after", NEWEST);
    let data = dataset(&project);
    let row = newest_note(&data, 0);
    let strict = format!("{NEWEST}\ncreate policy strict on notes as restrictive for select to authenticated using (id <> '{row}');");
    caught(&project.variant("strict", "after", &strict), &row, "missing: does not see 1 row of its own").await;
}

#[tokio::test]
async fn a_table_under_rls_that_nobody_declared() {
    let project = Project::with_scenario(["right", "more"], "", LIST).variant("right", "after", NEWEST);
    let more = format!("{NEWEST}\nalter table workspaces enable row level security;");
    caught(&project.variant("more", "after", &more), "workspaces is under row-level security", "suite.toml does not say").await;
}

#[tokio::test]
async fn a_view_with_its_owners_rights_over_a_table_under_rls() {
    // The leak is behind a second view, which asks with the caller's rights.
    let project = Project::with_scenario(["right", "open"], "", LIST).variant("right", "after", NEWEST);
    let open = format!(
        "{NEWEST}\ncreate view every_note as select * from notes;
         create view titles with (security_invoker = true) as select title from every_note;"
    );
    let project = project.variant("open", "after", &open);
    caught(&project, "view titles reads notes", "leak: view every_note reads notes").await;
}

#[tokio::test]
async fn a_materialized_view_of_a_table_under_rls() {
    let project = Project::with_scenario(["right", "stored"], "", LIST).variant("right", "after", NEWEST);
    let stored = format!("{NEWEST}\ncreate materialized view kept as select workspace_id, count(*) from notes group by 1;");
    caught(&project.variant("stored", "after", &stored), "kept", "leak: materialized view kept holds rows of notes").await;
}

#[tokio::test]
async fn views_with_the_callers_rights_and_views_that_nobody_may_read() {
    let sql = format!(
        "{NEWEST}
         create view own_notes with (security_invoker = true) as select * from notes;
         create view all_notes as select * from notes;
         create materialized view kept as select workspace_id, count(*) from notes group by 1;
         create view names as select name from workspaces;
         revoke all on all_notes, kept from anon, authenticated;"
    );
    let project =
        Project::with_scenario(["right", "careful"], "", LIST).variant("right", "after", NEWEST).variant("careful", "after", &sql);
    agreed(&project).await;
    let views: Vec<_> = project.lines("check").into_iter().filter(|check| check["kind"] == "isolation").collect();
    let about = |view: &str| views.iter().filter(|check| check["subject"] == view).count();
    assert_eq!([about("own_notes"), about("all_notes"), about("kept"), about("names")], [1, 0, 0, 0], "{views:?}");
}

#[tokio::test]
async fn a_table_that_the_migration_adds_for_everyone_to_read() {
    let sql = format!("{NEWEST}\ncreate table note_counts as select workspace_id, count(*) as notes from notes group by 1;");
    let project =
        Project::with_scenario(["right", "counted"], "", LIST).variant("right", "after", NEWEST).variant("counted", "after", &sql);
    caught(&project, "tenants can read note_counts", "the dataset does not fill it").await;
    // Unless somebody says why it is well.
    let suite = project.read("seeds/notes/suite.toml") + "visible.note_counts = { unchecked = \"counts are no secret\" }\n";
    project.write("seeds/notes/suite.toml", &suite);
    std::fs::remove_dir_all(project.out()).expect("the first run's folder");
    agreed(&project).await;
    let excused = |check: &serde_json::Value| check["subject"] == "note_counts" && check["outcome"] == "warning";
    let found = project.lines("check").into_iter().find(excused).expect("a warning");
    assert_eq!(found["findings"][0], "not checked: counts are no secret");
}

#[tokio::test]
async fn an_update_that_reaches_a_row_on_one_side_only() {
    let update = r#"
[[transaction]]
name     = "rename"
identity = "member"
writes   = true
answers  = "same"
draw.note = { from = "notes", within = "tenant" }

[[transaction.statement]]
name = "update"
sql  = "update notes set title = 'renamed' where id = :note"
"#;
    let policy = "create policy notes_change on notes for update to authenticated using (workspace_id in (select my_workspaces()));";
    let project = Project::with_scenario(["after", "wrong"], "", update).variant("wrong", "after", policy);
    caught(&project, "statement update", "after affects 0 rows, wrong 1").await;
}

#[tokio::test]
async fn what_a_stranger_sees_on_one_arm_only() {
    // Members get the same answer; only who is in no workspace at all sees more.
    let wrong = "create or replace function newest(workspace uuid) returns setof notes language sql stable security definer
                 set search_path = '' as $$
                   select * from public.notes
                    where workspace_id = workspace
                      and (workspace_id in (select public.my_workspaces()) or not exists (select public.my_workspaces()))
                    order by created_at desc, id limit 20 $$;";
    let project = Project::with_scenario(["right", "wrong"], "", LIST).variant("right", "after", NEWEST).variant("wrong", "right", wrong);
    caught(&project, "a user in no tenant", "right returns 0 rows, wrong 20").await;
}

#[tokio::test]
async fn a_stranger_whom_both_sides_refuse_alike() {
    let insert = r#"
[[transaction]]
name     = "add"
identity = "member"
writes   = true
draw.workspace = "tenant"
draw.user      = "user"
draw.note      = "new-uuid"

[[transaction.statement]]
name = "insert"
sql  = """
insert into notes (id, workspace_id, author_id, title, body, created_at) values (:note, :workspace, :user, 't', 'b', :now)
"""
"#;
    agreed(&Project::with_scenario(["before", "after"], "", insert)).await;
}
