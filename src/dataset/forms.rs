//! The forms a column can have in `dataset.toml`, and the checks that references exist and end somewhere.

use std::collections::BTreeMap;

use super::error::DatasetError;
use super::model::*;
use super::read::{Fields, Node};
use super::{ColumnId, TableId, Value};

type Result<T> = std::result::Result<T, DatasetError>;

/// Names of all tables and columns.
#[derive(Default)]
pub(super) struct Names {
    tables: Vec<(String, Vec<String>)>,
}

impl Names {
    pub fn add(&mut self, table: &str, columns: Vec<String>) -> bool {
        let new = self.tables.iter().all(|(name, _)| name != table);
        self.tables.push((table.to_owned(), columns));
        new
    }

    /// A further column of a table; `None` if it has it already.
    pub fn add_column(&mut self, table: TableId, column: &str) -> Option<ColumnId> {
        let columns = &mut self.tables.get_mut(usize::from(table.0))?.1;
        if columns.iter().any(|c| c == column) {
            return None;
        }
        columns.push(column.to_owned());
        u16::try_from(columns.len() - 1).ok().map(ColumnId)
    }

    pub fn find_table(&self, name: &str) -> Option<TableId> {
        let number = self.tables.iter().position(|(table, _)| table == name)?;
        u16::try_from(number).ok().map(TableId)
    }

    pub fn table(&self, node: &Node) -> Result<TableId> {
        let name = node.text()?;
        self.find_table(name).ok_or_else(|| {
            let all: Vec<&str> = self.tables.iter().map(|(t, _)| t.as_str()).collect();
            node.error(format!("there is no table `{name}`"), format!("tables: {}", all.join(", ")))
        })
    }

    pub fn find_column(&self, table: TableId, name: &str) -> Option<ColumnId> {
        let number = self.columns(table).iter().position(|c| c == name)?;
        u16::try_from(number).ok().map(ColumnId)
    }

    pub fn column(&self, table: TableId, node: &Node) -> Result<ColumnId> {
        let name = node.text()?;
        self.find_column(table, name).ok_or_else(|| {
            node.error(
                format!("table `{}` has no column `{name}`", self.table_name(table)),
                format!("its columns: {}", self.columns(table).join(", ")),
            )
        })
    }

    pub fn column_name(&self, table: TableId, column: ColumnId) -> String {
        self.columns(table).get(usize::from(column.0)).cloned().unwrap_or_default()
    }

    fn table_name(&self, table: TableId) -> &str {
        self.tables.get(usize::from(table.0)).map_or("", |(name, _)| name)
    }

    fn columns(&self, table: TableId) -> &[String] {
        self.tables.get(usize::from(table.0)).map_or(&[], |(_, columns)| columns)
    }
}

/// Where a column stands.
pub(super) struct Scope<'a> {
    pub names: &'a Names,
    pub parents: &'a [Option<TableId>],
    pub table: TableId,
}

/// The forms that are a table, by their leading key, with the keys that may go with it.
const FORMS: [(&str, &[&str]); 24] = [
    ("parent", &["of"]),
    ("ancestor", &["column"]),
    ("first", &["column"]),
    ("pick", &["column"]),
    ("same", &[]),
    ("template", &[]),
    ("recent", &["half-life", "rhythm"]),
    ("after", &["within"]),
    ("step", &["after-parent", "jitter"]),
    ("json", &[]),
    ("array", &["length"]),
    ("cycle", &[]),
    ("choice", &["weights"]),
    ("chat", &[]),
    ("page", &[]),
    ("words", &[]),
    ("vector", &[]),
    ("int", &[]),
    ("float", &["as"]),
    ("lognormal", &["as"]),
    ("bool", &[]),
    ("const", &[]),
    ("fake", &[]),
    ("is", &[]),
];

const BARE: [&str; 4] = ["uuid", "serial", "position", "siblings"];

