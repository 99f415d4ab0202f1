//! From the text of `dataset.toml` to a [`Model`]: the top level, tables, membership and overlays. Column forms are in `forms`.

use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{DatasetError, Source};
use super::forms::{self, Names};
use super::model::*;
use super::read::{Fields, Node, top};
use super::{ColumnId, TableId};
use crate::diagnostic::document::dismantle;

type Result<T> = std::result::Result<T, DatasetError>;

const TABLE_KEYS: [&str; 12] = ["name", "rows", "each", "least", "key", "parent", "skew", "at-least", "order", "sizing", "columns", "note"];

pub(super) fn parse(file: &str, text: &str) -> Result<Model> {
    let source = Source { file: file.to_owned(), text: Arc::from(text) };
    let document = DeTable::parse(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        source.error(span, "", error.message(), "TOML, see https://toml.io")
    })?;
    let model = model(&source, &document);
    dismantle(DeValue::Table(document.into_inner()));
    model
}

fn model(source: &Source, document: &Spanned<DeTable<'_>>) -> Result<Model> {
    let root = top(source, document);
    root.only(&["title", "now", "tenants", "membership", "table", "overlay"])?;
    let title = root.need("title")?.text()?.to_owned();
    let now_us = instant(root.need("now")?)?;

    let tables: Vec<Fields> = root.need("table")?.some()?.iter().map(Node::table).collect::<Result<_>>()?;
    let mut names = names(&tables)?;
    let tenants_fields = root.need("tenants")?.table()?;
    tenants_fields.only(&["table", "zipf"])?;
    let tenants = names.table(tenants_fields.need("table")?)?;
    let tenant_zipf = match tenants_fields.get("zipf") {
        Some(node) => node.number(0.0, 10.0)?,
        None => 1.0,
    };
    let membership = match root.get("membership") {
        Some(node) => Some(membership(&node.table()?, &mut names)?),
        None => None,
    };
    let mut models = Vec::with_capacity(tables.len());
    for (number, fields) in tables.iter().enumerate() {
        models.push(table(fields, TableId(number as u16), tenants, membership.as_ref(), &mut names)?);
    }
    fill_columns(&tables, &mut models, &names, membership.as_ref())?;
    check_places(&root, &models, tenants, membership.as_ref())?;
    forms::check_chains(&tables, &models)?;
    check_orders(&tables, &models)?;
    let overlays = match root.get("overlay") {
        Some(node) => overlays(&node.table()?, &models, &names, tenants)?,
        None => Vec::new(),
    };
    let membership = membership.map(|m| m.model);
    Ok(Model { title, now_us, tenants, tenant_zipf, membership, tables: models, overlays })
}

fn instant(node: &Node) -> Result<i64> {
    let text = match node.raw().as_datetime() {
        Some(datetime) => datetime.to_string(),
        None => node.text()?.to_owned(),
    };
    chrono::DateTime::parse_from_rfc3339(&text)
        .map(|t| t.timestamp_micros())
        .map_err(|error| node.error(format!("`{text}` is no point in time: {error}"), "such as \"2025-11-07T12:00:00Z\""))
}

/// Table and column names, before anything refers to them.
fn names(tables: &[Fields]) -> Result<Names> {
    let mut names = Names::default();
    if tables.len() > 1000 {
        return Err(tables[0].error("there are more than 1000 tables", "at most 1000"));
    }
    for fields in tables {
        let name = fields.need("name")?;
        let table = name.text()?;
        let plain = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if table.split('.').count() > 2 || !table.split('.').all(plain) {
            return Err(name
                .error(format!("`{table}` is no table name"), "letters, digits and _, with a schema before a point if it is not public"));
        }
        let columns: Vec<String> = fields.need("columns")?.table()?.iter().map(|(column, _)| column.to_owned()).collect();
        if columns.len() > 1000 {
            return Err(name.error("has more than 1000 columns", "at most 1000"));
        }
        if !names.add(table, columns) {
            return Err(name.error(format!("table `{table}` is there twice"), "each table once"));
        }
    }
    Ok(names)
}

/// The membership section with the columns that the model itself fills.
pub(super) struct Membership {
    pub model: MembershipModel,
    user: ColumnId,
    tenant: ColumnId,
    role: ColumnId,
}

