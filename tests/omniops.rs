//! The Omniops suite on a real PostgreSQL: its variants can be made, its migrations can be undone, its scenarios pass their checks.

mod support;

use std::path::Path;
use std::sync::Arc;

use pgduel::check::views;
use pgduel::dataset::{Dataset, Sizing};
use pgduel::experiment::{Event, Progress, make_variant, template, template_digest};
use pgduel::record::{Arm, Factor};
use pgduel::scenario;
use pgduel::suite::{self, Suite};
use pgduel::target::{APPLICATION_SCHEMAS, Catalog, Login, apply_sql_file, catalog, diff, make_roles};
use sqlx::PgConnection;
use support::TestServer;

struct Silent;

impl Progress for Silent {
    fn event(&self, _event: &Event<'_>) {}
}

/// The smallest template that has rows in every table; the constraints of a migration and of its rollback are about rows too.
async fn seeded(server: &TestServer) -> (Suite, String) {
    let suite = suite::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds/omniops")).expect("the suite");
    let sizing = Sizing { scale: 0.01, vectors: Some(20), overlays: Vec::new() };
    let dataset = Arc::new(Dataset::plan(suite.model.clone(), sizing, 1).expect("the data"));
    make_roles(server.server(), None).await.expect("the roles");
    let digest = template_digest(&suite, &dataset, "tests", server.server()).await.expect("a digest");
    let name = template(server.server(), &suite, &dataset, &digest, &Silent).await.expect("a seeded template");
    (suite, name)
}

/// What stands in the places of a variant's files: the value of the first arm on it that a sweep made.
fn factor(variant: &str) -> Option<Factor> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paths = scenario::discover(root, "omniops").expect("the scenarios");
    let arms = paths.iter().flat_map(|path| scenario::load(root, path).expect("a scenario").arms.values().cloned().collect::<Vec<_>>());
    arms.filter(|arm| arm.variant == variant).find_map(|arm| arm.factor)
}

async fn schema(server: &TestServer, database: &str) -> Catalog {
    catalog(&mut server.connect(database).await, &APPLICATION_SCHEMAS).await.expect("the catalogue")
}

async fn as_owner(server: &TestServer, database: &str) -> PgConnection {
    server.server().connect_as(Login::Owner, database).await.expect("the owner is let in")
}