fn bare(node: &Node) -> Result<Kind> {
    match node.text()? {
        "uuid" => Ok(Kind::Uuid),
        "serial" => Ok(Kind::Serial),
        "position" => Ok(Kind::Position),
        "siblings" => Ok(Kind::Siblings),
        other => Err(node.error(format!("`{other}` is no generator"), format!("{}; for a fixed value {{ const = ... }}", BARE.join(", ")))),
    }
}

impl Scope<'_> {
    /// A column's generator.
    pub fn cell(&self, node: &Node) -> Result<Cell> {
        if !node.is_table() {
            return Ok(Cell { kind: bare(node)?, null: 0.0 });
        }
        let fields = node.table()?;
        let Some((form, extra)) = FORMS.iter().find(|(form, _)| fields.get(form).is_some()) else {
            let forms: Vec<&str> = FORMS.iter().map(|(form, _)| *form).collect();
            return Err(
                fields.error("is no generator", format!("{}, or {{ <form> = ... }} with one of {}", BARE.join(", "), forms.join(", ")))
            );
        };
        let mut allowed = vec![*form, "null"];
        allowed.extend_from_slice(extra);
        fields.only(&allowed)?;
        let null = fields.get("null").map_or(Ok(0.0), |n| n.number(0.0, 1.0))?;
        let kind = self.kind(form, fields.need(form)?, &fields)?;
        Ok(Cell { kind, null })
    }

    fn kind(&self, form: &str, node: &Node, fields: &Fields) -> Result<Kind> {
        Ok(match form {
            "parent" => Kind::Ancestor(self.parent(node, fields)?),
            "ancestor" => {
                let table = self.ancestor(self.names.table(node)?, node)?;
                Kind::Ancestor(self.of(table, fields.need("column")?)?)
            }
            "first" => Kind::First(self.of(self.names.table(node)?, fields.need("column")?)?),
            "pick" => Kind::Pick(self.of(self.names.table(node)?, fields.need("column")?)?),
            "same" => Kind::Same(self.names.column(self.table, node)?),
            "template" => Kind::Template(self.template(node)?),
            "recent" => Kind::Recent {
                window_us: node.duration_us()?,
                half_life_us: fields.get("half-life").map(Node::duration_us).transpose()?,
                rhythm: match fields.get("rhythm").map_or(Ok(false), Node::boolean)? {
                    true => Rhythm::Day,
                    false => Rhythm::Flat,
                },
            },
            "after" => Kind::After { column: self.names.column(self.table, node)?, within_us: fields.need("within")?.duration_us()? },
            "step" => {
                let table = self.ancestor_or_parent(None, node)?;
                Kind::Step {
                    after: self.of(table, fields.need("after-parent")?)?,
                    step_us: node.duration_us()?,
                    jitter: fields.get("jitter").map_or(Ok(0.0), |n| n.number(0.0, 1.0))?,
                }
            }
            "json" => {
                let mut members = Vec::new();
                for (name, member) in node.table()?.iter() {
                    members.push((name.to_owned(), self.cell(member)?));
                }
                Kind::Json(members)
            }
            "array" => {
                let (low, high) = fields.need("length")?.pair(|n| n.count(0, 10_000))?;
                Kind::Array { of: Box::new(self.cell(node)?), low, high }
            }
            "is" => bare(node)?,
            _ => plain(form, node, fields)?,
        })
    }

    fn of(&self, table: TableId, column: &Node) -> Result<ColumnRef> {
        Ok(ColumnRef { table, column: self.names.column(table, column)? })
    }

    fn up(&self, table: TableId) -> Option<TableId> {
        self.parents.get(usize::from(table.0)).copied().flatten()
    }

    fn ancestor(&self, wanted: TableId, node: &Node) -> Result<TableId> {
        let mut lineage = Vec::new();
        let mut at = self.up(self.table);
        while let Some(table) = at {
            if table == wanted {
                return Ok(table);
            }
            lineage.push(self.names.table_name(table));
            at = self.up(table);
        }
        Err(node.error(
            format!("`{}` is no ancestor of `{}`", self.names.table_name(wanted), self.names.table_name(self.table)),
            if lineage.is_empty() { "this table has no parent".to_owned() } else { format!("its ancestors: {}", lineage.join(", ")) },
        ))
    }

    fn ancestor_or_parent(&self, of: Option<&Node>, node: &Node) -> Result<TableId> {
        match of {
            Some(of) => self.ancestor(self.names.table(of)?, of),
            None => self.up(self.table).ok_or_else(|| node.error("this table has no parent", "give the table a `parent`")),
        }
    }

    /// `{ parent = "id" }`, `{ parent = "id", of = "domains" }`.
    fn parent(&self, node: &Node, fields: &Fields) -> Result<ColumnRef> {
        let table = self.ancestor_or_parent(fields.get("of"), node)?;
        self.of(table, node)
    }

    fn template(&self, node: &Node) -> Result<Vec<Piece>> {
        let mut rest = node.text()?;
        let mut pieces = Vec::new();
        while let Some(open) = rest.find('{') {
            if open > 0 {
                pieces.push(Piece::Literal(rest[..open].to_owned()));
            }
            let Some(close) = rest[open..].find('}') else {
                return Err(node.error("a { has no }", "close it"));
            };
            pieces.push(self.placeholder(&rest[open + 1..open + close], node)?);
            rest = &rest[open + close + 1..];
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        Ok(pieces)
    }

    fn placeholder(&self, name: &str, node: &Node) -> Result<Piece> {
        if let Some(digits) = name.strip_prefix("hex").and_then(|n| n.parse::<u64>().ok()).filter(|n| (1..=256).contains(n)) {
            return Ok(Piece::Hex(digits));
        }
        if let Some((low, high)) = name.strip_prefix("int:").and_then(|r| r.split_once('-'))
            && let (Ok(low), Ok(high)) = (low.parse::<i64>(), high.parse::<i64>())
            && low <= high
        {
            return Ok(Piece::Int(low, high));
        }
        if let Some((_, kind)) = FakeKind::WORDS.iter().find(|(word, _)| *word == name) {
            return Ok(Piece::Fake(*kind));
        }
        match name {
            "row" => return Ok(Piece::Row),
            "position" => return Ok(Piece::Position),
            _ => {}
        }
        if let Some((table, column)) = name.rsplit_once('.')
            && let Some(table) = self.names.find_table(table)
        {
            let table = self.ancestor(table, node)?;
            if let Some(column) = self.names.find_column(table, column) {
                return Ok(Piece::Column(ColumnRef { table, column }));
            }
        }
        Err(node.error(
            format!("`{{{name}}}` is no placeholder"),
            "{hex16} (any number of digits), {row}, {position}, {int:1-900}, {name}, {word}, {domain} and the other kinds of `fake`, {ancestor_table.column}",
        ))
    }
}

