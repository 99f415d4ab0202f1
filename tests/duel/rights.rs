//! Who runs what: a suite's files and a scenario's statements have the rights of their role, and no way to others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use pgduel::dataset::{Dataset, Sizing};
use pgduel::experiment::{Event, Progress, make_variant, template, template_digest};
use pgduel::suite::{self, Suite, Variant};
use pgduel::target::{DatabaseMark, Purpose, create_database, make_roles};

use crate::project::{LIST, Project, finish};
use crate::support::{OwnHome, TestServer};

const CHECKS: [&str; 3] = ["--checks-only", "--scale", "0.1"];

struct Silent;

impl Progress for Silent {
    fn event(&self, _event: &Event<'_>) {}
}

/// The example's suite with its template.
async fn seeded(server: &TestServer, project: &Project) -> (Suite, String) {
    let suite = suite::load(&project.path("seeds/notes")).expect("the example's suite");
    make_roles(server.server(), None).await.expect("the roles");
    let sizing = Sizing { scale: 0.1, vectors: None, overlays: Vec::new() };
    let dataset = Arc::new(Dataset::plan(suite.model.clone(), sizing, 1).expect("the data"));
    let digest = template_digest(&suite, &dataset, "rights", server.server()).await.expect("a digest");
    let name = template(server.server(), &suite, &dataset, &digest, &Silent).await.expect("a template");
    (suite, name)
}

fn with_file(variant: &Variant, file: &Path) -> Variant {
    Variant { sql: variant.sql.iter().cloned().chain([file.to_owned()]).collect(), ..variant.clone() }
}

/// What all databases of the server share, as text.
async fn shared(server: &TestServer) -> Vec<String> {
    let mut connection = server.connect("postgres").await;
    let mut found = Vec::new();
    for sql in [
        "select to_jsonb(a)::text from pg_authid as a order by 1",
        "select concat_ws(' ', roleid, member) from pg_auth_members order by 1",
        "select to_jsonb(s)::text from pg_db_role_setting as s where setrole <> 0 order by 1",
        "select concat_ws(' ', rolname, shobj_description(oid, 'pg_authid')) from pg_roles order by 1",
        "select pg_read_file('postgresql.auto.conf')",
    ] {
        found.extend(sqlx::query_scalar::<_, String>(sql).fetch_all(&mut connection).await.expect("the catalogue"));
    }
    found
}

async fn marks(server: &TestServer, names: &[&str]) -> Vec<(String, Option<String>)> {
    let sql = "select datname::text, shobj_description(oid, 'pg_database') from pg_database where datname = any($1) order by 1";
    sqlx::query_as(sql).bind(names).fetch_all(&mut server.connect("postgres").await).await.expect("databases")
}

#[tokio::test]
async fn no_variant_reaches_beyond_its_own_database() {
    // What all databases share is compared, so nobody else may change it meanwhile.
    let home = OwnHome::new();
    let server = TestServer::alone(&home).await;
    let project = Project::example();
    let (suite, template) = seeded(&server, &project).await;
    let (other, foreign) = (server.fresh_name(), server.fresh_name());
    make_variant(server.server(), &template, &other, &suite.variants["before"], None, &Silent).await.expect("the other arm");
    create_database(server.server(), &foreign, None, &DatabaseMark::new(Purpose::Scratch, "foreign")).await.expect("a database");
    let (databases, touched) = ([template.as_str(), &other, &foreign, "postgres"], project.path("touched"));
    let before = (shared(&server).await, marks(&server, &databases).await);
    let program = format!("copy (select 1) to program 'touch {}';", touched.display());
    let dynamic = |sql: &str| format!("do $$ begin execute {}; end $$;", format_args!("'{}'", sql.replace('\'', "''")));
    let own = |sql: &str| dynamic(&format!("X{sql}")).replace("'X", "'").replace("ME", "' || quote_ident(current_user) || '");
    // Each with the line that fails; 0 where all of the file goes through, and what it did is undone.
    let attempts: Vec<(String, usize)> = vec![
        ("reset role;\ncreate role pgduel_evil;".into(), 2),
        ("reset session authorization;\ncreate role pgduel_evil superuser;".into(), 2),
        ("set session authorization pgduel;".into(), 1),
        ("set role service_role;".into(), 1),
        ("reset role;\nalter system set fsync = off;".into(), 2),
        (dynamic("alter role authenticated set statement_timeout = 0"), 1),
        ("grant pg_execute_server_program to current_user;".into(), 1),
        ("reset role;\n".to_owned() + &program, 2),
        ("copy notes from program 'true';".into(), 1),
        ("select pg_read_file('postgresql.conf');".into(), 1),
        (format!("drop database {template};"), 1),
        (format!("drop database {other};"), 1),
        (format!("drop database {foreign};"), 1),
        ("drop database postgres;".into(), 1),
        ("create database pgduel_evil;".into(), 1),
        (format!("comment on database {other} is 'mine';"), 1),
        (format!("alter database {other} set jit = off;"), 1),
        ("create extension dblink;".into(), 1),
        ("create event trigger evil on ddl_command_end execute function x();".into(), 1),
        ("create function public.f() returns int language c as 'libc', 'abs';".into(), 1),
        (own("alter role ME set work_mem = '64kB'"), 0),
        (own("alter role ME password 'x'"), 0),
    ];
    for (number, (sql, line)) in attempts.iter().enumerate() {
        let file = project.path(&format!("seeds/notes/evil-{number}.sql"));
        std::fs::write(&file, sql).expect("a file");
        let database = server.fresh_name();
        let variant = with_file(&suite.variants["before"], &file);
        let made = make_variant(server.server(), &template, &database, &variant, None, &Silent).await;
        let error = made.expect_err(sql).to_string();
        let place = if *line > 0 { format!("evil-{number}.sql:{line}: [") } else { format!("evil-{number}.sql: changes the settings") };
        assert!(error.contains(&place), "{sql}: {error}");
        server.drop_database(&database).await;
        let after = (shared(&server).await, marks(&server, &databases).await);
        assert_eq!(after, before, "{sql}");
        assert!(!touched.exists(), "{sql}");
    }
    // Membership in oneself can be given by oneself before PostgreSQL 16.
    let file = project.path("seeds/notes/evil.sql");
    std::fs::write(&file, own("grant ME to authenticated")).expect("a file");
    let database = server.fresh_name();
    let variant = with_file(&suite.variants["before"], &file);
    make_variant(server.server(), &template, &database, &variant, None, &Silent).await.expect_err("refused");
    for database in [&database, &other, &foreign] {
        server.drop_database(database).await;
    }
    assert_eq!(shared(&server).await, before.0);
}

#[tokio::test]
async fn what_all_arms_share_is_refused_with_its_place() {
    let sql = "create index on notes (title);\nalter role authenticated set work_mem = '1MB';\n";
    let project = Project::with_scenario(["before", "evil"], "", LIST).variant("evil", "before", sql);
    let place = "seeds/notes/evil.sql:2: roles belong to the whole server";
    finish(&mut project.pgduel(&["lint"])).expect_code(2).expect_said(place).expect_said("move it to platform");
    finish(&mut project.duel("notes/planted", &CHECKS)).expect_code(2).expect_said(place);
}

#[tokio::test]
async fn what_needs_a_superuser_is_told_where_it_may_stand() {
    let server = TestServer::shared().await;
    let project = Project::with_scenario(["before", "evil"], "", LIST).variant("evil", "before", "\ncreate extension dblink;");
    finish(project.duel("notes/planted", &CHECKS).env("DATABASE_URL", server.url("postgres")))
        .expect_code(4)
        .expect_said("seeds/notes/evil.sql:2: [42501]")
        .expect_said("move it to platform");
}

#[tokio::test]
async fn new_tables_get_the_platforms_grants_and_variants_may_publish_and_use_trusted_extensions() {
    let server = TestServer::shared().await;
    let sql = "create extension pg_trgm; create index on notes using gin (title gin_trgm_ops);\n\
               create publication changes for table notes;\n\
               create table drafts (id uuid);\n";
    let project = Project::with_scenario(["before", "more"], "", LIST).variant("more", "before", sql);
    finish(project.duel("notes/planted", &CHECKS).env("DATABASE_URL", server.url("postgres")))
        .expect_code(6)
        .expect_said("tenants can read drafts in more");
}

const ACTING: &str = "
[[transaction]]
name     = \"act\"
identity = \"member\"
draw.workspace = \"tenant\"

[[transaction.statement]]
name = \"first\"
sql  = \"SQL\"
";

#[tokio::test]
async fn a_statement_that_changes_who_asks_fails_the_checks() {
    let server = TestServer::shared().await;
    for (sql, said) in [
        ("select set_config('role', 'none', true), :workspace::uuid", "changes the role from \"authenticated\" to \"pgduel_requests\""),
        (
            "select set_config('role', 'service_role', true), :workspace::uuid",
            "changes the role from \"authenticated\" to \"service_role\"",
        ),
        ("select set_config('request.jwt.claims', '{}', true), :workspace::uuid", "changes the claims from"),
        ("select set_config('request.jwt.claim.sub', 'x', true), :workspace::uuid", "changes a claim from"),
        ("select set_config('row_security', 'off', true), :workspace::uuid", "changes row_security from \"on\" to \"off\""),
    ] {
        let project = Project::with_scenario(["before", "after"], "", &ACTING.replace("SQL", sql));
        finish(project.duel("notes/planted", &CHECKS).env("DATABASE_URL", server.url("postgres")))
            .expect_code(6)
            .expect_said("act/first")
            .expect_said(said);
    }
    // What logs in for requests is a member of the API roles alone.
    let project = Project::with_scenario(
        ["before", "after"],
        "",
        &ACTING.replace("SQL", "select set_config('role', 'postgres', true), :workspace::uuid"),
    );
    finish(project.duel("notes/planted", &CHECKS).env("DATABASE_URL", server.url("postgres")))
        .expect_code(4)
        .expect_said("permission denied to set role");
}

#[tokio::test]
async fn a_function_that_changes_who_asks_fails_the_checks() {
    let server = TestServer::shared().await;
    let sql = "create function pass(workspace uuid) returns uuid language plpgsql as $$\n\
               begin perform set_config('role', 'service_role', true); return workspace; end $$;\n";
    let call = ACTING.replace("SQL", "select id from notes where workspace_id = pass(:workspace) order by id limit 3");
    let project = Project::with_scenario(["plain", "evil"], "", &call)
        .variant("plain", "before", "create function pass(workspace uuid) returns uuid language sql as $$ select workspace $$;")
        .variant("evil", "before", sql);
    finish(project.duel("notes/planted", &CHECKS).env("DATABASE_URL", server.url("postgres")))
        .expect_code(6)
        .expect_said("evil: act/first: changes the role from \"authenticated\" to \"service_role\"");
}

#[tokio::test]
async fn statements_of_nobody_log_in_as_the_role_that_the_suite_names() {
    let server = TestServer::shared().await;
    let asks = "
[[transaction]]
name     = \"who\"
identity = \"none\"

[[transaction.statement]]
name = \"first\"
sql  = \"select session_user::text, current_user::text, 1 / (session_user = 'notes_app')::int\"
";
    let project = Project::with_scenario(["before", "after"], "", asks);
    finish(&mut project.duel("notes/planted", &CHECKS)).expect_code(2).expect_said("the suite names no login for it");
    project.names_a_login();
    finish(project.duel("notes/planted", &CHECKS).env("DATABASE_URL", server.url("postgres"))).expect_code(0);
    let mixed = Project::with_scenario(["before", "after"], "", &format!("{asks}{LIST}"));
    mixed.names_a_login();
    finish(&mut mixed.duel("notes/planted", &CHECKS)).expect_code(2).expect_said("they log in as different roles");
}

#[tokio::test]
async fn what_a_role_was_left_with_is_taken_from_it() {
    let home = OwnHome::new();
    let server = TestServer::alone(&home).await;
    make_roles(server.server(), Some("pgduel_test_login")).await.expect("the roles");
    let mut admin = server.connect("postgres").await;
    for role in ["postgres", "pgduel_requests", "pgduel_test_login"] {
        let sql = format!("alter role {role} set local_preload_libraries = 'nope'; alter role {role} in database postgres set jit = off");
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut admin).await.expect("set");
        make_roles(server.server(), Some("pgduel_test_login")).await.expect("the roles");
    }
    let left: i64 = sqlx::query_scalar("select count(*) from pg_db_role_setting").fetch_one(&mut admin).await.expect("a count");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn what_a_platform_sets_for_the_database_holds_on_every_arm() {
    let server = TestServer::shared().await;
    let asks = ACTING.replace("SQL", "select 1 / (current_setting('work_mem') = '1234kB')::int, :workspace::uuid");
    let project = Project::with_scenario(["before", "after"], "", &asks);
    let sets = "do $$ begin execute format('alter database %I set work_mem = ''1234kB''', current_database()); end $$;";
    project.write("seeds/notes/auth.sql", &format!("{}\n{sets}", project.read("seeds/notes/auth.sql")));
    finish(project.duel("notes/planted", &CHECKS).env("DATABASE_URL", server.url("postgres"))).expect_code(0);
}

#[tokio::test]
async fn policies_for_the_suites_login_act_and_what_it_lacks_is_told() {
    let server = TestServer::shared().await;
    let asks = "
[[transaction]]
name     = \"count\"
identity = \"none\"

[[transaction.statement]]
name = \"notes\"
sql  = \"select 1 / (count(*) = 7)::int from notes\"
";
    let project = Project::with_scenario(["before", "after"], "", asks);
    project.names_a_login();
    let url = server.url("postgres");
    finish(project.duel("notes/planted", &CHECKS).env("DATABASE_URL", &url))
        .expect_code(4)
        .expect_said("permission denied for table notes")
        .expect_said("grant it in the suite's files");
    let sql = "create table notes_seen as select id from notes order by id limit 7;\n\
               revoke all on notes_seen from anon, authenticated, service_role;\n\
               grant select on notes, notes_seen to notes_app;\n\
               create policy notes_app on notes to notes_app using (id in (select id from notes_seen));\n";
    project.write("seeds/notes/before.sql", &(project.read("seeds/notes/before.sql") + sql));
    std::fs::remove_dir_all(project.out()).expect("the first run's folder");
    finish(project.duel("notes/planted", &CHECKS).env("DATABASE_URL", &url)).expect_code(0);
}

#[tokio::test]
async fn a_role_of_somebody_elses_is_not_taken() {
    let server = TestServer::shared().await;
    let mut admin = server.connect("postgres").await;
    sqlx::raw_sql("drop role if exists pgduel_test_app; create role pgduel_test_app").execute(&mut admin).await.expect("a role");
    let project = Project::with_scenario(["before", "after"], "", LIST);
    let suite = project.read("seeds/notes/suite.toml");
    project.write("seeds/notes/suite.toml", &format!("login = \"pgduel_test_app\"\n{suite}"));
    finish(project.duel("notes/planted", &CHECKS).env("DATABASE_URL", server.url("postgres")))
        .expect_code(2)
        .expect_said("role \"pgduel_test_app\" is there already, and pgduel did not make it");
    sqlx::raw_sql("drop role pgduel_test_app").execute(&mut admin).await.expect("dropped");
}

/// A dump as `pg_dump` makes it of a Supabase project's schema `public`.
#[tokio::test]
async fn a_dump_in_supabases_style_loads_and_passes() {
    let server = TestServer::shared().await;
    let project = Project::example();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let copy = |from: PathBuf, to: &str| std::fs::copy(from, project.path(to)).expect("copied");
    copy(root.join("seeds/supabase.sql"), "seeds/supabase.sql");
    copy(root.join("seeds/supabase-counting.sql"), "seeds/supabase-counting.sql");
    for (section, file) in [("pre-data", "base.sql"), ("post-data", "indexes.sql")] {
        copy(root.join(format!("tests/data/supabase/{section}.sql")), &format!("seeds/notes/{file}"));
    }
    project.write("seeds/notes/before.sql", "-- The dump has all of it.\n");
    // pg_dump writes the rights that differ from PostgreSQL's defaults. The platform's default privileges would add rights that the dump does not have.
    let kinds = ["tables", "sequences", "functions"];
    let none = |kind| format!("alter default privileges in schema public revoke all on {kind} from anon, authenticated, service_role;\n");
    project.write("seeds/notes/defaults.sql", &kinds.map(none).concat());
    let suite = project.read("seeds/notes/suite.toml").replace("\"auth.sql\"", "\"../supabase.sql\"");
    let suite = suite.replace("\"base.sql\"", "\"defaults.sql\", \"base.sql\"");
    project.write("seeds/notes/suite.toml", &suite);
    project.write("scenarios/notes/planted.toml", &format!("title = \"Planted\"\nduel = [\"before\", \"after\"]\n{LIST}"));
    let owned = project.read("seeds/notes/base.sql");
    assert!(owned.contains("OWNER TO \"postgres\"") && owned.contains("\\restrict "), "as Supabase dumps are");
    // On pgduel's own server the owner is called postgres.
    finish(&mut project.duel("notes/planted", &CHECKS)).expect_code(0);
    // On others it is dumped with --no-owner, and its default privileges are those of whoever applies it.
    let without = |text: &str| {
        let kept = text.lines().filter(|line| !line.contains("OWNER TO"));
        kept.map(|line| line.replace("FOR ROLE \"postgres\" ", "") + "\n").collect::<String>()
    };
    for file in ["seeds/notes/base.sql", "seeds/notes/indexes.sql"] {
        project.write(file, &without(&project.read(file)));
    }
    std::fs::remove_dir_all(project.out()).expect("the first run's folder");
    finish(project.duel("notes/planted", &CHECKS).env("DATABASE_URL", server.url("postgres"))).expect_code(0);
}
