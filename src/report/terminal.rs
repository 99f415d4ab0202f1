//! The run as text for a terminal: one line a scenario and metric, then what needs attention, then the outcome.

use std::collections::BTreeSet;

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, Width, presets};

use super::lines::{letters, wrapped, wrapped_name};
use super::view::{MetricView, RunView, ScenarioView, view};
use super::words::Tone;
use super::{Run, words};
use crate::shown::plain;

/// Below this width the columns do not fit and a metric takes two lines.
const NARROWEST_TABLE: usize = 84;
/// No terminal is served below this width; text is then wrapped by the terminal.
const NARROWEST: usize = 40;
/// Between short texts in a row.
const SEPARATOR: &str = " · ";
/// Width of the labels at the end.
const LABEL: usize = 9;

/// Findings of failed checks that a scenario shows.
const MOST_FINDINGS: usize = 5;

/// How to print.
#[derive(Clone, Copy, Debug)]
pub struct Style<'a> {
    /// Columns of the terminal.
    pub width: usize,
    /// Whether to colour; nothing is told by colour alone.
    pub color: bool,
    /// Where the report is, if it was written.
    pub report: Option<&'a str>,
}

/// The run as text with a line end.
pub fn terminal(run: &Run<'_>, style: &Style<'_>) -> String {
    let view = view(run);
    let mut page = Page { out: String::new(), width: style.width.max(NARROWEST), color: style.color };
    page.header(&view);
    let widths = Widths::of(&view, page.width);
    let mut headed = false;
    for scenario in &view.scenarios {
        page.scenario(scenario, &widths, &mut headed);
    }
    page.legend(&view);
    page.failures(&view);
    page.warnings(&view);
    page.inconclusive(&view);
    page.outcome(&view, style.report);
    page.out
}

/// Column widths that all scenarios share.
struct Widths {
    name: usize,
    baseline: usize,
    value: usize,
    change: usize,
    verdict: usize,
    rounds: usize,
}

impl Widths {
    fn of(view: &RunView, width: usize) -> Widths {
        let metrics: Vec<&MetricView> = view.scenarios.iter().flat_map(shown).collect();
        let widest = |read: &dyn Fn(&MetricView) -> usize, least: usize| metrics.iter().map(|one| read(one)).max().unwrap_or(0).max(least);
        let baseline = widest(&|one| letters(&one.baseline), 8);
        let value = widest(&|one| letters(&one.value), 6);
        let change = widest(&|one| letters(&change_text(one)), 6);
        let verdict = widest(&|one| letters(&verdict_text(one)), 7);
        let rounds = 6;
        let rest = baseline + value + change + verdict + rounds + 6 * 2 + 1;
        Widths { name: width.saturating_sub(rest).max(14), baseline, value, change, verdict, rounds }
    }

    fn each(&self) -> [usize; 6] {
        [self.name, self.baseline, self.value, self.change, self.verdict, self.rounds]
    }

    fn total(&self) -> usize {
        // One to indent, and one on either side of each column, which a terminal in colour shows up to the very edge.
        self.each().iter().map(|width| width + 2).sum::<usize>() + 1
    }
}

/// Gated metrics; where there are none, all.
fn shown(scenario: &ScenarioView) -> Vec<&MetricView> {
    let gated: Vec<&MetricView> = scenario.metrics.iter().filter(|metric| metric.gated).collect();
    if gated.is_empty() { scenario.metrics.iter().collect() } else { gated }
}

fn change_text(metric: &MetricView) -> String {
    format!("{} {}", metric.change, metric.interval).trim().to_owned()
}

fn verdict_text(metric: &MetricView) -> String {
    let shown = if metric.gated { "" } else { " (not gated)" };
    format!("{} {}{shown}", metric.symbol, metric.verdict)
}

struct Page {
    out: String,
    width: usize,
    color: bool,
}

impl Page {
    fn header(&mut self, view: &RunView) {
        let mut parts = vec![format!("pgduel {}", view.version), format!("{}, {} mode", view.suite, view.mode)];
        let fact = |group: usize, label: &str| {
            let facts = view.facts.get(group).map(|group| group.facts.as_slice()).unwrap_or_default();
            facts.iter().find(|(name, _)| name == label).map(|(_, value)| value.clone())
        };
        parts.extend(fact(0, "Seed").map(|seed| format!("seed {seed}")));
        // Without how it was packaged and compiled, which the report tells.
        parts.extend(fact(1, "Server").map(|server| server.split(' ').take(2).collect::<Vec<_>>().join(" ")));
        parts.extend(fact(1, "Processor"));
        self.parts("", &parts, SEPARATOR, None);
    }

