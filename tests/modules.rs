//! Keeps the module table in the crate's documentation true: who may use whom, and that the judging half knows no PostgreSQL client.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What a record is judged and shown with; none of it may name a PostgreSQL client or a runtime.
const JUDGING: [&str; 6] = ["record", "stats", "judge", "summary", "contrast", "report"];

type Table = BTreeMap<String, BTreeSet<String>>;

fn source() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Modules as `src/lib.rs` declares them.
fn modules() -> BTreeSet<String> {
    let lib = read(&source().join("lib.rs"));
    lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect()
}

/// The table in the documentation of `src/lib.rs`.
fn table() -> Table {
    let lib = read(&source().join("lib.rs"));
    let all = modules();
    let rows = lib.lines().filter_map(|line| line.strip_prefix("//! | ")?.strip_suffix('|')).filter(|row| !row.starts_with("module |"));
    rows.map(|row| {
        let (module, uses) = row.split_once('|').expect("two columns");
        let uses = match uses.trim() {
            "all" => all.clone(),
            list => list.split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect(),
        };
        (module.trim().to_owned(), uses)
    })
    .collect()
}

/// Every source file with the path of its module, `a::b` as `["a", "b"]`.
fn files() -> Vec<(PathBuf, Vec<String>)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("src can be read").flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => walk(&path, found),
                false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
                false => {}
            }
        }
    }
    let mut found = Vec::new();
    walk(&source(), &mut found);
    found.sort();
    let module = |path: &Path| {
        let inner = path.strip_prefix(source()).expect("below src").with_extension("");
        let mut parts: Vec<String> = inner.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        parts.retain(|part| part != "mod");
        parts
    };
    let files = found.into_iter().map(|path| (path.clone(), module(&path)));
    files.filter(|(_, module)| module.as_slice() != ["lib"] && module.as_slice() != ["main"]).collect()
}

/// The code without comments. Strings stay: a module's name in one does no harm, as it must follow `crate::`.
fn code(text: &str) -> String {
    text.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line }).collect::<Vec<_>>().join("\n")
}

fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// First names after each `crate::` in `code`, those in braces among them.
fn names_after_crate(code: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            None => {
                names.insert(word(rest).to_owned());
            }
            Some(group) => {
                let (mut depth, mut start) = (1, true);
                for (index, letter) in group.char_indices() {
                    match letter {
                        '{' => depth += 1,
                        '}' => depth -= 1,
                        ',' => start = depth == 1,
                        letter if start && !letter.is_whitespace() => {
                            names.insert(word(&group[index..]).to_owned());
                            start = false;
                        }
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
        }
    }
    names
}

/// Names that a chain of `super::` reaches in the crate's root, from a module this deep.
fn names_above_root(code: &str, depth: usize) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let chain = "super::".repeat(depth);
    for (at, _) in code.match_indices(&chain) {
        let longer = code[..at].ends_with("super::");
        let rest = &code[at + chain.len()..];
        if !longer && !rest.starts_with("super::") {
            names.insert(word(rest).to_owned());
        }
    }
    names
}

#[test]
fn the_table_has_a_row_for_every_module_and_no_other() {
    let table = table();
    assert_eq!(table.keys().cloned().collect::<BTreeSet<_>>(), modules());
    for (module, uses) in &table {
        let unknown: Vec<_> = uses.difference(&modules()).cloned().collect();
        assert!(unknown.is_empty(), "{module} may use {unknown:?}, which are no modules");
    }
}

#[test]
fn the_table_has_no_circle() {
    let mut left = table();
    left.remove("cli");
    while !left.is_empty() {
        let names: BTreeSet<String> = left.keys().cloned().collect();
        let free: Vec<String> =
            left.iter().filter(|(_, uses)| uses.intersection(&names).next().is_none()).map(|(name, _)| name.clone()).collect();
        assert!(!free.is_empty(), "modules use each other in a circle: {names:?}");
        left.retain(|name, _| !free.contains(name));
    }
}

#[test]
fn modules_use_what_the_table_allows() {
    let (table, modules) = (table(), modules());
    let mut wrong = Vec::new();
    for (file, path) in files() {
        let own = &path[0];
        let text = code(&read(&file));
        // What stands in a file's test module is one deeper than the rest.
        let (code, tests) = text.split_once("#[cfg(test)]\nmod ").unwrap_or((&text, ""));
        let mut used = names_after_crate(&text);
        used.extend(names_above_root(code, path.len()));
        used.extend(names_above_root(tests, path.len() + 1));
        for name in used.into_iter().filter(|name| name != own && modules.contains(name)) {
            if !table[own].contains(&name) {
                wrong.push(format!("{}: {own} must not use {name}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}\nThe table in src/lib.rs says who may use whom.", wrong.join("\n"));
}

#[test]
fn the_judging_half_names_no_postgresql_client() {
    for (file, path) in files().into_iter().filter(|(_, path)| JUDGING.contains(&path[0].as_str())) {
        let text = code(&read(&file));
        for name in ["tokio", "sqlx", "postgres_protocol"] {
            assert!(!text.contains(name), "{} names {name}; {} is judged without a server", file.display(), path[0]);
        }
    }
}

#[test]
fn the_reader_of_this_test_reads() {
    let text = "use crate::a;\nuse crate::{b::{x, y}, c};\nlet x = crate::d::e();";
    assert_eq!(names_after_crate(text), ["a", "b", "c", "d"].map(str::to_owned).into());
    assert_eq!(names_above_root("use super::super::other;\nuse super::near;", 2), ["other".to_owned()].into());
    assert!(names_above_root("use super::near;", 2).is_empty());
}