fn constant(node: &Node) -> Result<Value> {
    use toml::de::DeValue;
    match node.raw() {
        DeValue::String(text) => Ok(Value::Text(text.as_ref().into())),
        DeValue::Boolean(b) => Ok(Value::Bool(*b)),
        DeValue::Integer(_) => node.int(i64::MIN, i64::MAX).map(Value::Int),
        DeValue::Float(_) => node.number(f64::MIN, f64::MAX).map(Value::Float),
        _ => Err(node.error("is no simple value", "a string, a number, true or false")),
    }
}

fn number_as(fields: &Fields) -> Result<NumberAs> {
    let Some(node) = fields.get("as") else { return Ok(NumberAs::Float) };
    let text = node.text()?;
    match text.strip_prefix("decimal:").map(str::parse::<u8>) {
        Some(Ok(digits)) if digits <= 9 => Ok(NumberAs::Decimal(digits)),
        None if text == "int" => Ok(NumberAs::Int),
        None if text == "float" => Ok(NumberAs::Float),
        _ => Err(node.error(format!("`{text}` is no number type"), "float, int, decimal:0 to decimal:9")),
    }
}

/// The forms that refer to nothing else.
fn plain(form: &str, node: &Node, fields: &Fields) -> Result<Kind> {
    Ok(match form {
        "cycle" => Kind::Cycle(node.some()?.iter().map(constant).collect::<Result<_>>()?),
        "choice" => choice(node, fields)?,
        "chat" => node.pair(|n| n.count(1, 10_000)).map(|(a, b)| Kind::Chat(a, b))?,
        "page" => node.pair(|n| n.count(1, 1_000_000)).map(|(a, b)| Kind::Page(a, b))?,
        "words" => node.pair(|n| n.count(0, 10_000)).map(|(a, b)| Kind::Words(a, b))?,
        "int" => node.pair(|n| n.int(i64::MIN, i64::MAX)).map(|(a, b)| Kind::Int(a, b))?,
        "float" => {
            let (low, high) = node.pair(|n| n.number(-1e300, 1e300))?;
            Kind::Float(low, high, number_as(fields)?)
        }
        "lognormal" => {
            let inner = node.table()?;
            inner.only(&["median", "sigma", "min", "max"])?;
            Kind::LogNormal {
                median: inner.need("median")?.number(1e-12, 1e12)?,
                sigma: inner.need("sigma")?.number(0.0, 5.0)?,
                min: inner.get("min").map_or(Ok(0.0), |n| n.number(0.0, 1e9))?,
                max: inner.get("max").map_or(Ok(1e9), |n| n.number(0.0, 1e9))?,
                as_: number_as(fields)?,
            }
        }
        "bool" => Kind::Bool(node.number(0.0, 1.0)?),
        "const" => Kind::Const(constant(node)?),
        "fake" => Kind::Fake(node.word(&FakeKind::WORDS)?),
        _ => Kind::Vector(vector(node)?),
    })
}

