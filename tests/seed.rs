//! Loading by binary COPY into a real PostgreSQL. Every test makes databases of its own.

mod support;

use std::collections::HashMap;
use std::sync::Arc;

use pgduel::dataset::{Dataset, Model, Sizing, Value};
use pgduel::seed::{self, Quiet};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, Row};
use support::TestServer;

/// A model with a column of every type that can be loaded.
const ALL_TYPES: &str = r##"
title = "Every type"
now   = "2025-11-07T12:00:00Z"
tenants = { table = "t.owners", zipf = 1.0 }

[[table]]
name = "t.owners"
rows = 7
columns.id = "uuid"

[[table]]
name   = "things"
parent = "t.owners"
rows   = 3000
order  = "at"
columns.id       = "uuid"
columns.owner    = { parent = "id" }
columns.serial   = "serial"
columns.small    = { int = [-5, 5] }
columns.whole    = { int = [-100000, 100000] }
columns.flag     = { bool = 0.5 }
columns.real     = { float = [-10, 10] }
columns.double   = { float = [-10, 10], null = 0.2 }
columns.price    = { lognormal = { median = 20, sigma = 2.0, max = 999999 }, as = "decimal:6" }
columns.free     = { float = [-10000, 10000] }
columns.text     = { chat = [3, 20] }
columns.mood     = { choice = ["good", "bad"] }
columns.doc      = { json = { a = { int = [1, 3] }, b = { chat = [2, 8], null = 0.5 } }, null = 0.1 }
columns.plain    = { json = { a = "position" } }
columns.at       = { recent = "90d", rhythm = true }
columns.tags     = { array = { fake = "word", null = 0.2 }, length = [0, 4] }
columns.uuids    = { array = "uuid", length = [0, 3] }
columns.code     = { template = "{hex4}" }
columns.v        = { vector = { dim = 12, clusters = 3, rank = 2 } }
"##;

const ALL_TABLES: &str = "
create schema t;
create extension vector with schema t;
create type mood as enum ('good', 'bad');
create domain code as text check (length(value) = 4);
create table t.owners (id uuid);
create table things (
  v t.vector(12), extra int default 9, id uuid, owner uuid, serial bigint, small smallint, whole integer, flag boolean, \"real\" real,
  double double precision, price numeric(12,6), free numeric, text text, mood mood, doc jsonb, plain json, at timestamptz, tags text[],
  uuids uuid[], code code);
";

/// An empty database with some tables.
struct Database {
    server: Arc<TestServer>,
    name: String,
}

impl Database {
    async fn create(tables: &str) -> Database {
        let server = TestServer::shared().await;
        let name = server.fresh_database().await;
        sqlx::raw_sql(AssertSqlSafe(tables.to_owned())).execute(&mut server.connect(&name).await).await.unwrap();
        Database { server, name }
    }

    fn options(&self) -> PgConnectOptions {
        self.server.server().connect_options(&self.name)
    }

    async fn text(&self, sql: &str) -> Vec<Option<String>> {
        let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.server.connect(&self.name).await).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }
}

fn dataset(model: &str) -> Arc<Dataset> {
    let model = Model::parse("test.toml", model).unwrap_or_else(|e| panic!("{e}"));
    let sizing = Sizing { scale: 1.0, vectors: None, overlays: Vec::new() };
    Arc::new(Dataset::plan(Arc::new(model), sizing, 5).unwrap())
}

/// What PostgreSQL should show of a value, as text.
fn shown(value: &Value) -> Option<String> {
    Some(match value {
        Value::Null => return None,
        Value::Text(text) => text.to_string(),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|v| shown(v).unwrap_or_else(|| "NULL".to_owned())).collect();
            format!("{{{}}}", items.join(","))
        }
        other => other.to_json().trim_matches('"').to_owned(),
    })
}

/// Rows of `things` as they lie on disk.
async fn heap(database: &Database) -> Vec<u64> {
    let rows = database.text("select (serial - 1)::text from things order by ctid").await;
    rows.iter().flatten().map(|row| row.parse().unwrap()).collect()
}

