//! Writing and reading `run.jsonl`.

use std::collections::{HashMap, HashSet};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use super::{Header, Line, SCHEMA_VERSION, TransactionRecord};

/// Longest line that is read, 64 MiB: more is not a record of ours.
const LONGEST_LINE: usize = 64 << 20;

/// Appends lines to a record, each on disk before the call returns.
#[derive(Debug)]
pub struct Writer {
    file: File,
    path: PathBuf,
    /// Bytes of whole lines.
    length: u64,
    /// Why nothing more is written.
    failed: Option<std::io::ErrorKind>,
}

impl Writer {
    /// Creates `path`, which must not exist yet: a record is never overwritten.
    pub fn create(path: &Path) -> std::io::Result<Writer> {
        let file = OpenOptions::new().append(true).create_new(true).open(path)?;
        Ok(Writer { file, path: path.to_owned(), length: 0, failed: None })
    }

    /// Where the record is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends one line and flushes it to disk. A line that does not get there whole is taken back, and none is written after it: what is
    /// there stays readable.
    pub fn append(&mut self, line: &Line) -> std::io::Result<()> {
        if let Some(kind) = self.failed {
            return Err(std::io::Error::new(kind, "an earlier line of the record could not be written"));
        }
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        let written = self.file.write_all(&text).and_then(|()| self.file.sync_data());
        match &written {
            Ok(()) => self.length += text.len() as u64,
            Err(error) => {
                self.failed = Some(error.kind());
                // Reading forgives a torn last line anyway.
                let _ = self.file.set_len(self.length);
            }
        }
        written
    }
}

/// A whole record in memory.
#[derive(Clone, Debug)]
pub struct Record {
    /// The first line.
    pub header: Header,
    /// All further lines, in order.
    pub lines: Vec<Line>,
    /// Whether the last line was torn and left out.
    pub torn: bool,
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file itself.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line other than a torn last one.
    #[error("{path}:{line}: not a line of a run record: {message}")]
    Line {
        /// The file.
        path: PathBuf,
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// A line that cannot belong to the same run as those above it.
    #[error("{path}:{line}: {message}")]
    Contents {
        /// The file.
        path: PathBuf,
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// The first line is missing or not a header.
    #[error("{path}: the first line of a run record must be its header; is this a run.jsonl of pgduel?")]
    NoHeader {
        /// The file.
        path: PathBuf,
    },
    /// Written by another pgduel.
    #[error(
        "{path}: the record has schema version {found}, and this pgduel reads version {SCHEMA_VERSION}: use the pgduel that wrote it, or run again"
    )]
    OtherVersion {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u64,
    },
}

/// What a record holds so far: one run, of which each thing is told once. Two records in one file would make every interval narrower.
#[derive(Default)]
struct Contents {
    told: HashSet<String>,
    /// Arms by scenario, where it is described.
    arms: HashMap<String, usize>,
    ended: bool,
}

impl Contents {
    /// Adds a line, or says why it cannot belong to the run.
    fn add(&mut self, line: &Line) -> Result<(), String> {
        const DESCRIPTION: &str = "description";
        const END: &str = "end";
        if self.ended {
            return Err("the run is over above: a record holds one run".to_owned());
        }
        let (scenario, thing) = match line {
            Line::Header(_) => return Err("a second header: a record holds one run".to_owned()),
            Line::End(_) => {
                self.ended = true;
                return Ok(());
            }
            Line::Scenario(one) => (&one.scenario, Some(DESCRIPTION.to_owned())),
            // Two may say the same.
            Line::Check(one) => (&one.scenario, None),
            Line::Variant(one) => (&one.scenario, Some(format!("variant, {}", one.arm))),
            Line::Probe(one) => (&one.scenario, Some(format!("probe, {}", one.arm))),
            Line::Block(one) => (&one.scenario, Some(format!("{} of round {}, {}", one.purpose.block(), one.round + 1, one.arm))),
            Line::TenantClass(one) => (&one.scenario, Some(format!("{} times of {}, {}", one.class, one.transaction, one.arm))),
            Line::Evidence(one) => (&one.scenario, Some(format!("evidence of {}, {}", one.statement, one.arm))),
            Line::ScenarioEnd(one) => (&one.scenario, Some(END.to_owned())),
        };
        self.arms(scenario, line)?;
        let of = |thing: &str| format!("{thing}, of scenario {scenario}");
        if self.told.contains(&of(END)) {
            return Err(format!("scenario {scenario} is over above"));
        }
        if matches!(line, Line::Block(_)) && !self.told.contains(&of(DESCRIPTION)) {
            return Err(format!("a block of scenario {scenario}, which is not described above"));
        }
        match thing.and_then(|thing| self.told.replace(of(&thing))) {
            Some(thing) => Err(format!("the {thing} is told a second time")),
            None => Ok(()),
        }
    }
}

