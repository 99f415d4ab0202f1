//! A run of one variant as text for a terminal, and as JSON.

use serde::Serialize;

use super::format::{NOTHING, TimeUnit, bytes, count, duration, percent, significant};
use super::lines::{letters, pad, shorten, wrapped};
use super::words;
use crate::record::Header;
use crate::shown::plain;
use crate::summary::{Load, Percentiles, RunOutcome, Summary};

/// Version of the JSON form. Raised when a reader of the former version would misread it.
pub const LOAD_JSON_VERSION: u32 = 2;

/// No terminal is served below this width; text is then wrapped by the terminal.
const NARROWEST: usize = 40;
/// What columns are called, and which may be left out where they do not fit, first to go last.
const COLUMNS: [&str; 7] = ["mean", "p50", "p90", "p95", "p99", "p99.9", "max"];
const DISPENSABLE: [&str; 3] = ["max", "p90", "mean"];

#[derive(Serialize)]
struct Document<'a> {
    format: &'static str,
    version: u32,
    header: &'a Header,
    summary: &'a Summary,
}

/// The run as JSON with a line end. Times are ns.
pub fn load_json(header: &Header, summary: &Summary) -> anyhow::Result<String> {
    let document = Document { format: "pgduel-run", version: LOAD_JSON_VERSION, header, summary };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}

/// The run as text of at most `width` columns, with a line end.
pub fn load_terminal(header: &Header, summary: &Summary, width: usize) -> String {
    let mut page = Page { out: String::new(), width: width.max(NARROWEST) };
    page.head(header, summary);
    if let Some(load) = &summary.load {
        page.overload(load);
        page.throughput(load);
        page.times(load);
        page.stages(load);
        page.errors(load);
        page.facts(load);
    }
    page.end(summary);
    plain(&page.out)
}

struct Page {
    out: String,
    width: usize,
}

