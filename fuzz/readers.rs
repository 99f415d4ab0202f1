//! Readers of what people, servers and other programs wrote. Each takes any text and comes back, whatever stands in it: a panic or an abort is a
//! fault.
//!
//! `tests/mutations.rs` feeds them mutated files of this project for some seconds. The fuzz targets in this folder feed them libFuzzer's inputs.

use std::path::Path;

use pgduel::dataset::Model;
use pgduel::diagnostic::Source;
use pgduel::judge::compare;
use pgduel::record::read;
use pgduel::report::{Ending, Run, Style, html, markdown, terminal};
use pgduel::script::evaluate::Variables;
use pgduel::script::random::Random;
use pgduel::script::{Script, Symbols, expression};
use pgduel::sql::split_statements;
use pgduel::target::ConnectionString;
use pgduel::{scenario, shown, sql, suite};

/// A reader.
pub type Reader = fn(&str);

/// All of them, by name.
pub const READERS: [(&str, Reader); 8] = [
    ("scenario", read_scenario),
    ("suite", read_suite),
    ("dataset", read_dataset),
    ("script", read_script),
    ("expression", read_expression),
    ("sql", read_sql),
    ("record", read_record),
    ("connection", read_connection),
];

pub fn read_scenario(text: &str) {
    let file = Path::new("scenarios/shop/cart.toml");
    if let Err(found) = scenario::parse("shop", "cart", file, text) {
        // Messages have places.
        found.iter().for_each(|one| drop((one.plain(), one.line(), one.column())));
    }
}

pub fn read_suite(text: &str) {
    let Ok(folder) = tempfile::tempdir() else { return };
    if std::fs::write(folder.path().join("suite.toml"), text).is_ok() {
        let _ = suite::load(folder.path());
    }
}

pub fn read_dataset(text: &str) {
    let _ = Model::parse("dataset.toml", text).map_err(|error| error.to_string());
}

pub fn read_script(text: &str) {
    let _ = Script::read(&Source::new(Path::new("script.sql"), text), 1, &mut Symbols::new());
}

pub fn read_expression(text: &str) {
    let mut symbols = Symbols::new();
    if let Ok(read) = expression::parse(text, &mut symbols) {
        let _ = read.evaluate(&Variables::new(&symbols), &symbols, &mut Random::new(1));
    }
}

pub fn read_sql(text: &str) {
    let _ = split_statements(text);
    let mut rest = text;
    while let Some(lexeme) = sql::lexeme(rest) {
        rest = rest.get(lexeme.length.max(1)..).unwrap_or_default();
    }
}

pub fn read_record(text: &str) {
    let Ok(folder) = tempfile::tempdir() else { return };
    let file = folder.path().join("run.jsonl");
    if std::fs::write(&file, text).is_err() {
        return;
    }
    let Ok(record) = read(&file) else { return };
    let comparison = compare(&record);
    let run = Run { header: &record.header, comparison: &comparison, ending: Ending::Complete };
    terminal(&run, &Style { width: 80, color: true, report: None });
    let _ = (markdown(&run), html(&run));
}

pub fn read_connection(text: &str) {
    let _ = text.parse::<ConnectionString>().map_err(|error| error.to_string());
    shown::shown(text);
}