impl Contents {
    /// Whether a line is of an arm that the scenario has, and a description has of each arm what it has of arms.
    fn arms(&mut self, scenario: &str, line: &Line) -> Result<(), String> {
        let arm = match line {
            Line::Scenario(one) => {
                let arms = one.arms.count();
                let whole =
                    |transaction: &TransactionRecord| transaction.statements.count() == arms && transaction.requests.count() == arms;
                if let Some(odd) = one.transactions.iter().find(|transaction| !whole(transaction)) {
                    return Err(format!("transaction {} of scenario {scenario} has not statements and requests of {arms} arms", odd.name));
                }
                self.arms.insert(scenario.to_owned(), arms);
                return Ok(());
            }
            Line::Block(one) => Some(one.arm),
            Line::TenantClass(one) => Some(one.arm),
            Line::Evidence(one) => Some(one.arm),
            Line::Probe(one) => Some(one.arm),
            Line::Variant(one) => Some(one.arm),
            Line::Check(one) => one.arm,
            Line::Header(_) | Line::ScenarioEnd(_) | Line::End(_) => None,
        };
        match (arm, self.arms.get(scenario)) {
            (Some(arm), Some(arms)) if arm.place() >= *arms => Err(format!("{arm} of scenario {scenario}, which has {arms}")),
            _ => Ok(()),
        }
    }
}

/// Reads a record. A last line without its line end, as a killed run leaves it, is left out and marked.
pub fn read(path: &Path) -> Result<Record, ReadError> {
    let io = |source| ReadError::Io { path: path.to_owned(), source };
    let mut reader = BufReader::new(File::open(path).map_err(io)?);
    let mut header = None;
    let (mut lines, mut contents) = (Vec::new(), Contents::default());
    let mut buffer = Vec::new();
    for number in 1.. {
        buffer.clear();
        let read = std::io::Read::take(&mut reader, LONGEST_LINE as u64).read_until(b'\n', &mut buffer).map_err(io)?;
        if read == 0 {
            break;
        }
        let torn = buffer.last() != Some(&b'\n');
        if header.is_none() {
            header = Some(parse_header(path, &buffer)?);
            continue;
        }
        match serde_json::from_slice(&buffer) {
            // A torn line may still parse; without its line end it was not flushed as a whole, so it does not count.
            _ if torn && read < LONGEST_LINE => return finish(path, header, lines, true),
            Ok(line) => match contents.add(&line) {
                Ok(()) => lines.push(line),
                Err(message) => return Err(ReadError::Contents { path: path.to_owned(), line: number, message }),
            },
            Err(error) => {
                return Err(ReadError::Line { path: path.to_owned(), line: number, message: error.to_string() });
            }
        }
    }
    finish(path, header, lines, false)
}

fn finish(path: &Path, header: Option<Header>, lines: Vec<Line>, torn: bool) -> Result<Record, ReadError> {
    let header = header.ok_or_else(|| ReadError::NoHeader { path: path.to_owned() })?;
    Ok(Record { header, lines, torn })
}

fn parse_header(path: &Path, bytes: &[u8]) -> Result<Header, ReadError> {
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(|_| ReadError::NoHeader { path: path.to_owned() })?;
    let version = value.get("schema_version").and_then(serde_json::Value::as_u64);
    match version {
        Some(found) if found != u64::from(SCHEMA_VERSION) => Err(ReadError::OtherVersion { path: path.to_owned(), found }),
        _ => match serde_json::from_value(value) {
            Ok(Line::Header(header)) => Ok(*header),
            Ok(_) => Err(ReadError::NoHeader { path: path.to_owned() }),
            Err(error) => Err(ReadError::Line { path: path.to_owned(), line: 1, message: error.to_string() }),
        },
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use crate::record::End;

    #[test]
    fn nothing_is_written_behind_a_line_that_did_not_get_there() {
        let path = Path::new("/dev/full");
        let mut writer =
            Writer { file: OpenOptions::new().append(true).open(path).unwrap(), path: path.to_owned(), length: 0, failed: None };
        let line = Line::End(End { interrupted: false, finished_at: String::new() });
        assert_eq!(writer.append(&line).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        // There is room now, but half a line may be there too.
        let folder = std::env::temp_dir().join(format!("pgduel-writer-{}", std::process::id()));
        writer.file = OpenOptions::new().append(true).create(true).open(&folder).unwrap();
        assert!(writer.append(&line).is_err());
        assert_eq!(std::fs::metadata(&folder).unwrap().len(), 0);
        std::fs::remove_file(&folder).unwrap();
    }
}