/// A line of the table: indented label and a distribution.
struct Line<'a> {
    label: String,
    times: &'a Percentiles,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    /// `label` in a column of its own, `text` wrapped beside it.
    fn fact(&mut self, label: &str, text: &str) {
        const LABEL: usize = 12;
        let room = self.width.saturating_sub(LABEL).max(20);
        for (index, line) in wrapped(text, room).iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            self.line(&format!("{label:<LABEL$}{line}"));
        }
    }

    fn head(&mut self, header: &Header, summary: &Summary) {
        let Some(scenario) = &summary.scenario else {
            self.line(&format!("{}: no scenario was run", header.suite));
            return;
        };
        let arm = &scenario.arms.baseline;
        self.line(&match arm.name == arm.variant {
            true => format!("{} on {arm}", scenario.scenario),
            false => format!("{}, {arm}", scenario.scenario),
        });
        let server = header.server.version.split(" on ").next().unwrap_or_default();
        let rtt = words::rtt(scenario.rtt_ns, scenario.rtt_per, header.server.local);
        let parts =
            [words::load(scenario.load.as_ref()), rtt, server.to_owned(), header.machine.cpu.clone(), format!("seed {}", header.seed)];
        for line in wrapped(&parts.join(" · "), self.width) {
            self.line(&line);
        }
        self.line("");
    }

    /// Before any number, as it makes all others mean something else.
    fn overload(&mut self, load: &Load) {
        let Some(overload) = &load.overload else { return };
        let rate = |number: f64| format!("{}/s", significant(number));
        let told = format!(
            "✗ too much was offered: {}, and the server does about {}. The queue grew all the time, and its last took {} s more, so the \
             percentiles are those of an overloaded pool: they say how long the run was, not how fast the server is. Lower --rate.",
            rate(overload.offered_per_second),
            rate(overload.done_per_second),
            significant(load.drain_seconds)
        );
        for line in wrapped(&told, self.width) {
            self.line(&line);
        }
        self.line("");
    }

    fn throughput(&mut self, load: &Load) {
        let seconds = significant(load.seconds);
        let rate = significant(load.throughput_per_second);
        // In an open loop it is given, not found: late ones are waited for, and the wait is counted.
        let text = match load.arrivals.is_open() {
            true if load.drain_seconds > 0.0 => {
                let late = significant(load.drain_seconds);
                format!("{rate} arrivals/s finished well, over {seconds} s and {late} s more until the last was done")
            }
            true => format!("{rate} arrivals/s finished well, over {seconds} s"),
            false => format!("{rate} transactions/s over {seconds} s"),
        };
        self.fact("throughput", &text);
        self.line("");
    }

    /// Where each transaction waits for the last, nothing waits for a connection, and response and service are one.
    fn times(&mut self, load: &Load) {
        let mut lines = Vec::new();
        for one in load.all.iter().chain(&load.transactions) {
            lines.push(Line { label: format!("{} response", one.name), times: &one.response });
            if load.arrivals.has_queue() {
                lines.push(Line { label: "  acquire".to_owned(), times: &one.acquire });
                lines.push(Line { label: "  service".to_owned(), times: &one.service });
            }
            if let Some(retried) = &one.retried {
                lines.push(Line { label: "  run again".to_owned(), times: retried });
            }
            lines.extend(one.statements.iter().map(|one| Line { label: format!("    {}", one.name), times: &one.service }));
            let classes = load.classes.iter().filter(|class| class.transaction == one.name);
            lines.extend(classes.map(|class| Line { label: format!("    {} tenants", class.class), times: &class.service }));
        }
        self.table(&lines);
    }

    /// What became of those that were due in each stage.
    fn stages(&mut self, load: &Load) {
        if load.stages.is_empty() {
            return;
        }
        let mut lines = Vec::new();
        for one in &load.stages {
            lines.push(Line { label: format!("{} response", words::stage(&one.stage)), times: &one.response });
            lines.push(Line { label: "  acquire".to_owned(), times: &one.acquire });
        }
        self.table(&lines);
        for one in load.stages.iter().filter(|one| one.failed + one.unfinished > 0) {
            let told = format!("of {} scheduled {} failed, {} did not end", count(one.scheduled), count(one.failed), count(one.unfinished));
            self.fact(&words::stage(&one.stage), &told);
        }
    }

    fn table(&mut self, lines: &[Line<'_>]) {
        let mut columns: Vec<&str> = COLUMNS.to_vec();
        let mut cells: Vec<Vec<String>> = lines.iter().map(|line| cells(line.times)).collect();
        let label = lines.iter().map(|line| letters(&line.label)).max().unwrap_or(0);
        let mut dispensable = DISPENSABLE.to_vec();
        while label + 2 + total(&columns, &cells) > self.width {
            let Some(name) = dispensable.pop() else { break };
            if let Some(position) = columns.iter().position(|column| *column == name) {
                columns.remove(position);
                cells.iter_mut().for_each(|row| drop(row.remove(position + 2)));
            }
        }
        let widths = widths(&columns, &cells);
        let label = label.min(self.width.saturating_sub(total(&columns, &cells) + 2).max(12));
        let head: Vec<String> = ["count", ""].iter().chain(&columns).map(|name| (*name).to_owned()).collect();
        self.row("", label, &head, &widths);
        for (line, row) in lines.iter().zip(&cells) {
            self.row(&line.label, label, row, &widths);
        }
        self.line("");
    }

    fn row(&mut self, label: &str, width: usize, cells: &[String], widths: &[usize]) {
        let mut text = pad(&shorten(label, width), width, false);
        for (cell, width) in cells.iter().zip(widths) {
            text.push_str("  ");
            text.push_str(&pad(cell, *width, true));
        }
        self.line(&text);
    }

    fn errors(&mut self, load: &Load) {
        for (index, (code, times)) in load.errors.iter().enumerate() {
            let took = times.p50.map_or(NOTHING.to_owned(), duration);
            let label = if index == 0 { "errors" } else { "" };
            self.fact(label, &format!("{code}: {}, after {took} (median)", words::plural(times.count, "transaction")));
        }
    }

    fn facts(&mut self, load: &Load) {
        let a = &load.accounting;
        let sign = if load.balanced { "=" } else { "but not" };
        let parts = [format!("{} scheduled {sign} {} ok", count(a.scheduled), count(a.ok)), format!("{} failed", count(a.error))];
        // Where nobody may give up, nobody asks how many did.
        let timed_out = (a.acquire_timeouts > 0).then(|| format!("{} timed out waiting for a connection", count(a.acquire_timeouts)));
        let left = [format!("{} dropped", count(a.dropped)), format!("{} unfinished", count(a.in_flight))];
        let all: Vec<String> = parts.into_iter().chain(timed_out).chain(left).collect();
        self.fact("accounting", &all.join(" + "));
        let retries: u64 = load.transactions.iter().map(|one| one.retries).sum();
        if retries > 0 {
            let lost = "after serialization failures and deadlocks; response and service times have all runs in them";
            self.fact("retries", &format!("{} {lost}", words::plural(retries, "run")));
        }
        let server = &load.server;
        let written = format!("{} of WAL, {} of temporary files", bytes(server.wal_bytes), bytes(server.temp_bytes));
        let read = format!("{} blocks from memory, {} read", significant(server.blocks_hit), significant(server.blocks_read));
        self.fact("server", &format!("{read}, {written} a transaction"));
        match (&server.processor, server.no_processor) {
            (Some(time), _) => {
                let (on, waiting) = (duration(time.on_processor_ns), duration(time.waiting_ns));
                self.fact("processor", &format!("{on} on a processor, {waiting} waiting for one, a transaction"));
            }
            (None, Some(why)) => self.fact("processor", &format!("the backends' time is not known: {}", why.reason())),
            // As in records of earlier versions.
            (None, None) => {}
        }
        let generator = &load.generator;
        if let (Some(busy), true) = (generator.busy, load.arrivals.has_queue()) {
            self.fact("pool", &format!("{} connections at work on average", significant(busy)));
        }
        let lag = match load.arrivals.has_queue() {
            true => format!(", lag p99 {}", generator.lag_p99_ns.map_or(NOTHING.to_owned(), duration)),
            false => String::new(),
        };
        let busy = percent(generator.cpu_share);
        let stall = duration(generator.longest_stall_ns as f64);
        let finished = percent(generator.achieved_share);
        let verdict = match &generator.bottleneck {
            None => "; it was not the bottleneck".to_owned(),
            Some(_) => String::new(),
        };
        let text = format!("threads {busy} busy{lag}, longest stall {stall}, {finished} of the offered load finished{verdict}");
        self.fact("generator", &text);
        if let Some(how) = &generator.bottleneck {
            self.fact("", &format!("✗ the generator was the bottleneck: {how}"));
        }
    }

    fn end(&mut self, summary: &Summary) {
        for warning in &summary.warnings {
            self.fact("", &format!("! {warning}"));
        }
        if summary.load.is_none()
            && summary.outcome != RunOutcome::Interrupted
            && let Some(stop) = &summary.stop
        {
            self.fact("✗", &words::stop(stop));
        }
        match summary.outcome {
            RunOutcome::Interrupted if summary.load.is_none() => self.fact("?", "Interrupted before anything was measured."),
            RunOutcome::Interrupted => self.fact("?", "Interrupted: shown is what was measured until then."),
            RunOutcome::Invalid if summary.load.is_some() => self.fact("✗", "Invalid: nothing of this run can be used."),
            RunOutcome::Finished | RunOutcome::Infrastructure | RunOutcome::Invalid => {}
        }
    }
}

/// Count, unit, then a number for each column.
fn cells(times: &Percentiles) -> Vec<String> {
    let values = [times.mean, times.p50, times.p90, times.p95, times.p99, times.p999, times.max];
    let known: Vec<f64> = values.iter().flatten().copied().collect();
    let unit = TimeUnit::of(&known);
    let number = |value: Option<f64>| match value {
        Some(value) => unit.show(value).trim_end_matches(unit.sign()).trim_end().to_owned(),
        None => NOTHING.to_owned(),
    };
    let unit = if known.is_empty() { String::new() } else { unit.sign().to_owned() };
    [count(times.count), unit].into_iter().chain(values.map(number)).collect()
}

fn widths(columns: &[&str], cells: &[Vec<String>]) -> Vec<usize> {
    let names = ["count", ""].into_iter().chain(columns.iter().copied());
    let widest = |index: usize| cells.iter().filter_map(|row| row.get(index)).map(|cell| letters(cell)).max().unwrap_or(0);
    names.enumerate().map(|(index, name)| letters(name).max(widest(index))).collect()
}

fn total(columns: &[&str], cells: &[Vec<String>]) -> usize {
    widths(columns, cells).iter().map(|width| width + 2).sum::<usize>()
}
