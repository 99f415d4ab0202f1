//! From `suite.toml` to variants, and from a folder to a [`Suite`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::{Suite, Variant, Visibility, files};
use crate::dataset::Model;
use crate::diagnostic::document::{Keys, Node, Value, did_you_mean, parse as parse_document};
use crate::diagnostic::{Diagnostic, Findings, Source, closest, list, read_text};

const FILE: &str = "suite.toml";
/// Roles that are somebody's already.
const RESERVED: [&str; 14] = [
    "anon",
    "authenticated",
    "authenticator",
    "current_role",
    "current_user",
    "none",
    "pgduel",
    "pgduel_owner",
    "pgduel_requests",
    "postgres",
    "public",
    "service_role",
    "session_user",
    "user",
];
/// Most variants of a suite.
const MOST: usize = 200;
const VISIBLE: &str = "\"all\", \"none\", \"member\", { role = \"owner\" } or { own = \"user_id\" }";

/// What `suite.toml` says, with the files that it names known to be there.
#[derive(Debug)]
pub(super) struct Read {
    title: String,
    dataset: PathBuf,
    platform: Vec<PathBuf>,
    login: Option<String>,
    tables: Vec<PathBuf>,
    indexes: Vec<PathBuf>,
    variants: BTreeMap<String, Variant>,
}

/// A variant as its table says, before `from` is followed.
struct Raw<'n> {
    node: &'n Node,
    from: Option<&'n Node>,
    variant: Variant,
}

/// Loads the suite of a folder (`seeds/<suite>`): `suite.toml`, then the dataset model that it names.
pub fn load(folder: &Path) -> Result<Suite, Vec<Diagnostic>> {
    let read = read(folder)?;
    let text = read_text(&read.dataset).map_err(|diagnostic| vec![diagnostic])?;
    let model = model(&read.dataset, &text).map_err(|diagnostic| vec![diagnostic])?;
    Ok(Suite {
        name: folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        title: read.title,
        folder: folder.to_owned(),
        dataset_file: read.dataset,
        model: Arc::new(model),
        platform: read.platform,
        login: read.login,
        tables: read.tables,
        indexes: read.indexes,
        variants: read.variants,
    })
}

fn model(file: &Path, text: &str) -> Result<Model, Diagnostic> {
    let name = file.to_string_lossy();
    Model::parse(&name, text).map_err(|error| {
        let message = error.to_string();
        // The model's errors begin with `file:line: `; with the line known, it can be shown.
        let placed = message.strip_prefix(&format!("{name}:")).and_then(|rest| rest.split_once(':'));
        let placed = placed.and_then(|(line, rest)| Some((line.trim().parse::<usize>().ok()?.checked_sub(1)?, rest.trim().to_owned())));
        match placed {
            Some((line, message)) => {
                let start = text.split_inclusive('\n').take(line).map(str::len).sum::<usize>();
                let length = text.lines().nth(line).map_or(0, str::len);
                let source = Source::new(file, text);
                Diagnostic { source, span: start..start + length, key: String::new(), message, help: None }
            }
            None => Diagnostic::of_file(file, message, None),
        }
    })
}

/// Reads and validates `suite.toml`, without the dataset.
pub(super) fn read(folder: &Path) -> Result<Read, Vec<Diagnostic>> {
    let file = folder.join(FILE);
    let text = read_text(&file).map_err(|diagnostic| vec![diagnostic])?;
    let mut findings = Findings::new(Source::new(&file, &text));
    let Some(root) = parse_document(&mut findings) else {
        return findings.finish(None);
    };
    let suite = suite(&root, folder, &mut findings);
    for file in suite.iter().flat_map(owners_files) {
        findings.adopt(files::check(file));
    }
    findings.finish(suite)
}

/// The files that are not the superuser's, each once.
fn owners_files(suite: &Read) -> BTreeSet<&PathBuf> {
    let of_variants = suite.variants.values().flat_map(|variant| variant.sql.iter().chain(&variant.rollback));
    suite.tables.iter().chain(&suite.indexes).chain(of_variants).collect()
}

fn suite(root: &Node, folder: &Path, f: &mut Findings) -> Option<Read> {
    let mut keys = Keys::of(root, f, "a table")?;
    let title = keys.require(f, "title", "\"one line for people\"").and_then(|node| node.filled(f, "one line for people"));
    let dataset = keys.require(f, "dataset", "\"dataset.toml\"").and_then(|node| path(node, folder, "toml", f));
    let platform = keys.get("platform").map(|node| paths(node, folder, f)).unwrap_or_default();
    let login = keys.get("login").and_then(|node| login(node, f));
    let tables = keys.require(f, "tables", "[\"base.sql\"]").map(|node| paths(node, folder, f)).unwrap_or_default();
    let indexes = keys.get("indexes").map(|node| paths(node, folder, f)).unwrap_or_default();
    let variants = keys.require(f, "variant", "{ ... }, as [variant.NAME] tables").map(|node| variants(node, folder, f));
    keys.finish(f);
    Some(Read { title: title?.to_owned(), dataset: dataset?, platform, login, tables, indexes, variants: variants? })
}

