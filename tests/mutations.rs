//! No input makes a reader panic or overflow its stack: files of this project with a few bytes changed, moved, repeated or nested deep.
//!
//! The readers are those of the fuzz targets, which look for longer and choose by what the code does. The changes come from a fixed seed.

#[path = "../fuzz/readers.rs"]
mod readers;

use std::path::{Path, PathBuf};

use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// What is put in: ends and beginnings of everything that nests, numbers at their limits, and characters that are seldom met.
const WORDS: [&str; 34] = [
    "\"",
    "'",
    "'''",
    "\"\"\"",
    "$$",
    "$a$",
    "--",
    "/*",
    "*/",
    "\\",
    "\n",
    "\r",
    "\0",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    "=",
    ".",
    ":",
    ":a",
    "é",
    "\u{202e}",
    "\u{1f600}",
    "9223372036854775807",
    "-9223372036854775808",
    "1e999",
    "NaN",
    "0",
    "null",
    "\\if 1\n",
    "case when 1 then ",
];

/// Files below a folder with one of these endings.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found: Vec<PathBuf> = Vec::new();
    for path in std::fs::read_dir(&folder).expect("the folder").flatten().map(|entry| entry.path()) {
        let ending = path.extension().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_file() && endings.contains(&ending.as_str()) {
            found.push(path);
        }
    }
    found.sort();
    assert!(!found.is_empty(), "{}", folder.display());
    found
}

/// Texts that a reader would like.
fn liked(reader: &str) -> Vec<String> {
    let paths = match reader {
        "scenario" => [files("scenarios/omniops", &["toml"]), files("tests/data/lint/good", &["toml"])].concat(),
        "suite" | "dataset" => {
            files("seeds/omniops", &["toml"]).into_iter().filter(|path| path.ends_with(format!("{reader}.toml"))).collect()
        }
        "script" => files("tests/data/pgbench", &["sql"]),
        "sql" => files("seeds/omniops", &["sql"]),
        "record" => files("tests/data/records", &["jsonl"]),
        "expression" => {
            let texts = [
                "1 + :a * (3 - abs(-4)) % 7",
                "case when :a > 2 and not false then random(1, 10) else 1.5e3 end",
                "hash(:a, 7) & 255 | 1 << 62",
            ];
            return texts.map(str::to_owned).to_vec();
        }
        "connection" => {
            let texts =
                ["postgresql://ann:p%40w@db.example:5432/app?sslmode=require&options=-c%20a%3Db", "postgres:///app?host=/tmp&user=ann"];
            return texts.map(str::to_owned).to_vec();
        }
        other => panic!("no texts for the reader {other}"),
    };
    paths.iter().map(|path| std::fs::read_to_string(path).expect("a text")).collect()
}

/// One to four changes.
fn changed(text: &str, random: &mut ChaCha8Rng) -> String {
    let mut letters: Vec<char> = text.chars().collect();
    for _ in 0..random.random_range(1..=4) {
        let at = random.random_range(0..=letters.len());
        let end = (at + random.random_range(0..40)).min(letters.len());
        let word = WORDS.choose(random).expect("words");
        match random.random_range(0..6) {
            0 => drop(letters.drain(at..end)),
            1 => drop(letters.splice(at..end, word.chars())),
            2 => drop(letters.splice(at..at, word.chars())),
            // Nested deep, or long.
            3 => drop(letters.splice(at..at, word.repeat(random.random_range(2..3_000)).chars())),
            4 => {
                let part: Vec<char> = letters[at..end].to_vec();
                let place = random.random_range(0..=letters.len());
                drop(letters.splice(place..place, part));
            }
            _ => letters.truncate(at),
        }
    }
    letters.into_iter().collect()
}

#[test]
fn no_text_makes_a_reader_panic() {
    for (name, read) in readers::READERS {
        let liked = liked(name);
        let mut random = ChaCha8Rng::seed_from_u64(1);
        // A record is judged and drawn.
        let times = if name == "record" { 60 } else { 1_500 };
        for text in &liked {
            read(text);
        }
        for _ in 0..times {
            read(&changed(liked.choose(&mut random).expect("texts"), &mut random));
        }
    }
}
