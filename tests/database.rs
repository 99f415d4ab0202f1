//! Databases and their marks, the guard, SQL files and the catalogue.

mod support;

use std::path::Path;

use pgduel::target::{
    APPLICATION_SCHEMAS, ApplyError, DatabaseMark, ExternalServer, Purpose, Refusal, Server, TargetError, WriteRequest, apply_sql,
    apply_sql_file, catalog, create_database, database_mark, diff, drop_database, guard_writable, index_builds, list_pgduel_databases,
    prewarm, quote_ident, remark_database,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use support::{OwnHome, TestServer};

async fn run(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn number(connection: &mut PgConnection, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

// --- Databases -----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_clone_has_the_templates_data_and_a_mark_of_its_own() {
    let shared = TestServer::shared().await;
    let template = shared.fresh_database().await;
    let mut connection = shared.connect(&template).await;
    run(&mut connection, "create extension vector; create table t as select '[1,2]'::vector(2) as v").await;
    connection.close().await.expect("closes");
    let ready = DatabaseMark::new(Purpose::Template, "digest 'of' everything");
    remark_database(shared.server(), &template, &ready).await.expect("marked");

    let clone = shared.fresh_name();
    let mark = DatabaseMark::new(Purpose::Duel, "k");
    create_database(shared.server(), &clone, Some(&template), &mark).await.expect("cloned");
    let mut connection = shared.connect(&clone).await;
    assert_eq!(number(&mut connection, "select count(*) from t where v <-> '[1,2]' = 0").await, 1);
    assert!(prewarm(&mut connection).await.expect("prewarmed") >= 1);
    assert_eq!(database_mark(&mut connection, &clone).await.expect("read"), Some(mark));
    assert_eq!(database_mark(&mut connection, &template).await.expect("read"), Some(ready));
    let listed = list_pgduel_databases(shared.server()).await.expect("listed");
    assert!(listed.iter().any(|database| database.name == clone && database.size_bytes > 0));

    // FORCE: the connection above is still open.
    drop_database(shared.server(), &clone).await.expect("dropped");
    drop_database(shared.server(), &clone).await.expect("dropping what is gone is fine");
}

#[tokio::test]
async fn an_index_that_is_being_built_is_seen() {
    let shared = TestServer::shared().await;
    let name = shared.fresh_database().await;
    let (mut other, mut watcher) = (shared.connect(&name).await, shared.connect(&name).await);
    run(&mut other, "create table t as select generate_series(1, 100) as n").await;
    assert_eq!(index_builds(&mut watcher).await.expect("read"), []);
    // Building waits for whoever has written to the table.
    run(&mut other, "begin; insert into t values (0)").await;
    let mut builder = shared.connect(&name).await;
    let build = tokio::spawn(async move { run(&mut builder, "create index concurrently on t (n)").await });
    let mut found = index_builds(&mut watcher).await.expect("read");
    for _ in 0..500 {
        found = index_builds(&mut watcher).await.expect("read");
        if found.iter().any(|one| one.phase.contains("waiting for writers")) {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(matches!(&found[..], [one] if one.table == "t" && one.phase.contains("waiting for writers")), "{found:?}");
    run(&mut other, "commit").await;
    build.await.expect("built");
    assert_eq!(index_builds(&mut watcher).await.expect("read"), []);
}

#[tokio::test]
async fn a_database_without_the_mark_is_not_dropped() {
    let shared = TestServer::shared().await;
    let name = shared.fresh_name();
    let mut admin = shared.connect("postgres").await;
    run(&mut admin, &format!("create database {}", quote_ident(&name))).await;
    for comment in ["null", "'production'"] {
        run(&mut admin, &format!("comment on database {} is {comment}", quote_ident(&name))).await;
        let error = drop_database(shared.server(), &name).await.expect_err("refused");
        assert!(error.to_string().contains("pgduel did not create it"), "{error}");
    }
    assert!(drop_database(shared.server(), "postgres").await.is_err());
    shared.connect(&name).await;
    run(&mut admin, &format!("drop database {} with (force)", quote_ident(&name))).await;
}

#[tokio::test]
async fn names_of_databases_are_quoted() {
    let shared = TestServer::shared().await;
    let name = format!("{} \"; drop table x; --", shared.fresh_name());
    let mark = DatabaseMark::new(Purpose::Scratch, "it's");
    create_database(shared.server(), &name, None, &mark).await.expect("created");
    let mut connection = shared.connect(&name).await;
    assert_eq!(database_mark(&mut connection, &name).await.expect("read"), Some(mark));
    drop_database(shared.server(), &name).await.expect("dropped");
}

// --- The guard -----------------------------------------------------------------------------------------------------

fn refusals(result: Result<(), TargetError>) -> Vec<Refusal> {
    match result {
        Ok(()) => Vec::new(),
        Err(TargetError::Refused { refusals, .. }) => refusals.0,
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn the_guard_wants_a_mark_or_the_name_typed_out() {
    let shared = TestServer::shared().await;
    let marked = shared.fresh_database().await;
    let guard = async |database: &str, typed_out_name: Option<&str>, tables: &[&str]| {
        let request = WriteRequest { database, typed_out_name, tables, ..WriteRequest::default() };
        refusals(guard_writable(shared.server(), &request).await)
    };
    assert_eq!(guard(&marked, None, &["public.t"]).await, []);

    let foreign = shared.fresh_name();
    let mut admin = shared.connect("postgres").await;
    run(&mut admin, &format!("create database {foreign}")).await;
    assert_eq!(guard(&foreign, None, &[]).await, [Refusal::NotCreatedByPgduel]);
    assert_eq!(guard(&foreign, Some("other"), &[]).await, [Refusal::OtherNameTyped("other".to_owned())]);
    assert_eq!(guard(&foreign, Some(&foreign), &["public.t"]).await, []);
    let mut connection = shared.connect(&foreign).await;
    run(&mut connection, "create table t (); create publication everything for all tables").await;
    assert_eq!(
        guard(&foreign, Some(&foreign), &["public.t", "public.u"]).await,
        [Refusal::Publication("everything".to_owned()), Refusal::ForeignTable("public.t".to_owned())]
    );
    assert_eq!(guard("no_such_database", None, &[]).await, [Refusal::Missing]);
    run(&mut admin, &format!("drop database {foreign} with (force)")).await;
}

#[tokio::test]
async fn the_guard_refuses_other_peoples_sessions() {
    let shared = TestServer::shared().await;
    let database = shared.fresh_database().await;
    let request = WriteRequest { database: &database, ..WriteRequest::default() };
    let own = shared.connect(&database).await;
    assert_eq!(refusals(guard_writable(shared.server(), &request).await), []);
    let foreign = PgConnection::connect_with(&shared.server().connect_options(&database).application_name("psql")).await.expect("connects");
    let refused = refusals(guard_writable(shared.server(), &request).await);
    assert_eq!(refused, [Refusal::ForeignSessions(1, "psql".to_owned())]);
    drop((own, foreign));
}

#[tokio::test]
async fn the_guard_does_not_even_connect_to_a_remote_host() {
    // An address of the documentation range: a connection would hang, not be refused.
    let server = Server::from(ExternalServer::parse("postgres://ann:pw@192.0.2.1/app").expect("a URL"));
    let request = WriteRequest { database: "app", typed_out_name: Some("app"), ..WriteRequest::default() };
    assert_eq!(refusals(guard_writable(&server, &request).await), [Refusal::RemoteHost]);
}

// --- SQL files -----------------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_file_is_applied_statement_by_statement() {
    let shared = TestServer::shared().await;
    let mut connection = shared.connect(&shared.fresh_database().await).await;
    let directory = OwnHome::new();
    let path = directory.path().join("after.sql");
    std::fs::write(
        &path,
        "-- A comment; with a semicolon.\ncreate table t (id int, body text);\n\n\
         create index concurrently t_id\n    on t (id);\n\
         create function f() returns text language plpgsql as $$ begin return 'a;b'; end $$;\n\
         create function g() returns int begin atomic select 1; select 2; end;\n\
         begin; insert into t values (1, f()); commit;",
    )
    .expect("written");
    let applied = apply_sql_file(&mut connection, &path).await.expect("applied");
    assert_eq!(applied.iter().map(|statement| statement.line).collect::<Vec<_>>(), [2, 4, 6, 7, 8, 8, 8]);
    assert_eq!(applied[1].sql_head, "create index concurrently t_id on t (id)");
    assert!(applied.iter().all(|statement| statement.duration_ns > 0));
    assert_eq!(number(&mut connection, "select count(*) from t where body = 'a;b' and g() = 2").await, 1);
}

#[tokio::test]
async fn a_rejected_statement_is_named_by_file_line_and_code() {
    let shared = TestServer::shared().await;
    let mut connection = shared.connect(&shared.fresh_database().await).await;
    let sql = "create table t (id int);\nbegin;\ninsert into t values (1);\nselect 'ä',\n       idd\n  from t;\n";
    let error = apply_sql(&mut connection, Path::new("seeds/x/after.sql"), sql).await.expect_err("rejected");
    let ApplyError::Sql(error) = error else {
        panic!("{error}");
    };
    assert_eq!((error.line, error.sqlstate.as_deref()), (5, Some("42703")));
    assert!(error.to_string().starts_with("seeds/x/after.sql:5: [42703] column \"idd\" does not exist"), "{error}");
    assert!(error.help.as_deref().is_some_and(|help| help.contains("t.id")), "{:?}", error.help);
    let report = format!("{:?}", miette::Report::new(*error));
    assert!(report.contains("seeds/x/after.sql:5"), "{report}");
    // The open transaction is rolled back, so the connection can be used, and what went before stays.
    assert_eq!(number(&mut connection, "select count(*) from t").await, 0);

    let unfinished = apply_sql(&mut connection, Path::new("x.sql"), "select 1;\nselect 'x").await.expect_err("refused");
    assert!(unfinished.to_string().starts_with("x.sql:2: this string does not end"), "{unfinished}");
    let missing = apply_sql_file(&mut connection, Path::new("/no/such.sql")).await.expect_err("refused");
    assert!(missing.to_string().starts_with("cannot read /no/such.sql"), "{missing}");
}

// --- The catalogue -------------------------------------------------------------------------------------------------

const BASE_SQL: &str = "
create schema auth;
create extension vector;
create table public.orgs (id uuid primary key, name text not null default 'x');
create table public.notes (
    id bigint generated always as identity primary key,
    org uuid references public.orgs (id), body text, v vector(3), n numeric(10, 2) check (n > 0));
create index notes_org on public.notes (org);
alter table public.notes enable row level security;
create policy by_org on public.notes for select to public using (org is not null);
create function auth.uid() returns uuid language sql stable as $$ select null::uuid $$;
create view public.note_count as select count(*) as n from public.notes;
create type public.mood as enum ('good', 'bad');
";

#[tokio::test]
async fn the_catalogue_sees_every_kind_of_change_and_its_undoing() {
    let shared = TestServer::shared().await;
    let mut connection = shared.connect(&shared.fresh_database().await).await;
    run(&mut connection, BASE_SQL).await;
    let before = catalog(&mut connection, &APPLICATION_SCHEMAS).await.expect("read");
    assert!(before.keys().all(|key| !key.contains("vector_in")), "an extension's own functions are left out");

    for (change, undo, key) in [
        ("alter table notes add extra int", "alter table notes drop extra", "column public.notes.extra"),
        ("alter table notes alter body set default 'y'", "alter table notes alter body drop default", "column public.notes.body"),
        ("alter table notes alter body set not null", "alter table notes alter body drop not null", "column public.notes.body"),
        ("create index i on notes (body)", "drop index i", "index public.i"),
        (
            "alter table notes add constraint c check (body <> '') not valid",
            "alter table notes drop constraint c",
            "constraint public.notes.c",
        ),
        ("alter policy by_org on notes using (true)", "alter policy by_org on notes using (org is not null)", "policy public.notes.by_org"),
        ("create policy p on orgs as restrictive for insert to public with check (false)", "drop policy p on orgs", "policy public.orgs.p"),
        ("alter table notes disable row level security", "alter table notes enable row level security", "relation public.notes"),
        ("alter table notes force row level security", "alter table notes no force row level security", "relation public.notes"),
        ("alter function auth.uid() volatile", "alter function auth.uid() stable", "routine auth.uid()"),
        ("alter function auth.uid() security definer", "alter function auth.uid() security invoker", "routine auth.uid()"),
        (
            "create or replace view note_count as select count(*) + 1 as n from notes",
            "create or replace view note_count as select count(*) as n from notes",
            "relation public.note_count",
        ),
        ("create materialized view m as select 1 as one", "drop materialized view m", "relation public.m"),
        (
            "create function tf() returns trigger language plpgsql as 'begin return new; end'; create trigger tr before insert on notes for each row execute function tf()",
            "drop function tf() cascade",
            "trigger public.notes.tr",
        ),
        ("grant select on notes to public", "revoke select on notes from public", "privileges on relation public.notes"),
        ("grant select (body) on notes to public", "revoke select (body) on notes from public", "privileges on column public.notes.body"),
        (
            "revoke execute on function auth.uid() from public",
            "grant execute on function auth.uid() to public",
            "privileges on routine auth.uid()",
        ),
        (
            "alter default privileges in schema auth grant select on tables to public",
            "alter default privileges in schema auth revoke select on tables from public",
            "privileges on default privileges of pgduel in auth on r",
        ),
        ("create sequence s", "drop sequence s", "sequence public.s"),
        ("create type mood2 as enum ('a')", "drop type mood2", "type public.mood2"),
        ("create statistics st on org, body from notes", "drop statistics st", "statistics public.st"),
        ("comment on column notes.body is 'text'", "comment on column notes.body is null", "comment on column public.notes.body"),
        ("create extension pgcrypto", "drop extension pgcrypto", "extension pgcrypto"),
    ] {
        run(&mut connection, change).await;
        let changed = diff(&before, &catalog(&mut connection, &APPLICATION_SCHEMAS).await.expect("read"));
        assert!(changed.iter().any(|line| line[2..].starts_with(key)), "{change}: {changed:#?}");
        run(&mut connection, undo).await;
        let undone = diff(&before, &catalog(&mut connection, &APPLICATION_SCHEMAS).await.expect("read"));
        assert!(undone.is_empty(), "{undo}: {undone:#?}");
    }
}

#[tokio::test]
async fn equal_schemas_made_in_another_order_have_equal_catalogues() {
    let shared = TestServer::shared().await;
    let mut catalogs = Vec::new();
    for grants in [
        "grant select on orgs to public; grant select on orgs to pg_monitor",
        "grant select on orgs to pg_monitor; grant select on orgs to public; create table x (); drop table x",
    ] {
        let mut connection = shared.connect(&shared.fresh_database().await).await;
        run(&mut connection, BASE_SQL).await;
        run(&mut connection, grants).await;
        catalogs.push(catalog(&mut connection, &APPLICATION_SCHEMAS).await.expect("read"));
    }
    assert_eq!(diff(&catalogs[0], &catalogs[1]), Vec::<String>::new());
    assert!(catalogs[0].len() > 20);
}
