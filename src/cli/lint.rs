//! `pgduel lint`: validates scenario and suite files. Needs no database.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use miette::{GraphicalReportHandler, GraphicalTheme};

use crate::diagnostic::{Diagnostic, read_text};
use crate::scenario::{self, Catalog};
use crate::shown::masked;
use crate::suite::{self, Suite};

/// How findings are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Style {
    /// With the lines of the file, in so many columns.
    Graphical {
        /// Columns of the terminal.
        columns: usize,
        /// Whether colours are printed.
        colour: Colour,
    },
    /// One `file:line: message` line each.
    Plain,
}

/// Whether colours are printed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Colour {
    /// They are.
    On,
    /// They are not.
    Off,
}

/// What was looked at, and what was found.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Number of files.
    pub files: usize,
    /// Everything that is wrong.
    pub found: Vec<Diagnostic>,
}

/// Makes the catalog of a suite's dataset, for the checks of scenarios against it.
pub type MakeCatalog<'a> = &'a dyn Fn(&Suite) -> Result<Box<dyn Catalog>, Diagnostic>;

/// Validates all files below `paths`: scenario files, suite folders or `suite.toml`s, folders of either; all of the project at `root` if
/// `paths` is empty. A scenario is held against its suite if that one can be read.
pub fn lint(root: &Path, paths: &[PathBuf], catalog: MakeCatalog) -> Outcome {
    let mut outcome = Outcome::default();
    let mut files: Vec<PathBuf> = Vec::new();
    let everything = [root.join("seeds"), root.join("scenarios")];
    match paths {
        [] => everything.iter().filter(|path| path.exists()).for_each(|path| collect(path, DEEPEST, &mut files, &mut outcome)),
        _ => paths.iter().for_each(|path| collect(path, DEEPEST, &mut files, &mut outcome)),
    }
    if files.is_empty() && outcome.found.is_empty() {
        let help = "name a scenario file, a suite's folder, or run this in a folder that has scenarios/ and seeds/";
        outcome.found.push(Diagnostic::of_file(root, "there is nothing to look at", Some(help.into())));
    }
    let mut suites: BTreeMap<PathBuf, Known> = BTreeMap::new();
    // Suites first: their errors come once, not again with each scenario.
    for file in files.iter().filter(|file| is_suite(file)) {
        let folder = file.parent().unwrap_or(Path::new("")).to_owned();
        outcome.files += 1;
        outcome.found.extend(known(&folder, catalog, &mut suites).errors());
    }
    for file in files.iter().filter(|file| !is_suite(file)) {
        outcome.files += 1;
        outcome.found.extend(one_scenario(root, file, catalog, &mut suites));
    }
    outcome
}

/// Folders in folders that are looked into.
const DEEPEST: usize = 6;

/// A suite that was looked at once.
enum Known {
    Good(Box<Suite>, Box<dyn Catalog>),
    Bad(Vec<Diagnostic>),
}

impl Known {
    fn errors(&self) -> Vec<Diagnostic> {
        match self {
            Known::Good(..) => Vec::new(),
            Known::Bad(errors) => errors.clone(),
        }
    }
}

fn known<'k>(folder: &Path, catalog: MakeCatalog, suites: &'k mut BTreeMap<PathBuf, Known>) -> &'k Known {
    suites.entry(folder.to_owned()).or_insert_with(|| match suite::load(folder) {
        Ok(suite) => match catalog(&suite) {
            Ok(catalog) => Known::Good(Box::new(suite), catalog),
            Err(error) => Known::Bad(vec![error]),
        },
        Err(errors) => Known::Bad(errors),
    })
}

fn is_suite(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == "suite.toml")
}