/// A name for a role of pgduel's own: it makes the role, so it must be nobody else's.
fn login(node: &Node, f: &mut Findings) -> Option<String> {
    const ALLOWED: &str =
        "the name of a role that pgduel makes: lower-case letters, digits and _, beginning with a letter, at most 63 of them";
    let name = node.filled(f, ALLOWED)?;
    let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let is_name = name.len() <= 63 && name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(good);
    if !is_name {
        node.not_allowed(f, ALLOWED);
        return None;
    }
    if RESERVED.contains(&name) || name.starts_with("pg_") {
        node.fault(
            f,
            format!("{name:?} is the name of another role, or means something in SQL"),
            "choose a name that only this suite has, such as \"shop_app\"",
        );
        return None;
    }
    Some(name.to_owned())
}

/// A file below the suite's folder or its parent, which must be there.
fn path(node: &Node, folder: &Path, extension: &str, f: &mut Findings) -> Option<PathBuf> {
    let allowed = format!("a .{extension} file, relative to the suite's folder");
    let text = node.filled(f, &allowed)?;
    let relative = Path::new(text);
    if relative.is_absolute() || relative.components().any(|part| matches!(part, Component::RootDir | Component::Prefix(_))) {
        node.fault(f, "is an absolute path", format!("allowed: {allowed}"));
        return None;
    }
    if relative.extension().is_none_or(|found| found != extension) {
        node.not_allowed(f, &allowed);
        return None;
    }
    let file = folder.join(relative);
    if !file.is_file() {
        let known = files_beside(&file, extension);
        let name = relative.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let near = closest(&name, known.iter().map(String::as_str));
        node.fault(f, format!("there is no file {text:?}{}", did_you_mean(near)), format!("files there: {}", list(&known)));
        return None;
    }
    Some(file)
}

fn files_beside(file: &Path, extension: &str) -> Vec<String> {
    let Some(entries) = file.parent().and_then(|folder| std::fs::read_dir(folder).ok()) else { return Vec::new() };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(&format!(".{extension}"))).collect();
    names.sort();
    names
}

fn paths(node: &Node, folder: &Path, f: &mut Findings) -> Vec<PathBuf> {
    let items = node.array(f, "a list of .sql files, relative to the suite's folder").unwrap_or_default();
    items.iter().filter_map(|item| path(item, folder, "sql", f)).collect()
}

fn variants(node: &Node, folder: &Path, f: &mut Findings) -> BTreeMap<String, Variant> {
    let Some(entries) = node.entries().filter(|entries| !entries.is_empty()) else {
        node.not_allowed(f, "variants by name, each opened by [variant.NAME]");
        return BTreeMap::new();
    };
    if entries.len() > MOST {
        node.fault(f, format!("there are {} variants", entries.len()), format!("allowed: at most {MOST}"));
        return BTreeMap::new();
    }
    let mut raw: BTreeMap<String, Raw> = BTreeMap::new();
    for entry in entries {
        let good = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        // A variant's name becomes part of a database's name, which PostgreSQL cuts at 63 bytes.
        if entry.key.is_empty() || entry.key.len() > 40 || !entry.key.chars().all(good) {
            let help = "allowed: lower-case letters, digits and -, at most 40 of them";
            f.add(entry.key_span.clone(), &entry.node.path, "is no name of a variant", help);
        }
        if let Some((variant, from)) = variant(&entry.key, &entry.node, folder, f) {
            raw.insert(entry.key.clone(), Raw { node: &entry.node, from, variant });
        }
    }
    let known: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
    raw.keys().filter_map(|name| Some((name.clone(), whole(name, &raw, &known, f)?))).collect()
}

fn variant<'n>(name: &str, node: &'n Node, folder: &Path, f: &mut Findings) -> Option<(Variant, Option<&'n Node>)> {
    let mut keys = Keys::of(node, f, "a table with title, from, sql, rollback, visible")?;
    let title = keys.require(f, "title", "\"one line for people\"").and_then(|node| node.filled(f, "one line for people"));
    let from_node = keys.get("from");
    let from = from_node.and_then(|node| node.filled(f, "the name of another variant")).map(str::to_owned);
    let sql = keys.get("sql").map(|node| paths(node, folder, f)).unwrap_or_default();
    let rollback_node = keys.get("rollback");
    let rollback = rollback_node.map(|node| paths(node, folder, f)).unwrap_or_default();
    let visible = keys.get("visible").map(|node| visible(node, f)).unwrap_or_default();
    keys.finish(f);
    if let (Some(node), None) = (rollback_node, from_node) {
        node.fault(f, "leads nowhere: the variant builds on no other one", "add from = \"another-variant\", or remove rollback");
    }
    Some((Variant { name: name.to_owned(), title: title?.to_owned(), sql, rollback, from, visible }, from_node))
}