    fn scenario(&mut self, scenario: &ScenarioView, widths: &Widths, headed: &mut bool) {
        self.out.push('\n');
        let name = self.painted(&plain(&scenario.path), Paint::Bold);
        let parts = [scenario.versus.clone(), scenario.rtt.clone(), scenario.rounds.clone()];
        // Where nothing was to be timed, there are no rounds to miss.
        let parts = if scenario.timed { &parts[..] } else { &parts[..1] };
        let facts = plain(&parts.join(SEPARATOR));
        if letters(&scenario.path) + 2 + letters(&facts) <= self.width {
            self.out.push_str(&format!("{name}  {facts}\n"));
        } else {
            self.out.push_str(&format!("{name}\n"));
            self.parts("  ", parts, SEPARATOR, None);
        }
        if let Some(arms) = &scenario.arms_told {
            self.paragraph("  ", arms, Some(Paint::Dim));
        }
        if let Some(word) = scenario.stopped_short {
            let text = format!("{} {word}", scenario.symbol);
            self.paragraph("  ", &text, Some(Paint::Tone(scenario.tone)));
            // That only checks were asked for is said once, at the end.
            if scenario.tone != Tone::Passed {
                self.paragraph("  ", &scenario.stop, None);
            }
        }
        let metrics = shown(scenario);
        if widths.total() <= self.width && self.width >= NARROWEST_TABLE {
            self.table(&metrics, widths, headed);
        } else {
            self.stacked(&metrics);
        }
        let hidden = scenario.metrics.len() - metrics.len();
        if hidden > 0 {
            let text = format!("and {} not gated, in the report", words::plural(hidden as u64, "metric"));
            self.paragraph("  ", &text, Some(Paint::Dim));
        }
        for line in scenario.best.iter().chain(&scenario.recall) {
            self.paragraph("  ", line, None);
        }
        for expectation in &scenario.expectations {
            let paint = if expectation.contradicted { Paint::Tone(Tone::Regressed) } else { Paint::Dim };
            self.paragraph("  ", &expectation.text, Some(paint));
        }
    }