#[tokio::test]
async fn every_type_arrives_as_it_was_made() {
    let database = Database::create(ALL_TABLES).await;
    let d = dataset(ALL_TYPES);
    let report = seed::load(database.options(), d.clone(), 3, &Quiet).await.unwrap();
    assert_eq!(report.rows(), 3_007);
    assert_eq!(report.tables[1].table, "things");
    let things = d.table("things").unwrap();
    let rows: Vec<Vec<Value>> = (0..3_000).map(|row| d.row(things, row)).collect();
    for (number, column) in d.columns(things).into_iter().enumerate() {
        let shown_by_server = match column {
            "at" => format!("to_char(\"{column}\" at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')"),
            "real" => format!("\"{column}\"::float8::text"),
            "doc" => "case when doc is not null then json_build_array(doc)::text end".to_owned(),
            _ => format!("\"{column}\"::text"),
        };
        let found = database.text(&format!("select {shown_by_server} from things order by things.serial")).await;
        assert_eq!(found.len(), 3_000);
        for (row, found) in found.into_iter().enumerate() {
            let value = &rows[row][number];
            match (column, value, &found) {
                ("real", Value::Float(x), Some(found)) => assert_eq!(found.parse::<f64>().unwrap(), f64::from(*x as f32)),
                ("doc", Value::Json(text), Some(found)) => {
                    let parse = |s: &str| serde_json::from_str::<serde_json::Value>(s).unwrap();
                    assert_eq!(parse(found)[0], parse(text));
                }
                ("v", Value::Vector(xs), Some(found)) => {
                    let back: Vec<f32> = found.trim_matches(['[', ']']).split(',').map(|x| x.parse().unwrap()).collect();
                    assert_eq!(&back[..], &xs[..]);
                }
                _ => assert_eq!(found, shown(value), "{column} of row {row}"),
            }
        }
    }
    // The heap follows the load order but for rows that PostgreSQL puts into room left on an earlier page.
    let sent: HashMap<u64, usize> = d.load_order(things).into_iter().enumerate().map(|(at, row)| (row, at)).collect();
    let heap = heap(&database).await;
    let steps = heap.windows(2).filter(|pair| sent[&pair[0]] + 1 == sent[&pair[1]]).count();
    assert!(steps > heap.len() * 9 / 10, "{steps} of {}", heap.len());
    let again = Database::create(ALL_TABLES).await;
    seed::load(again.options(), d, 1, &Quiet).await.unwrap();
    assert_eq!(heap, self::heap(&again).await);
    assert_eq!(database.text("select distinct extra::text from things").await, [Some("9".to_owned())]);
}

#[tokio::test]
async fn what_does_not_fit_is_told_before_anything_is_sent() {
    let database = Database::create("create schema t; create table t.owners (id uuid, n int2, s text, p point);").await;
    for (column, expected) in [
        (r#"n = { const = 70000 }"#, "t.owners.n is of type smallint, but the dataset makes the whole number 70000"),
        (r#"s = { int = [1, 2] }"#, "t.owners.s is of type text, but the dataset makes the whole number"),
        (r#"p = { const = "1,2" }"#, "t.owners.p is of type point, which pgduel cannot load yet"),
        (r#"q = { const = 1 }"#, "table t.owners has no column q, but the dataset has values for it; its columns are id, n, s, p"),
    ] {
        let model = format!(
            "title = 'x'\nnow = '2025-11-07T12:00:00Z'\ntenants.table = 't.owners'\n[[table]]\nname = 't.owners'\nrows = 500\n\
             columns.id = 'uuid'\ncolumns.{column}\n"
        );
        let error = seed::load(database.options(), dataset(&model), 1, &Quiet).await.unwrap_err();
        assert!(format!("{error:#}").contains(expected), "{error:#}");
    }
    let missing = ALL_TYPES.replace("\"t.owners\"", "\"t.nobody\"");
    let error = seed::load(database.options(), dataset(&missing), 1, &Quiet).await.unwrap_err();
    assert!(format!("{error:#}").contains("no table t.nobody"), "{error:#}");
    assert_eq!(database.text("select count(*)::text from t.owners").await, [Some("0".to_owned())]);
}

#[tokio::test]
async fn a_refusal_of_the_server_names_the_table() {
    let tables = ALL_TABLES.replace("numeric(12,6)", "numeric(7,6)");
    let database = Database::create(&tables).await;
    let error = seed::load(database.options(), dataset(ALL_TYPES), 2, &Quiet).await.unwrap_err();
    let text = format!("{error:#}");
    assert!(text.contains("cannot load table things") && text.contains("numeric field overflow"), "{text}");
}