fn visible(node: &Node, f: &mut Findings) -> BTreeMap<String, Visibility> {
    let Some(entries) = node.entries() else {
        node.not_allowed(f, "who sees what, by table: visible.conversations = \"member\"");
        return BTreeMap::new();
    };
    entries.iter().filter_map(|entry| Some((entry.key.clone(), visibility(&entry.key, &entry.node, f)?))).collect()
}

fn visibility(table: &str, node: &Node, f: &mut Findings) -> Option<Visibility> {
    match &node.value {
        Value::Table(entries) if entries.len() == 1 => {
            let value = &entries[0].node;
            match entries[0].key.as_str() {
                "role" => value.filled(f, "a role of the dataset").map(|role| Visibility::Role(role.to_owned())),
                "own" => value.filled(f, "a column that holds the user's id").map(|column| Visibility::Own(column.to_owned())),
                "unchecked" => value.filled(f, "the reason why nobody needs to check it").map(|why| Visibility::Unchecked(why.to_owned())),
                // `visible.auth.users` without quotes is a table `auth` in TOML.
                key if matches!(value.value, Value::Text(_)) => {
                    let help = format!("allowed: {VISIBLE}; a table with a schema is quoted: visible.\"{table}.{key}\"");
                    node.fault(f, format!("{key:?} is not allowed here"), help);
                    None
                }
                _ => {
                    node.not_allowed(f, VISIBLE);
                    None
                }
            }
        }
        Value::Text(text) => match text.as_str() {
            "all" => Some(Visibility::All),
            "none" => Some(Visibility::None),
            "member" => Some(Visibility::Member),
            _ => {
                let near = closest(text, ["all", "none", "member"]);
                node.fault(f, format!("{text:?} is not allowed here{}", did_you_mean(near)), format!("allowed: {VISIBLE}"));
                None
            }
        },
        _ => {
            node.not_allowed(f, VISIBLE);
            None
        }
    }
}

/// A variant with what it takes over from the ones that it builds on.
fn whole(name: &str, raw: &BTreeMap<String, Raw>, known: &[&str], f: &mut Findings) -> Option<Variant> {
    let own = raw.get(name)?;
    let mut variant = own.variant.clone();
    let mut chain = vec![name.to_owned()];
    let mut from = variant.from.clone();
    while let Some(base) = from {
        if chain.contains(&base) {
            own.node.fault(f, format!("builds on itself: {} -> {base}", chain.join(" -> ")), "let `from` lead to a variant without one");
            return None;
        }
        let Some(found) = raw.get(&base) else {
            // One that is there but could not be read was reported; one that is named by a base, at that base.
            if chain.len() == 1 && !known.contains(&base.as_str()) {
                let near = closest(&base, known.iter().copied());
                own.from.unwrap_or(own.node).fault(
                    f,
                    format!("there is no variant {base:?}{}", did_you_mean(near)),
                    format!("there are: {}", list(known)),
                );
            }
            return None;
        };
        let mut sql = found.variant.sql.clone();
        sql.append(&mut variant.sql);
        variant.sql = sql;
        for (table, rule) in &found.variant.visible {
            variant.visible.entry(table.clone()).or_insert_with(|| rule.clone());
        }
        chain.push(base);
        from = found.variant.from.clone();
    }
    Some(variant)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(suite: &str, files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), suite).unwrap();
        for file in files {
            std::fs::write(folder.path().join(file), "").unwrap();
        }
        folder
    }

    #[test]
    fn a_variant_takes_over_what_it_builds_on() {
        let folder = folder(
            r#"
            title = "T"
            dataset = "dataset.toml"
            tables = ["base.sql"]
            variant.a = { title = "A", sql = ["a.sql"], visible = { x = "member", y = "all" } }
            variant.b = { title = "B", from = "a", sql = ["b.sql"], rollback = ["a.sql"], visible = { x = { role = "owner" } } }
            variant.c = { title = "C", from = "b", sql = ["c.sql"], visible = { "auth.users" = { own = "id" } } }
            "#,
            &["dataset.toml", "base.sql", "a.sql", "b.sql", "c.sql"],
        );
        let read = read(folder.path()).unwrap();
        let c = &read.variants["c"];
        let names: Vec<_> = c.sql.iter().map(|file| file.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["a.sql", "b.sql", "c.sql"]);
        assert!(c.rollback.is_empty() && read.variants["b"].rollback.len() == 1);
        assert_eq!(c.visible["x"], Visibility::Role("owner".into()));
        assert_eq!(c.visible["y"], Visibility::All);
        assert_eq!(c.visible["auth.users"], Visibility::Own("id".into()));
    }
}