/// Adds the files below a path that are to be looked at.
fn collect(path: &Path, deeper: usize, files: &mut Vec<PathBuf>, outcome: &mut Outcome) {
    if path.is_file() {
        // A dataset is looked at with its suite.
        let suite = path.with_file_name("suite.toml");
        let is_dataset = path.file_name().is_some_and(|name| name == "dataset.toml") && suite.is_file();
        let file = if is_dataset { suite } else { path.to_owned() };
        if !files.contains(&file) {
            files.push(file);
        }
        return;
    }
    let entries = match std::fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) => return outcome.found.push(Diagnostic::of_file(path, format!("cannot be read: {error}"), None)),
    };
    let mut entries: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    entries.sort();
    for entry in entries {
        let name = entry.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if entry.is_dir() {
            if deeper > 0 && !name.starts_with('.') {
                collect(&entry, deeper - 1, files, outcome);
            }
        } else if name.ends_with(".toml") && !matches!(name.as_str(), "dataset.toml" | "claims.toml") && !name.starts_with('.') {
            collect(&entry, 0, files, outcome);
        }
    }
}

fn one_scenario(root: &Path, file: &Path, catalog: MakeCatalog, suites: &mut BTreeMap<PathBuf, Known>) -> Vec<Diagnostic> {
    let folder = file.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let stem = file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    // scenarios/<suite>/a/b.toml belongs to <suite>; a file elsewhere, to the suite of its folder's name.
    let below = file.strip_prefix(root.join("scenarios")).ok().and_then(|rest| rest.components().next());
    let suite = below.map(|part| part.as_os_str().to_string_lossy().into_owned()).unwrap_or(folder);
    let read = read_text(file).map_err(|error| vec![error]).and_then(|text| scenario::parse(&suite, &stem, file, &text));
    let scenario = match read {
        Ok(scenario) => scenario,
        Err(errors) => return errors,
    };
    let seeds = root.join("seeds").join(&suite);
    if !seeds.join("suite.toml").is_file() {
        let help = format!("a scenario below scenarios/{suite}/ needs seeds/{suite}/suite.toml");
        let message = format!("there is no suite {suite:?}, so its variants and tables could not be checked");
        return match file.starts_with(root.join("scenarios")) {
            true => vec![Diagnostic::of_file(file, message, Some(help))],
            false => Vec::new(),
        };
    }
    match known(&seeds, catalog, suites) {
        Known::Good(suite, catalog) => scenario::check(&scenario, suite, &**catalog),
        Known::Bad(_) => Vec::new(),
    }
}

/// Prints what was found, and a last line with the count.
pub fn print(outcome: &Outcome, style: Style, out: &mut dyn Write) -> io::Result<()> {
    for diagnostic in &outcome.found {
        writeln!(out, "{}", rendered(diagnostic, style))?;
    }
    let files = counted(outcome.files, "file");
    match outcome.found.len() {
        0 => writeln!(out, "{files}, no errors"),
        errors => writeln!(out, "{files}, {}", counted(errors, "error")),
    }
}

/// A finding in words. What it quotes may be a connection string: it is masked before lines are wrapped, and its place afterwards.
pub fn rendered(diagnostic: &Diagnostic, style: Style) -> String {
    let help = diagnostic.help.as_deref().map(masked);
    let diagnostic = Diagnostic { message: masked(&diagnostic.message), help, ..diagnostic.clone() };
    masked(&match style {
        Style::Plain => diagnostic.plain(),
        Style::Graphical { columns, colour } => graphical(&diagnostic, columns, colour),
    })
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// A finding with the lines of the file around it.
pub fn graphical(diagnostic: &Diagnostic, columns: usize, colour: Colour) -> String {
    let theme = match colour {
        Colour::On => GraphicalTheme::unicode(),
        Colour::Off => GraphicalTheme::unicode_nocolor(),
    };
    let handler = GraphicalReportHandler::new_themed(theme).with_width(columns).with_context_lines(1).with_links(false);
    let mut text = String::new();
    match handler.render_report(&mut text, diagnostic) {
        Ok(()) => text,
        Err(_) => diagnostic.plain(),
    }
}
