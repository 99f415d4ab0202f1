//! Progress on standard error: what happens in an experiment as words and bars on a terminal, as plain lines elsewhere, or as JSON for tools.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::ProgressFormat;
use crate::experiment::{Event, Progress};
use crate::shown::shown;

/// Shortest time between two `rows-sent` lines of a table, with `--progress json`.
const BETWEEN_ROWS: Duration = Duration::from_secs(1);

/// Tells what is going on.
pub struct Console {
    started: Instant,
    format: Format,
    multi: MultiProgress,
    bar: ProgressBar,
    /// A bar a table, gone when it is complete.
    tables: Mutex<HashMap<String, ProgressBar>>,
    /// By table: rows that no `rows-sent` line has reported yet.
    sent: Mutex<HashMap<String, Sent>>,
}

/// Rows of one table that were sent since its last `rows-sent` line.
struct Sent {
    rows: u64,
    told: Instant,
}

impl Sent {
    fn new() -> Sent {
        Sent { rows: 0, told: Instant::now() }
    }

    /// Adds rows. Returns the sum if a line is due, which begins the next one.
    fn add(&mut self, rows: u64) -> Option<u64> {
        self.rows += rows;
        if self.told.elapsed() < BETWEEN_ROWS {
            return None;
        }
        let rows = std::mem::replace(self, Sent::new()).rows;
        Some(rows)
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Format {
    Nothing,
    Terminal,
    Lines,
    Json,
}

impl Console {
    /// On standard error; `quiet` leaves out everything.
    pub fn new(quiet: bool, format: ProgressFormat) -> Console {
        let format = match (quiet, format) {
            (true, _) => Format::Nothing,
            (false, ProgressFormat::Json) => {
                super::out::speak_json();
                Format::Json
            }
            (false, ProgressFormat::Text) if std::io::stderr().is_terminal() => Format::Terminal,
            (false, ProgressFormat::Text) => Format::Lines,
        };
        let multi = match format {
            Format::Terminal => MultiProgress::new(),
            _ => MultiProgress::with_draw_target(ProgressDrawTarget::hidden()),
        };
        let bar = multi.add(ProgressBar::no_length());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
            bar.set_style(style);
        }
        Console { started: Instant::now(), format, multi, bar, tables: Mutex::default(), sent: Mutex::default() }
    }

    /// Removes what is only of interest while it goes on.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
        let _ = self.multi.clear();
    }

    fn line(&self, text: &str) {
        let seconds = self.started.elapsed().as_secs();
        let line = format!("[{:>2}:{:02}] {}", seconds / 60, seconds % 60, shown(text));
        match self.format {
            Format::Terminal => {
                let _ = self.multi.println(&line);
            }
            _ => super::out::say(&line),
        }
    }

    fn json(&self, event: &Event<'_>) {
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::RowsSent { table, rows } => {
                if let Some(rows) = sent.entry((*table).to_owned()).or_insert_with(Sent::new).add(*rows) {
                    self.json_line(&Event::RowsSent { table, rows });
                }
            }
            Event::TableDone { table } => {
                // The last of them, so that the lines of a table add up to all its rows.
                if let Some(Sent { rows: rows @ 1.., .. }) = sent.remove(*table) {
                    self.json_line(&Event::RowsSent { table, rows });
                }
                self.json_line(event);
            }
            _ => self.json_line(event),
        }
    }

    fn json_line(&self, event: &Event<'_>) {
        let Ok(mut value) = serde_json::to_value(event) else { return };
        if let Some(fields) = value.as_object_mut() {
            fields.insert("elapsed_seconds".to_owned(), self.started.elapsed().as_secs_f64().into());
        }
        super::out::say_json(&value);
    }

    fn draw(&self, event: &Event<'_>) {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::TableBegun { table, rows } => {
                let style = ProgressStyle::with_template("{prefix:<24} {bar:32} {human_pos:>10} of {human_len} rows, {eta} left")
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                let bar = self.multi.add(ProgressBar::new(*rows).with_style(style).with_prefix((*table).to_owned()));
                tables.insert((*table).to_owned(), bar);
            }
            Event::RowsSent { table, rows } => tables.get(*table).into_iter().for_each(|bar| bar.inc(*rows)),
            Event::TableDone { table } => tables.get(*table).into_iter().for_each(ProgressBar::finish_and_clear),
            Event::RoundKept { scenario, kept, wanted } => {
                self.bar.set_message(format!("{}: {kept} of {wanted} rounds", shown(scenario)));
                self.bar.tick();
            }
            _ => {}
        }
    }
}