fn membership(fields: &Fields, names: &mut Names) -> Result<Membership> {
    fields.only(&["users", "table", "user", "tenant", "role", "roles", "second"])?;
    let users = names.table(fields.need("users")?)?;
    let table = names.table(fields.need("table")?)?;
    let mut generated = |key: &str| -> Result<ColumnId> {
        let node = fields.need(key)?;
        let column = node.text()?;
        names.add_column(table, column).ok_or_else(|| {
            node.error(format!("column `{column}` is generated twice"), "leave it out of the table's `columns`: the model fills it")
        })
    };
    let (user, tenant, role) = (generated("user")?, generated("tenant")?, generated("role")?);
    let items = fields.need("roles")?.some()?;
    let mut roles = Vec::new();
    for (i, item) in items.iter().enumerate() {
        let entry = item.table()?;
        entry.only(&["name", "first", "share"])?;
        let share = match (entry.get("first"), entry.get("share")) {
            (Some(n), None) => RoleShare::First(n.count(1, 1_000_000)?),
            (None, Some(x)) => RoleShare::Share(x.number(0.0, 1.0)?),
            (None, None) if i + 1 == items.len() => RoleShare::Rest,
            _ => {
                return Err(entry.error(
                    "does not say how many users have this role",
                    "`first = N` or `share = 0 to 1`; the last role has neither and takes whoever is left",
                ));
            }
        };
        roles.push(RoleModel { name: Arc::from(entry.need("name")?.text()?), share });
    }
    if !matches!(roles.last().map(|r| r.share), Some(RoleShare::Rest)) {
        return Err(fields.error("the last role has a number of users", "the last role takes whoever is left: give it a name only"));
    }
    let second = match fields.get("second") {
        Some(node) => node.number(0.0, 1.0)?,
        None => 0.0,
    };
    Ok(Membership { model: MembershipModel { users, table, roles, second }, user, tenant, role })
}

fn table(fields: &Fields, id: TableId, tenants: TableId, membership: Option<&Membership>, names: &mut Names) -> Result<TableModel> {
    fields.only(&TABLE_KEYS)?;
    let parent = match fields.get("parent") {
        None => None,
        Some(node) => {
            let parent = names.table(node)?;
            if parent >= id {
                return Err(node.error("the parent stands later in the file", "write parents before their children"));
            }
            Some(parent)
        }
    };
    let memberships = membership.is_some_and(|m| m.model.table == id);
    let size = size(fields, parent, memberships)?;
    let skew = match fields.get("skew") {
        None => Skew::Even,
        Some(node) if node.is_table() => {
            let entry = node.table()?;
            entry.only(&["zipf", "lognormal"])?;
            match (entry.get("zipf"), entry.get("lognormal")) {
                (Some(s), None) => Skew::Zipf(s.number(0.0, 10.0)?),
                (None, Some(s)) => Skew::LogNormal(s.number(0.0, 5.0)?),
                _ => return Err(entry.error("needs one of two", "{ zipf = s } or { lognormal = sigma }")),
            }
        }
        Some(node) => node.word(&[("even", Skew::Even)])?,
    };
    let name = fields.need("name")?.text()?.to_owned();
    let key = match fields.get("key") {
        Some(node) => names.column(id, node)?,
        None => {
            names.find_column(id, "id").ok_or_else(|| fields.error("has no column `id` and names no other key", "`key = \"<column>\"`"))?
        }
    };
    let order = match fields.get("order") {
        None => Order::Key,
        Some(node) => match node.text()? {
            "shuffled" => Order::Shuffled,
            "key" => Order::Key,
            _ => Order::Time(names.column(id, node)?),
        },
    };
    let sizing = match fields.get("sizing") {
        None => SizedBy::Scale,
        Some(node) => node.word(&[("rows", SizedBy::Scale), ("vectors", SizedBy::Vectors)])?,
    };
    let count = |key: &str, default: u64| fields.get(key).map_or(Ok(default), |node| node.count(0, 1_000_000_000));
    if let (true, Some(node)) = (id == tenants, fields.get("parent")) {
        return Err(node.error("the tenants table has a parent", "none: it is the root"));
    }
    Ok(TableModel {
        name,
        size,
        least: count("least", 1)?,
        key,
        parent,
        skew,
        at_least: count("at-least", 0)?,
        order,
        sizing,
        columns: Vec::new(),
    })
}