    /// The metrics as columns; only the first table of the page names them.
    fn table(&mut self, metrics: &[&MetricView], widths: &Widths, headed: &mut bool) {
        if metrics.is_empty() {
            return;
        }
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic).set_width(self.width as u16);
        if self.color {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let head = ["", "baseline", "arm", "change", "verdict", "rounds"].map(|label| self.cell(label, Some(Paint::Dim)));
        if !std::mem::replace(headed, true) {
            table.set_header(head);
        }
        let mut group = String::new();
        for metric in metrics {
            let tone = Some(Paint::Tone(metric.tone));
            let name = |text: &str| self.cell(&wrapped_name(&plain(text), widths.name).join("\n"), None);
            // Of several arms each has a row, below one with the metric's name and the baseline.
            let (own, baseline) = match &metric.arm {
                None => (name(&metric.name), self.cell(&metric.baseline, None)),
                Some(arm) => {
                    let of_metric = metric.name.strip_suffix(&format!(", {arm}")).unwrap_or(&metric.name);
                    if of_metric != group {
                        table.add_row([name(of_metric), self.cell(&metric.baseline, None)]);
                        group = of_metric.to_owned();
                    }
                    let arm = wrapped_name(&plain(arm), widths.name.saturating_sub(2));
                    (self.cell(&arm.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n"), None), self.cell("", None))
                }
            };
            table.add_row([
                own,
                baseline,
                self.cell(&metric.value, None),
                self.cell(&change_text(metric), tone),
                self.cell(&verdict_text(metric), tone),
                self.cell(&metric.rounds.to_string(), None),
            ]);
        }
        for (column, width) in table.column_iter_mut().zip(widths.each()) {
            column.set_constraint(ColumnConstraint::Absolute(Width::Fixed(width as u16 + 2)));
        }
        for index in [1, 2, 5] {
            if let Some(column) = table.column_mut(index) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        for line in table.lines() {
            self.out.push(' ');
            self.out.push_str(line.trim_end());
            self.out.push('\n');
        }
    }

    fn stacked(&mut self, metrics: &[&MetricView]) {
        for metric in metrics {
            let name = format!("{}:", metric.name);
            self.parts("  ", &[name, format!("{} → {}", metric.baseline, metric.value)], " ", None);
            let rounds = words::plural(u64::from(metric.rounds), "round");
            self.parts("    ", &[change_text(metric), verdict_text(metric), rounds], SEPARATOR, Some(Paint::Tone(metric.tone)));
        }
    }

    /// How to read the tables, once.
    fn legend(&mut self, view: &RunView) {
        if !view.legend.is_empty() {
            self.out.push('\n');
            self.paragraph("", &view.legend.join(" "), Some(Paint::Dim));
        }
    }

    /// Failed checks: of each scenario what failed, then a few findings that no scenario before it showed. The report has all.
    fn failures(&mut self, view: &RunView) {
        let mut told: BTreeSet<&str> = BTreeSet::new();
        for scenario in view.scenarios.iter().filter(|one| !one.failures.is_empty()) {
            self.out.push('\n');
            for line in words::failed_checks(&scenario.failures) {
                self.paragraph("", &format!("✗ {}: {line}", scenario.path), Some(Paint::Tone(Tone::Failed)));
            }
            let findings: Vec<&str> = scenario.failures.iter().flat_map(|check| &check.findings).map(String::as_str).collect();
            let new: Vec<&str> = findings.iter().copied().filter(|finding| told.insert(finding)).collect();
            new.iter().take(MOST_FINDINGS).for_each(|finding| self.item(finding));
            let more = findings.len() - new.len().min(MOST_FINDINGS);
            match (more, new.is_empty()) {
                (0, _) => {}
                (more, true) => self.item(&format!("{}, all of which are told above", words::plural(more as u64, "finding"))),
                (more, false) => self.item(&format!("and {} more, in the report", words::plural(more as u64, "finding"))),
            }
        }
    }

    fn warnings(&mut self, view: &RunView) {
        let mut title = true;
        for note in &view.notes {
            self.titled(&mut title, "Warnings");
            self.item(&format!("{}: {}", note.path, note.text));
        }
    }

    fn inconclusive(&mut self, view: &RunView) {
        let mut title = true;
        for scenario in &view.scenarios {
            for line in &scenario.inconclusive {
                self.titled(&mut title, "What inconclusive means here");
                self.item(&format!("{} {line}", scenario.path));
            }
        }
    }

    fn outcome(&mut self, view: &RunView, report: Option<&str>) {
        self.out.push('\n');
        if let Some(ending) = view.ending {
            self.paragraph("", ending, None);
        }
        let counts: Vec<String> = view
            .tiles
            .iter()
            .filter(|tile| tile.number > 0)
            .map(|tile| format!("{} {} {}", tile.symbol, tile.number, tile.label))
            .collect();
        if !counts.is_empty() {
            self.parts("", &counts, "   ", None);
        }
        self.paragraph("", &view.headline, Some(Paint::Tone(view.tone)));
        if let Some(aside) = &view.aside {
            self.paragraph("", aside, None);
        }
        if let Some(report) = report {
            self.line("report", report);
        }
        for (index, line) in wrapped(&view.exit, self.width - LABEL).iter().enumerate() {
            self.line(if index == 0 { "exit" } else { "" }, line);
        }
        self.line("command", &view.command);
    }

    /// Short texts in a row, broken between and not within them.
    fn parts(&mut self, indent: &str, parts: &[String], separator: &str, paint: Option<Paint>) {
        let room = self.width - indent.len();
        let mut line = String::new();
        for part in parts.iter().map(|part| plain(part)) {
            if !line.is_empty() && letters(&line) + letters(separator) + letters(&part) > room {
                self.paragraph(indent, &std::mem::take(&mut line), paint);
            }
            line = if line.is_empty() { part } else { format!("{line}{separator}{part}") };
        }
        self.paragraph(indent, &line, paint);
    }

    /// A label and a value on one line, however long, as it is to be copied.
    fn line(&mut self, label: &str, value: &str) {
        let label = self.painted(&format!("{label:<LABEL$}"), Paint::Dim);
        self.out.push_str(&format!("{label}{}\n", plain(value).replace('\n', " ")));
    }

    fn titled(&mut self, first: &mut bool, title: &str) {
        if std::mem::take(first) {
            let title = self.painted(title, Paint::Bold);
            self.out.push_str(&format!("\n{title}\n"));
        }
    }

    fn item(&mut self, text: &str) {
        for (index, line) in wrapped(&plain(text), self.width - 4).iter().enumerate() {
            self.out.push_str(if index == 0 { "  • " } else { "    " });
            self.out.push_str(line);
            self.out.push('\n');
        }
    }

    fn paragraph(&mut self, indent: &str, text: &str, paint: Option<Paint>) {
        for line in wrapped(&plain(text), self.width - indent.len()) {
            let line = paint.map_or_else(|| line.clone(), |paint| self.painted(&line, paint));
            self.out.push_str(&format!("{indent}{line}\n"));
        }
    }

    fn painted(&self, text: &str, paint: Paint) -> String {
        if self.color { format!("\u{1b}[{}m{text}\u{1b}[0m", paint.code()) } else { text.to_owned() }
    }

    fn cell(&self, text: &str, paint: Option<Paint>) -> Cell {
        let cell = Cell::new(text);
        match paint {
            Some(paint) if self.color => paint.cell(cell),
            _ => cell,
        }
    }
}

#[derive(Clone, Copy)]
enum Paint {
    Bold,
    Dim,
    Tone(Tone),
}

impl Paint {
    fn code(self) -> &'static str {
        match self {
            Paint::Bold => "1",
            Paint::Dim | Paint::Tone(Tone::Unchanged) => "2",
            Paint::Tone(Tone::Improved | Tone::Passed) => "32",
            Paint::Tone(Tone::Regressed) => "31",
            Paint::Tone(Tone::Inconclusive) => "33",
            Paint::Tone(Tone::Failed) => "1;31",
        }
    }

    fn cell(self, cell: Cell) -> Cell {
        match self {
            Paint::Bold => cell.add_attribute(Attribute::Bold),
            Paint::Dim | Paint::Tone(Tone::Unchanged) => cell.add_attribute(Attribute::Dim),
            Paint::Tone(Tone::Improved | Tone::Passed) => cell.fg(Color::DarkGreen),
            Paint::Tone(Tone::Regressed | Tone::Failed) => cell.fg(Color::DarkRed),
            Paint::Tone(Tone::Inconclusive) => cell.fg(Color::DarkYellow),
        }
    }
}