impl Progress for Console {
    fn event(&self, event: &Event<'_>) {
        match self.format {
            Format::Nothing => {}
            Format::Json => self.json(event),
            Format::Terminal | Format::Lines => {
                words(event).into_iter().for_each(|text| self.line(&text));
                if self.format == Format::Terminal {
                    self.draw(event);
                }
            }
        }
    }
}

/// What a person is told of an event; nothing of those that bars show, and of what is told in the end.
fn words(event: &Event<'_>) -> Option<String> {
    Some(match event {
        Event::OwnServer { place } => format!("on the server of --database-url or DATABASE_URL ({place}), not one of pgduel's own"),
        Event::OrphanDropped { database } => format!("dropped {database}, which a run left behind"),
        Event::OrphansKept { error } => format!("what other runs left behind may stay: {error}"),
        Event::LeftBehind { error } => format!("databases of this run may be left behind: {error}"),
        Event::TemplateFound { database } => format!("reusing the seeded template {database}"),
        Event::Seeding => "filling the tables".to_owned(),
        Event::SharedIndexes { file } => format!("building the shared indexes ({})", file.display()),
        Event::Vacuuming => "vacuum (freeze, analyze)".to_owned(),
        Event::IndexBuilding { table, phase, percent } => {
            let percent = percent.map(|percent| format!(", {percent:.0}%")).unwrap_or_default();
            format!("an index of {table}: {phase}{percent}")
        }
        Event::SharedSqlRejected { message } => (*message).to_owned(),
        Event::Scenario { scenario, title, of: 1, .. } => format!("{scenario}: {title}"),
        Event::Scenario { scenario, title, number, of } => format!("{scenario} ({number} of {of}): {title}"),
        Event::Applying { variant, factor, again } => {
            let value = factor.map_or_else(String::new, |factor| format!(", {} = {}", factor.name, factor.value));
            format!("applying {variant}{value}{}", if *again { " again" } else { "" })
        }
        Event::Checking { .. } => "checking answers and isolation".to_owned(),
        Event::Probing { .. } => "probing capacity".to_owned(),
        Event::Measuring { arms, least, .. } => format!("measuring: {least} rounds of {arms} blocks, or more"),
        Event::Loading { scenario, variant, seconds } => format!("{scenario} on {variant} for {seconds:.1} s"),
        Event::BlockDiscarded { round, arm, reason, .. } => {
            format!("the block of {arm} in round {} does not count, another round follows: {reason}", round + 1)
        }
        Event::ArmDecided { arm, rounds, .. } => format!("{arm}: narrow enough after {rounds} rounds"),
        Event::CollectingEvidence { .. } => "collecting plans and function calls".to_owned(),
        Event::MeasuringCapacity { .. } => "measuring capacity".to_owned(),
        Event::Skipped { scenario } => format!("{scenario}: skipped, the budget is spent"),
        Event::SpendingTheRest { scenarios } => {
            format!("the rest of the budget goes to {scenarios} scenarios that could be surer")
        }
        Event::TableBegun { .. }
        | Event::RowsSent { .. }
        | Event::TableDone { .. }
        | Event::Block { .. }
        | Event::RoundKept { .. }
        | Event::ScenarioEnded { .. } => return None,
    })
}