fn choice(node: &Node, fields: &Fields) -> Result<Kind> {
    let values: Vec<Value> = node.some()?.iter().map(constant).collect::<Result<_>>()?;
    let weights = match fields.get("weights") {
        None => vec![1.0; values.len()],
        Some(weights) => {
            let read: Vec<f64> = weights.array()?.iter().map(|n| n.number(0.0, 1e9)).collect::<Result<_>>()?;
            if read.len() != values.len() || read.iter().all(|w| *w == 0.0) {
                return Err(weights.error("do not match the choices", format!("{} numbers, not all 0", values.len())));
            }
            read
        }
    };
    Ok(Kind::Choice { values, cumulative: super::rng::cumulate(weights) })
}

fn vector(node: &Node) -> Result<VectorModel> {
    let fields = node.table()?;
    fields.only(&["dim", "clusters", "rank", "spread", "noise", "cluster-zipf", "tenant-affinity"])?;
    let number = |key: &str, default: f64, max: f64| fields.get(key).map_or(Ok(default), |n| n.number(0.0, max));
    Ok(VectorModel {
        dim: usize::try_from(fields.need("dim")?.count(1, 16_000)?).unwrap_or(1),
        clusters: fields.get("clusters").map_or(Ok(200), |n| n.count(1, 10_000))?,
        rank: usize::try_from(fields.get("rank").map_or(Ok(12), |n| n.count(0, 256))?).unwrap_or(0),
        spread: number("spread", 0.5, 100.0)?,
        noise: number("noise", 0.1, 100.0)?,
        cluster_zipf: number("cluster-zipf", 0.8, 10.0)?,
        tenant_affinity: number("tenant-affinity", 0.5, 1.0)?,
    })
}

