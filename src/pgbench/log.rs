//! A line a transaction, as `pgbench -l` writes it.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::script::random::Random;

/// What is written, and where to.
#[derive(Clone, Debug, PartialEq)]
pub struct LogOptions {
    /// How the files' names begin (`--log-prefix`); process and thread follow.
    pub prefix: String,
    /// Share of the transactions that is written (`--sampling-rate`), up to 1.
    pub sampling_rate: f64,
    /// Whether failures are told apart (`--failures-detailed`).
    pub detailed: bool,
}

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fate {
    /// It succeeded, after so long.
    Done(Duration),
    /// It was never begun (`-R` and `-L`).
    Skipped,
    /// It was given up after serialization failures.
    Serialization,
    /// It was given up after deadlocks.
    Deadlock,
}

/// A transaction's line.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Its client.
    pub client: usize,
    /// Its number among the client's, from 1.
    pub number: u64,
    /// Its script.
    pub script: usize,
    /// How it ended.
    pub fate: Fate,
    /// What it was late by; only under `-R`.
    pub lag: Option<Duration>,
    /// Runs after the first; only where more than one is allowed.
    pub retries: Option<u32>,
}

/// The log of one thread.
#[derive(Debug)]
pub struct TransactionLog {
    path: PathBuf,
    out: BufWriter<File>,
    options: LogOptions,
    random: Random,
    failure: Option<io::Error>,
}

impl TransactionLog {
    /// Makes the file of a thread. Its path stands in the error.
    pub fn create(options: &LogOptions, thread: usize, seed: u64) -> Result<TransactionLog, (PathBuf, io::Error)> {
        let process = std::process::id();
        let path = match thread {
            0 => format!("{}.{process}", options.prefix),
            thread => format!("{}.{process}.{thread}", options.prefix),
        };
        let path = PathBuf::from(path);
        let file = File::create(&path).map_err(|error| (path.clone(), error))?;
        let random = Random::new(seed ^ (thread as u64 + 1).rotate_left(32));
        Ok(TransactionLog { path, out: BufWriter::new(file), options: options.clone(), random, failure: None })
    }

    /// Writes a line, if it is in the sample. That the disk is full is told at the end.
    pub fn add(&mut self, entry: &Entry) {
        let sampled = self.options.sampling_rate >= 1.0 || self.random.unit() < self.options.sampling_rate;
        if sampled && self.failure.is_none() {
            self.failure = self.line(entry).err();
        }
    }

    fn line(&mut self, entry: &Entry) -> io::Result<()> {
        let Entry { client, number, script, .. } = entry;
        let out = &mut self.out;
        write!(out, "{client} {number} ")?;
        match (entry.fate, self.options.detailed) {
            (Fate::Done(time), _) => write!(out, "{}", rounded_micros(time))?,
            (Fate::Skipped, _) => out.write_all(b"skipped")?,
            (Fate::Serialization, true) => out.write_all(b"serialization")?,
            (Fate::Deadlock, true) => out.write_all(b"deadlock")?,
            (Fate::Serialization | Fate::Deadlock, false) => out.write_all(b"failed")?,
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        write!(out, " {script} {} {}", now.as_secs(), now.subsec_micros())?;
        if let Some(lag) = entry.lag {
            write!(out, " {}", rounded_micros(lag))?;
        }
        if let Some(retries) = entry.retries {
            write!(out, " {retries}")?;
        }
        out.write_all(b"\n")
    }

    /// Writes what is left; says what could not be written.
    pub fn finish(&mut self) -> Result<(), String> {
        let failure = self.failure.take().or_else(|| self.out.flush().err());
        failure.map_or(Ok(()), |error| Err(format!("{} is incomplete: {error}", self.path.display())))
    }
}

fn rounded_micros(time: Duration) -> u128 {
    (time.as_nanos() + 500) / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(options: &LogOptions, entries: &[Entry]) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let prefix = folder.path().join("log").to_str().unwrap().to_owned();
        let mut log = TransactionLog::create(&LogOptions { prefix, ..options.clone() }, 1, 7).unwrap();
        entries.iter().for_each(|entry| log.add(entry));
        log.finish().unwrap();
        assert!(log.path.to_str().unwrap().ends_with(&format!("log.{}.1", std::process::id())));
        std::fs::read_to_string(&log.path).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_line_has_pgbench_s_columns() {
        let options = LogOptions { prefix: String::new(), sampling_rate: 1.0, detailed: false };
        let entry = Entry { client: 3, number: 1, script: 2, fate: Fate::Done(Duration::from_nanos(1_500)), lag: None, retries: None };
        let entries = [
            entry,
            Entry { fate: Fate::Skipped, lag: Some(Duration::from_micros(9)), ..entry },
            Entry { fate: Fate::Deadlock, lag: Some(Duration::ZERO), retries: Some(4), ..entry },
        ];
        let columns: Vec<Vec<String>> = lines(&options, &entries).iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect();
        assert_eq!(columns[0].len(), 6);
        assert_eq!(columns[0][..4], ["3", "1", "2", "2"]);
        assert_eq!((columns[1][2].as_str(), columns[1][6].as_str()), ("skipped", "9"));
        assert_eq!((columns[2][2].as_str(), &columns[2][6..]), ("failed", &["0".to_owned(), "4".to_owned()][..]));
        let detailed = lines(&LogOptions { detailed: true, ..options }, &entries);
        assert!(detailed[2].contains(" deadlock "), "{detailed:?}");
    }

    #[test]
    fn a_sample_is_a_sample() {
        let options = LogOptions { prefix: String::new(), sampling_rate: 0.1, detailed: false };
        let entry = Entry { client: 0, number: 1, script: 0, fate: Fate::Skipped, lag: None, retries: None };
        let kept = lines(&options, &vec![entry; 10_000]).len();
        // Five standard deviations.
        assert!((850..=1_150).contains(&kept), "{kept}");
    }
}
