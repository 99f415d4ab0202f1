//! What the database says about the columns that are to be loaded.

use anyhow::{Context, bail};
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};

use crate::dataset::{Dataset, TableId};

/// A type that COPY can be given in binary.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Type {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    /// text, varchar, char, name, citext and enums
    Text,
    Uuid,
    Json,
    Jsonb,
    /// With or without time zone: both count microseconds from 2000-01-01.
    Timestamp,
    /// pgvector's
    Vector,
    /// Of elements with this oid.
    Array(Box<Type>, u32),
}

/// A table's columns in the order of the dataset.
#[derive(Debug)]
pub(super) struct TableShape {
    pub name: String,
    pub columns: Vec<ColumnShape>,
}

/// A column with its type.
#[derive(Debug)]
pub(super) struct ColumnShape {
    pub name: String,
    pub type_: Type,
    /// As SQL says it, for messages.
    pub type_name: String,
}

impl TableShape {
    /// The COPY that takes rows of this shape.
    pub fn copy_statement(&self) -> String {
        let columns: Vec<String> = self.columns.iter().map(|c| quoted(&c.name)).collect();
        format!("copy {} ({}) from stdin with (format binary)", quoted_path(&self.name), columns.join(", "))
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `auth.users` as `"auth"."users"`.
fn quoted_path(name: &str) -> String {
    name.split('.').map(quoted).collect::<Vec<_>>().join(".")
}

/// One column of the catalogue. A domain counts as its base type.
struct Found {
    name: String,
    type_name: String,
    base: String,
    kind: String,
    /// Of an array: name, kind and oid of its element type.
    element: Option<(String, String, i64)>,
}

const COLUMNS: &str = "
select a.attname::text as name, format_type(a.atttypid, a.atttypmod) as type_name,
       t.typname::text as base, t.typtype::text as kind,
       e.typname::text as element, e.typtype::text as element_kind, e.oid::int8 as element_oid
  from pg_attribute a
  join pg_type declared on declared.oid = a.atttypid
  join pg_type t on t.oid = case when declared.typtype = 'd' then declared.typbasetype else declared.oid end
  left join pg_type e on e.oid = t.typelem and t.typcategory = 'A'
 where a.attrelid = $1::int8::oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
 order by a.attnum";

/// Looks up the columns that `dataset` makes for `table`.
pub(super) async fn shape(connection: &mut PgConnection, dataset: &Dataset, table: TableId) -> anyhow::Result<TableShape> {
    let name = dataset.table_name(table);
    let oid: Option<i64> =
        sqlx::query_scalar("select to_regclass($1)::oid::int8").bind(quoted_path(name)).fetch_one(&mut *connection).await?;
    let Some(oid) = oid else { bail!("there is no table {name} in the database, but the dataset has rows for it") };
    let rows =
        sqlx::query(COLUMNS).bind(oid).fetch_all(connection).await.with_context(|| format!("cannot look up the columns of {name}"))?;
    let found = rows.iter().map(found).collect::<Result<Vec<_>, _>>()?;
    let mut columns = Vec::new();
    for column in dataset.columns(table) {
        let Some(found) = found.iter().find(|f| f.name == column) else {
            let known: Vec<&str> = found.iter().map(|f| f.name.as_str()).collect();
            bail!("table {name} has no column {column}, but the dataset has values for it; its columns are {}", known.join(", "));
        };
        let Some(type_) = known(found) else {
            bail!("{name}.{column} is of type {}, which pgduel cannot load yet; leave the column to its default", found.type_name);
        };
        columns.push(ColumnShape { name: column.to_owned(), type_, type_name: found.type_name.clone() });
    }
    Ok(TableShape { name: name.to_owned(), columns })
}

fn found(row: &PgRow) -> Result<Found, sqlx::Error> {
    let element: Option<String> = row.try_get("element")?;
    let element = match element {
        Some(name) => Some((name, row.try_get("element_kind")?, row.try_get("element_oid")?)),
        None => None,
    };
    Ok(Found {
        name: row.try_get("name")?,
        type_name: row.try_get("type_name")?,
        base: row.try_get("base")?,
        kind: row.try_get("kind")?,
        element,
    })
}

fn known(found: &Found) -> Option<Type> {
    match &found.element {
        Some((element, kind, oid)) => Some(Type::Array(Box::new(simple(element, kind)?), u32::try_from(*oid).ok()?)),
        None => simple(&found.base, &found.kind),
    }
}

fn simple(name: &str, kind: &str) -> Option<Type> {
    Some(match name {
        _ if kind == "e" => Type::Text,
        "bool" => Type::Bool,
        "int2" => Type::Int2,
        "int4" => Type::Int4,
        "int8" => Type::Int8,
        "float4" => Type::Float4,
        "float8" => Type::Float8,
        "numeric" => Type::Numeric,
        "text" | "varchar" | "bpchar" | "name" | "citext" => Type::Text,
        "uuid" => Type::Uuid,
        "json" => Type::Json,
        "jsonb" => Type::Jsonb,
        "timestamptz" | "timestamp" => Type::Timestamp,
        "vector" => Type::Vector,
        _ => return None,
    })
}