/// Columns that a generator reads.
fn references(table: TableId, kind: &Kind, into: &mut Vec<ColumnRef>) {
    match kind {
        Kind::Ancestor(of) | Kind::First(of) | Kind::Pick(of) | Kind::Step { after: of, .. } => into.push(*of),
        Kind::Same(column) | Kind::After { column, .. } => into.push(ColumnRef { table, column: *column }),
        Kind::Template(pieces) => into.extend(pieces.iter().filter_map(|p| match p {
            Piece::Column(of) => Some(*of),
            _ => None,
        })),
        Kind::Json(members) => members.iter().for_each(|(_, cell)| references(table, &cell.kind, into)),
        Kind::Array { of, .. } => references(table, &of.kind, into),
        _ => {}
    }
}

fn column(models: &[TableModel], of: ColumnRef) -> Option<&ColumnModel> {
    models.get(usize::from(of.table.0))?.columns.get(usize::from(of.column.0))
}

/// Most columns of which each is generated from the next: values are, one inside the other.
const LONGEST_CHAIN: usize = 100;

/// Refuses columns that depend on themselves, and chains of columns that are too long.
pub(super) fn check_chains(tables: &[Fields], models: &[TableModel]) -> Result<()> {
    let mut reads: BTreeMap<ColumnRef, Vec<ColumnRef>> = BTreeMap::new();
    let mut read_by: BTreeMap<ColumnRef, Vec<ColumnRef>> = BTreeMap::new();
    for (table, model) in (0..).map(TableId).zip(models) {
        for (column, at) in model.columns.iter().zip((0..).map(|column| ColumnRef { table, column: ColumnId(column) })) {
            let mut read = Vec::new();
            references(table, &column.cell.kind, &mut read);
            read.iter().for_each(|of| read_by.entry(*of).or_default().push(at));
            reads.insert(at, read);
        }
    }
    let fault = |at: ColumnRef, message: String, help: &str| {
        let (Some(fields), Some(column)) = (tables.get(usize::from(at.table.0)), column(models, at)) else { return Ok(()) };
        Err(fields.need("columns")?.table()?.need(&column.name)?.error(message, help))
    };
    // Columns that read nothing, then those that read only these, and so on: the rest stands in a circle, or reads from one.
    let mut waits: BTreeMap<ColumnRef, usize> = reads.iter().map(|(at, read)| (*at, read.len())).collect();
    let mut layer: Vec<ColumnRef> = waits.iter().filter(|(_, count)| **count == 0).map(|(at, _)| *at).collect();
    for length in 1.. {
        let Some(first) = layer.first() else { break };
        if length > LONGEST_CHAIN {
            return fault(*first, format!("is the end of a chain of more than {LONGEST_CHAIN} columns"), "a shorter chain of references");
        }
        let mut next = Vec::new();
        for at in layer {
            waits.remove(&at);
            for reader in read_by.get(&at).into_iter().flatten() {
                let Some(count) = waits.get_mut(reader) else { continue };
                *count -= 1;
                if *count == 0 {
                    next.push(*reader);
                }
            }
        }
        layer = next;
    }
    let Some(mut at) = waits.keys().next().copied() else { return Ok(()) };
    // From column to column that it reads, as often as there are any, ends in the circle.
    for _ in 0..waits.len() {
        at = reads.get(&at).into_iter().flatten().find(|of| waits.contains_key(*of)).copied().unwrap_or(at);
    }
    fault(at, "depends on itself".to_owned(), "break the circle of references")
}

/// Whether a column gives timestamps and never NULL.
pub(super) fn is_time(models: &[TableModel], model: &TableModel, id: ColumnId) -> bool {
    let Some(column_model) = model.columns.get(usize::from(id.0)) else { return false };
    if column_model.cell.null > 0.0 {
        return false;
    }
    match &column_model.cell.kind {
        Kind::Recent { .. } | Kind::Step { .. } | Kind::After { .. } => true,
        Kind::Same(other) => is_time(models, model, *other),
        Kind::Ancestor(of) => models.get(usize::from(of.table.0)).is_some_and(|m| is_time(models, m, of.column)),
        _ => false,
    }
}
