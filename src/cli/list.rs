//! `pgduel list`: what there is to run.

use std::io::{self, Write};
use std::path::Path;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use serde::Serialize;

use crate::diagnostic::Diagnostic;
use crate::scenario::{self, Scenario};
use crate::shown::plain;
use crate::suite::{self, Suite};

/// Everything below a project's root.
#[derive(Debug, Default, Serialize)]
pub struct Listing {
    /// Suites, by name.
    pub suites: Vec<SuiteEntry>,
    /// What could not be read, one line each.
    pub errors: Vec<String>,
}

/// One suite.
#[derive(Debug, Default, Serialize)]
pub struct SuiteEntry {
    /// Name of its folder.
    pub name: String,
    /// Title for people.
    pub title: String,
    /// Its variants.
    pub variants: Vec<VariantEntry>,
    /// Its scenarios, by path.
    pub scenarios: Vec<ScenarioEntry>,
}

/// One variant.
#[derive(Debug, Serialize)]
pub struct VariantEntry {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// The variant it builds on.
    pub from: Option<String>,
}

/// One scenario.
#[derive(Debug, Serialize)]
pub struct ScenarioEntry {
    /// `suite/name`, as the commands take it.
    pub path: String,
    /// Title for people.
    pub title: String,
    /// Its arms, the baseline first.
    pub arms: Vec<String>,
    /// Names of its transactions.
    pub transactions: Vec<String>,
    /// Claim ids.
    pub claims: Vec<String>,
    /// Whether it changes data.
    pub writes: bool,
}

/// Reads all suites and scenarios below `root`. What cannot be read is left out and named in `errors`.
pub fn list(root: &Path) -> Listing {
    let mut listing = Listing::default();
    let mut names = scenario::suites(root).unwrap_or_default();
    let seeds = std::fs::read_dir(root.join("seeds")).into_iter().flatten().flatten();
    names.extend(seeds.filter(|e| e.path().join("suite.toml").is_file()).map(|e| e.file_name().to_string_lossy().into_owned()));
    names.sort();
    names.dedup();
    for name in names {
        let mut entry = match suite::load(&root.join("seeds").join(&name)) {
            Ok(suite) => suite_entry(&suite),
            Err(errors) => {
                listing.complain(&errors);
                SuiteEntry { name: name.clone(), ..SuiteEntry::default() }
            }
        };
        for path in scenario::discover(root, &name).unwrap_or_default() {
            match scenario::load(root, &path) {
                Ok(scenario) => entry.scenarios.push(scenario_entry(&scenario)),
                Err(errors) => listing.complain(&errors),
            }
        }
        listing.suites.push(entry);
    }
    listing
}

impl Listing {
    /// One line for a file, however much is wrong with it: `pgduel lint` tells the rest.
    fn complain(&mut self, errors: &[Diagnostic]) {
        let Some(first) = errors.first() else { return };
        let more = match errors.len() {
            1 => String::new(),
            n => format!(" (and {} more; see pgduel lint)", n - 1),
        };
        self.errors.push(format!("{}{more}", first.plain()));
    }
}

fn suite_entry(suite: &Suite) -> SuiteEntry {
    let variants = suite.variants.values();
    SuiteEntry {
        name: suite.name.clone(),
        title: suite.title.clone(),
        variants: variants.map(|v| VariantEntry { name: v.name.clone(), title: v.title.clone(), from: v.from.clone() }).collect(),
        scenarios: Vec::new(),
    }
}

fn scenario_entry(scenario: &Scenario) -> ScenarioEntry {
    ScenarioEntry {
        path: scenario.path(),
        title: scenario.title.clone(),
        arms: scenario.arms.values().map(|arm| arm.name.clone()).collect(),
        transactions: scenario.transactions.iter().map(|transaction| transaction.name.clone()).collect(),
        claims: scenario.claims.clone(),
        writes: scenario.writes(),
    }
}

/// Prints a listing as aligned tables in `columns` columns. What could not be read is for the caller to print.
pub fn print(listing: &Listing, columns: u16, out: &mut dyn Write) -> io::Result<()> {
    for (index, suite) in listing.suites.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        match suite.title.is_empty() {
            true => writeln!(out, "{}", plain(&suite.name))?,
            false => writeln!(out, "{}  {}", plain(&suite.name), plain(&suite.title))?,
        }
        let variants: Vec<[String; 3]> =
            suite.variants.iter().map(|one| [one.name.clone(), one.from.clone().unwrap_or_default(), one.title.clone()]).collect();
        write_table(out, columns, ["variant", "builds on", "what it is"], &variants)?;
        let prefix = format!("{}/", suite.name);
        // Claims are many and only of interest to tools here: they are in the JSON form.
        let scenarios: Vec<[String; 3]> = suite
            .scenarios
            .iter()
            .map(|one| {
                let name = one.path.strip_prefix(&prefix).unwrap_or(&one.path).to_owned();
                [name, one.title.clone(), one.arms.join(" / ")]
            })
            .collect();
        write_table(out, columns, ["scenario", "what it is", "arms"], &scenarios)?;
        if let Some(first) = suite.scenarios.first() {
            writeln!(out, "\n Run one with: pgduel duel {} --quick", plain(&first.path))?;
        }
    }
    if listing.suites.is_empty() {
        writeln!(out, "There is no suite here: a suite is a folder in seeds/ with a suite.toml, and one in scenarios/.")?;
    }
    Ok(())
}

/// Prints a listing as JSON.
pub fn print_json(listing: &Listing, out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, listing)?;
    writeln!(out)
}

/// A table whose first column is never broken: names must be copied whole. What does not fit is wrapped at words in the others, the
/// widest first.
fn write_table<const N: usize>(out: &mut dyn Write, columns: u16, header: [&str; N], rows: &[[String; N]]) -> io::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(columns.saturating_sub(1)).set_header(header);
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)));
    }
    let widest = rows.iter().map(|row| row[0].chars().count()).max().unwrap_or(0).max(header[0].len());
    // The cell's own padding counts.
    let width = u16::try_from(widest + 2).unwrap_or(u16::MAX);
    if let Some(first) = table.column_mut(0) {
        first.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width)));
    }
    writeln!(out)?;
    for line in table.to_string().lines() {
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}