fn size(fields: &Fields, parent: Option<TableId>, memberships: bool) -> Result<Size> {
    match (fields.get("rows"), fields.get("each")) {
        (None, None) if memberships => Ok(Size::Memberships),
        (Some(node), _) | (_, Some(node)) if memberships => {
            Err(node.error("the membership table's size follows from its users", "leave it out"))
        }
        (Some(rows), None) => Ok(Size::Total(rows.count(1, 1_000_000_000)?)),
        (None, Some(each)) if parent.is_none() => Err(each.error("there is no parent to count by", "`rows`, or a `parent`")),
        (None, Some(each)) => match each.raw().as_array() {
            Some(_) => each.pair(|n| n.count(0, 1_000_000)).map(|(a, b)| Size::Each(a, b)),
            None => each.count(0, 1_000_000).map(|n| Size::Each(n, n)),
        },
        _ => Err(fields.error("needs one number of rows", "`rows = N` in all, or `each = N` or `each = [low, high]` per parent")),
    }
}

fn fill_columns(tables: &[Fields], models: &mut [TableModel], names: &Names, membership: Option<&Membership>) -> Result<()> {
    let parents: Vec<Option<TableId>> = models.iter().map(|m| m.parent).collect();
    for (number, fields) in tables.iter().enumerate() {
        let id = TableId(number as u16);
        let scope = forms::Scope { names, parents: &parents, table: id };
        let mut columns = Vec::new();
        for (column, node) in fields.need("columns")?.table()?.iter() {
            columns.push(ColumnModel { name: column.to_owned(), cell: scope.cell(node)? });
        }
        if let Some(m) = membership.filter(|m| m.model.table == id) {
            // `Names` numbered them in this order, after the table's own.
            for (column, kind) in [(m.user, Kind::MemberUser), (m.tenant, Kind::MemberTenant), (m.role, Kind::MemberRole)] {
                columns.push(ColumnModel { name: names.column_name(id, column), cell: Cell { kind, null: 0.0 } });
            }
        }
        if let Some(model) = models.get_mut(number) {
            model.columns = columns;
        }
    }
    Ok(())
}

fn check_places(root: &Fields, models: &[TableModel], tenants: TableId, membership: Option<&Membership>) -> Result<()> {
    let Some(m) = membership else { return Ok(()) };
    let fields = root.need("membership")?;
    let model = |id: TableId| models.get(usize::from(id.0));
    if model(m.model.users).and_then(|t| t.parent) != Some(tenants) {
        return Err(fields.error(
            "the users table does not belong to the tenants table",
            "give it `parent = \"<tenants table>\"`: each user has a home",
        ));
    }
    if m.model.table <= m.model.users || model(m.model.table).and_then(|t| t.parent).is_some() {
        return Err(fields.error("the membership table has a parent, or stands before the users table", "no parent, after the users"));
    }
    Ok(())
}

fn check_orders(tables: &[Fields], models: &[TableModel]) -> Result<()> {
    for (fields, model) in tables.iter().zip(models) {
        let Order::Time(column) = model.order else { continue };
        if !forms::is_time(models, model, column) {
            return Err(fields.need("order")?.error(
                "the column gives no timestamps",
                "a column of the form `recent`, `step`, `after`, or `same` as one of those; or \"shuffled\" or \"key\"",
            ));
        }
    }
    Ok(())
}

fn overlays(fields: &Fields, models: &[TableModel], names: &Names, tenants: TableId) -> Result<Vec<OverlayModel>> {
    let mut overlays = Vec::new();
    for (name, node) in fields.iter() {
        let entry = node.table()?;
        entry.only(&["table", "child", "sizes", "copies"])?;
        let (table, child) = (names.table(entry.need("table")?)?, names.table(entry.need("child")?)?);
        let parent = |id: TableId| models.get(usize::from(id.0)).and_then(|m| m.parent);
        let mut top = table;
        while let Some(up) = parent(top) {
            top = up;
        }
        if table == tenants || top != tenants {
            return Err(entry.need("table")?.error("belongs to no tenant", "a table that descends from the tenants table"));
        }
        if parent(child) != Some(table) {
            return Err(entry.need("child")?.error("is no child of the overlay's table", "a table whose parent it is"));
        }
        let sizes = entry.need("sizes")?.some()?.iter().map(|n| n.count(0, 10_000_000)).collect::<Result<_>>()?;
        let copies = entry.get("copies").map_or(Ok(1), |n| n.count(1, 1_000))?;
        overlays.push(OverlayModel { name: name.to_owned(), table, child, sizes, copies });
    }
    Ok(overlays)
}