#[tokio::test]
async fn a_rollback_leads_back_to_where_the_migration_started() {
    let server = TestServer::shared().await;
    let (suite, template) = seeded(&server).await;
    let mut rolled_back = Vec::new();
    for (name, variant) in suite.variants.iter().filter(|(_, variant)| !variant.rollback.is_empty()) {
        let from = &suite.variants[variant.from.as_ref().expect("a rollback leads back to somewhere")];
        let (before, after) = (server.fresh_name(), server.fresh_name());
        make_variant(server.server(), &template, &before, from, None, &Silent)
            .await
            .unwrap_or_else(|error| panic!("{}: {error:#}", from.name));
        make_variant(server.server(), &template, &after, variant, None, &Silent).await.unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let start = schema(&server, &before).await;
        let changed = diff(&start, &schema(&server, &after).await);
        assert!(changed.len() > 20, "{name} changes next to nothing: {changed:#?}");

        let mut connection = as_owner(&server, &after).await;
        for file in &variant.rollback {
            apply_sql_file(&mut connection, file).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        drop(connection);
        assert_eq!(diff(&start, &schema(&server, &after).await), Vec::<String>::new(), "after the rollback of {name}");

        // What was rolled back can be migrated again.
        let mut connection = as_owner(&server, &after).await;
        let own = &variant.sql[from.sql.len()..];
        for file in own {
            apply_sql_file(&mut connection, file).await.unwrap_or_else(|error| panic!("{name}, again: {error}"));
        }
        drop(connection);
        assert_eq!(diff(&start, &schema(&server, &after).await), changed, "{name}, migrated again");
        for database in [before, after] {
            server.drop_database(&database).await;
        }
        rolled_back.push(name.as_str());
    }
    assert_eq!(rolled_back, ["after", "after-customer"], "the migration from both states before it");
}

#[tokio::test]
async fn every_variant_can_be_made() {
    let server = TestServer::shared().await;
    let (suite, template) = seeded(&server).await;
    for (name, variant) in &suite.variants {
        let database = server.fresh_name();
        let made = make_variant(server.server(), &template, &database, variant, factor(name).as_ref(), &Silent)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        assert_eq!(made.applied.len(), variant.sql.len(), "{name}");
        server.drop_database(&database).await;
    }
}

#[tokio::test]
async fn what_a_migration_rewrites_is_analysed_again() {
    let server = TestServer::shared().await;
    let (suite, template) = seeded(&server).await;
    let folder = tempfile::tempdir().expect("a temporary directory");
    let file = folder.path().join("rewrite.sql");
    // Neither changes a row as the statistics count rows: one writes the table anew, the other does not touch it.
    let sql = "alter table messages add column length int generated always as (length(content)) stored;\n\
               alter table conversations add column archived boolean not null default false;\n";
    std::fs::write(&file, sql).expect("a file");
    let mut variant = suite.variants["before-domain"].clone();
    variant.sql.push(file);
    let database = server.fresh_name();
    make_variant(server.server(), &template, &database, &variant, None, &Silent).await.expect("the variant can be made");
    let mut connection = server.connect(&database).await;
    let analysed: Vec<String> = sqlx::query_scalar(
        "select tablename::text from pg_stats where (tablename, attname) in (('messages', 'length'), ('conversations', 'archived')) order by 1",
    )
    .fetch_all(&mut connection)
    .await
    .expect("statistics");
    assert_eq!(analysed, ["conversations", "messages"]);
    // Nothing touched the pages, and their indexes on expressions want no statistics: new ones would be a lottery between the arms.
    let pages: Option<bool> = sqlx::query_scalar("select last_analyze is null from pg_stat_user_tables where relname = 'scraped_pages'")
        .fetch_one(&mut connection)
        .await
        .expect("the table's counters");
    assert_eq!(pages, Some(true), "scraped_pages was analysed again");
    drop(connection);
    server.drop_database(&database).await;
}

/// Views that the checks of isolation report, as `view: passed`.
async fn views(server: &TestServer, database: &str) -> Vec<String> {
    let mut connection = server.connect(database).await;
    let records = views::check(&mut connection, "omniops/views", Arm::at(1)).await.expect("the views are looked at");
    records.into_iter().map(|record| format!("{}: {:?} {}", record.subject, record.outcome, record.findings.join("; "))).collect()
}

#[tokio::test]
async fn no_variant_has_a_view_that_goes_around_row_level_security_and_one_would_be_found() {
    let server = TestServer::shared().await;
    let (suite, template) = seeded(&server).await;
    for (name, variant) in &suite.variants {
        let database = server.fresh_name();
        make_variant(server.server(), &template, &database, variant, factor(name).as_ref(), &Silent)
            .await
            .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        let migrated = name.starts_with("after");
        let expected: &[&str] = if migrated { &["organization_activity: Passed "] } else { &[] };
        assert_eq!(views(&server, &database).await, expected, "{name}");
        if name == "after" {
            let mut connection = server.connect(&database).await;
            sqlx::query("alter view organization_activity reset (security_invoker)").execute(&mut connection).await.expect("altered");
            let found = views(&server, &database).await;
            assert!(
                found[0].starts_with("organization_activity: Failed leak: view organization_activity reads conversations"),
                "{found:?}"
            );
        }
        server.drop_database(&database).await;
    }
}

/// Every scenario as a user runs it, on little data: its SQL can be prepared, its arms answer alike, nothing leaks, searches find what they must;
/// and overlays are there for those alone that ask for them.
#[tokio::test]
async fn every_scenario_answers_alike_and_leaks_nothing() {
    let server = TestServer::shared().await;
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_pgduel"))
        .args(["duel", "omniops", "--checks-only", "--scale", "0.05", "--vectors", "200", "--out"])
        .arg(&out)
        .env("DATABASE_URL", server.url("postgres"))
        .output()
        .expect("pgduel runs");
    let said = String::from_utf8_lossy(&run.stdout);
    assert_eq!(run.status.code(), Some(0), "{said}\n{}", String::from_utf8_lossy(&run.stderr));
    let record = pgduel::record::read(&out.join("run.jsonl")).expect("the record");
    assert_eq!(record.header.dataset.overlays, Vec::<String>::new());
    let mut with_overlays = Vec::new();
    let mut ended = 0;
    for line in &record.lines {
        match line {
            pgduel::record::Line::Scenario(scenario) if !scenario.overlays.is_empty() => with_overlays.push(scenario.scenario.as_str()),
            pgduel::record::Line::ScenarioEnd(_) => ended += 1,
            _ => {}
        }
    }
    assert_eq!(with_overlays, ["omniops/history-length"]);
    assert_eq!(ended, std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios/omniops")).expect("scenarios").count());
}
