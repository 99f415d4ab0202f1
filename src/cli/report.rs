//! `pgduel report`, and the reports at the end of every run: from the record alone.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use super::args::{Format, ReportArgs};
use super::{CommandResult, Failure, out, terminal_width};
use crate::judge::compare;
use crate::record::{Record, read};
use crate::report::{Run, Style, html, json, load_json, load_terminal, markdown, terminal};
use crate::shown::masked;
use crate::summary::{Summary, summarise};

/// `pgduel report`
pub fn report(args: &ReportArgs) -> CommandResult {
    let file = record_file(&args.run);
    let record = load(&file)?;
    if let Some(summary) = summarise(&record) {
        return report_run(&file, &record, &summary, args.format);
    }
    let comparison = compare(&record);
    let run = Run::new(&record, &comparison);
    let text = match args.format {
        None => {
            let folder = file.parent().unwrap_or(Path::new(".")).to_owned();
            write_all(&folder, &run)?;
            return show(&folder, &run);
        }
        Some(Format::Terminal) => terminal(&run, &style(None)),
        Some(Format::Md) => markdown(&run)?,
        Some(Format::Json) => json(&run)?,
        Some(Format::Html) => html(&run)?,
    };
    out::print(&text)?;
    Ok(exit_code(&run))
}

/// As the run ended, whichever command reports it.
fn exit_code(run: &Run<'_>) -> i32 {
    run.comparison.outcome.exit_code(run.header.inconclusive_fails)
}

/// Writes all formats beside the record in `folder`, prints the table (or JSON), and gives the run's exit code.
pub fn publish(folder: &Path, as_json: bool) -> CommandResult {
    let record = load(&folder.join("run.jsonl"))?;
    let comparison = compare(&record);
    let run = Run::new(&record, &comparison);
    write_all(folder, &run)?;
    if as_json {
        out::print(&json(&run)?)?;
        return Ok(exit_code(&run));
    }
    show(folder, &run)
}

/// The same for a run of one variant.
pub fn publish_run(folder: &Path, as_json: bool) -> CommandResult {
    let record = load(&folder.join("run.jsonl"))?;
    let Some(summary) = summarise(&record) else {
        return Err(Failure::Usage(format!("{} is no run of one variant", folder.display())));
    };
    write(&folder.join("report.json"), &load_json(&record.header, &summary)?)?;
    let text = match as_json {
        true => load_json(&record.header, &summary)?,
        false => load_terminal(&record.header, &summary, terminal_width()),
    };
    out::print(&text)?;
    Ok(summary.outcome.exit_code())
}

fn report_run(file: &Path, record: &Record, summary: &Summary, format: Option<Format>) -> CommandResult {
    let text = match format {
        Some(Format::Json) => load_json(&record.header, summary)?,
        Some(Format::Terminal) => load_terminal(&record.header, summary, terminal_width()),
        None => return publish_run(file.parent().unwrap_or(Path::new(".")), false),
        Some(Format::Md | Format::Html) => {
            let kind = "is a run of one variant, which has the formats terminal and json; a duel has all";
            return Err(Failure::Usage(format!("{} {kind}", file.display())));
        }
    };
    out::print(&text)?;
    Ok(summary.outcome.exit_code())
}

/// The record that a folder or file names.
pub fn record_file(run: &Path) -> PathBuf {
    if run.is_dir() { run.join("run.jsonl") } else { run.to_owned() }
}

/// Reads a record.
pub fn load(file: &Path) -> Result<Record, Failure> {
    if std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.len() == 0) {
        let why = "is empty: the run ended before it wrote anything, so there is nothing to report; run it again";
        return Err(Failure::Usage(format!("{} {why}", file.display())));
    }
    read(file).map_err(|error| Failure::Usage(error.to_string()))
}

fn show(folder: &Path, run: &Run<'_>) -> CommandResult {
    let page = masked(&folder.join("report.html").display().to_string());
    out::print(&terminal(run, &style(Some(&page))))?;
    Ok(exit_code(run))
}

fn style(report: Option<&str>) -> Style<'_> {
    Style { width: terminal_width(), color: std::io::stdout().is_terminal(), report }
}

fn write_all(folder: &Path, run: &Run<'_>) -> Result<(), Failure> {
    let files = [("report.md", markdown(run)?), ("report.json", json(run)?), ("report.html", html(run)?)];
    for (name, text) in files {
        write(&folder.join(name), &text)?;
    }
    Ok(())
}

/// To a temporary file first, so that a full disk never leaves half a report.
fn write(file: &Path, text: &str) -> Result<(), Failure> {
    let mut temporary = PathBuf::from(file);
    temporary.add_extension("part");
    let written = std::fs::write(&temporary, text).and_then(|()| std::fs::rename(&temporary, file));
    written.map_err(|error| Failure::Infrastructure(anyhow::anyhow!("cannot write {}: {error}", file.display())))
}
