//! Made-up text: sentences of a help desk's chats and of shop pages, and the small kinds of `fake`.
//!
//! `phrases.txt` holds sentences by section, with {slots} that other sections fill. The `fake` crate gives names of people, companies
//! and places only, always from a ChaCha stream that is handed in.

use std::sync::LazyLock;

use fake::Fake;
use fake::faker::{address::en::CityName, company::en::CompanyName, name::en::Name};
use rand_chacha::ChaCha8Rng;

use super::model::FakeKind;
use super::rng;

static PHRASES: LazyLock<Phrases> = LazyLock::new(|| Phrases::parse(include_str!("text/phrases.txt")));

/// Sections of sentences and words.
struct Phrases {
    sections: Vec<(&'static str, Vec<&'static str>)>,
}

impl Phrases {
    fn parse(text: &'static str) -> Phrases {
        let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#')) {
            match line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
                Some(name) => sections.push((name, Vec::new())),
                None => {
                    if let Some((_, lines)) = sections.last_mut() {
                        lines.push(line);
                    }
                }
            }
        }
        Phrases { sections }
    }

    fn section(&self, name: &str) -> &[&'static str] {
        self.sections.iter().find(|(n, _)| *n == name).map_or(&[], |(_, lines)| lines)
    }

    fn pick(&self, rng: &mut ChaCha8Rng, section: &str) -> &'static str {
        let lines = self.section(section);
        let at = rng::below(rng, lines.len() as u64) as usize;
        lines.get(at).copied().unwrap_or("")
    }

    /// Appends a line of a section, its slots filled.
    fn fill(&self, rng: &mut ChaCha8Rng, section: &str, out: &mut String) {
        let mut rest = self.pick(rng, section);
        while let Some((before, after)) = rest.split_once('{') {
            out.push_str(before);
            let Some((slot, after)) = after.split_once('}') else { break };
            match slot {
                "number" => out.push_str(&rng::between(rng, 10_000, 99_999).to_string()),
                "small" => out.push_str(&rng::between(rng, 2, 30).to_string()),
                _ => out.push_str(self.pick(rng, slot)),
            }
            rest = after;
        }
        out.push_str(rest);
    }
}

/// Who speaks in a chat.
#[derive(Clone, Copy)]
pub(super) enum Speaker {
    Customer,
    Agent,
}

/// Sentences of a chat, of about `low` to `high` words, more often few than many.
pub(super) fn chat(rng: &mut ChaCha8Rng, speaker: Speaker, low: u64, high: u64) -> String {
    let section = match speaker {
        Speaker::Customer => "customer",
        Speaker::Agent => "agent",
    };
    let u = rng::unit(rng);
    let wanted = low + (u * u * (high - low) as f64) as u64;
    let mut out = String::new();
    loop {
        PHRASES.fill(rng, section, &mut out);
        let mut words = out.split_ascii_whitespace();
        let so_far = words.by_ref().count() as u64;
        if so_far >= wanted || so_far == 0 {
            return cut_words(out, high);
        }
        out.push(' ');
    }
}

fn cut_words(mut text: String, most: u64) -> String {
    let cut = text.match_indices(' ').nth(most.saturating_sub(1) as usize).map(|(at, _)| at);
    if let Some(at) = cut {
        text.truncate(at);
    }
    text
}

/// Sentences of a web page, of `low` to `high` characters.
pub(super) fn page(rng: &mut ChaCha8Rng, low: u64, high: u64) -> String {
    let wanted = rng::between(rng, low as i64, high as i64).unsigned_abs() as usize;
    let mut out = String::with_capacity(wanted + 120);
    while out.len() < wanted {
        let before = out.len();
        if before > 0 {
            out.push(' ');
        }
        PHRASES.fill(rng, "page", &mut out);
        if out.len() <= before + 1 {
            break;
        }
    }
    // The sentences are ASCII, so that a character is a byte (tested).
    out.truncate(wanted);
    out
}

/// Single words.
pub(super) fn words(rng: &mut ChaCha8Rng, low: u64, high: u64) -> String {
    let n = rng::between(rng, low as i64, high as i64).unsigned_abs();
    let mut out = String::new();
    for i in 0..n {
        if i > 0 {
            out.push(' ');
        }
        out.push_str(PHRASES.pick(rng, "word"));
    }
    out
}

/// Text of a kind; `row` makes e-mail addresses, domains and URLs unique.
pub(super) fn fake(rng: &mut ChaCha8Rng, kind: FakeKind, row: u64) -> String {
    match kind {
        FakeKind::Name => Name().fake_with_rng(rng),
        FakeKind::Company => CompanyName().fake_with_rng(rng),
        FakeKind::City => CityName().fake_with_rng(rng),
        FakeKind::Email => {
            let name: String = Name().fake_with_rng(rng);
            format!("{}.{}@example.com", slug(&name, '.'), row + 1)
        }
        FakeKind::Domain => {
            let (a, b) = (PHRASES.pick(rng, "word"), PHRASES.pick(rng, "trade"));
            format!("{a}-{b}-{}.example", row + 1)
        }
        FakeKind::Url => {
            let (a, b) = (PHRASES.pick(rng, "word"), PHRASES.pick(rng, "word"));
            format!("https://www.example.com/{a}/{b}-{}", row + 1)
        }
        FakeKind::Word => PHRASES.pick(rng, "word").to_owned(),
        FakeKind::Title => filled(rng, "title"),
        FakeKind::Sentence => filled(rng, "page"),
        FakeKind::Paragraph => page(rng, 280, 520),
    }
}

fn filled(rng: &mut ChaCha8Rng, section: &str) -> String {
    let mut out = String::new();
    PHRASES.fill(rng, section, &mut out);
    out
}

/// Lower-case letters and digits, the rest as single separators.
fn slug(text: &str, separator: char) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c.to_ascii_lowercase());
        } else if !out.is_empty() && !out.ends_with(separator) {
            out.push(separator);
        }
    }
    out.trim_end_matches(separator).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataset::rng::Streams;

    #[test]
    fn every_slot_has_a_section_and_all_is_ascii() {
        for (section, lines) in &PHRASES.sections {
            assert!(!lines.is_empty(), "[{section}] is empty");
            for line in lines {
                assert!(line.is_ascii(), "[{section}] {line}");
                for slot in line.split('{').skip(1).filter_map(|s| s.split_once('}').map(|(slot, _)| slot)) {
                    assert!(slot == "number" || slot == "small" || !PHRASES.section(slot).is_empty(), "[{section}] {{{slot}}}");
                }
            }
        }
        for needed in ["customer", "agent", "page", "title", "word", "trade"] {
            assert!(PHRASES.section(needed).len() > 10, "[{needed}]");
        }
    }

    #[test]
    fn lengths_are_kept() {
        let streams = Streams::new(1, "text");
        for row in 0..200 {
            let rng = &mut streams.at(row);
            let words_in = |s: &str| s.split_ascii_whitespace().count();
            assert!((6..=60).contains(&words_in(&chat(rng, Speaker::Customer, 6, 60))));
            assert!((6..=60).contains(&words_in(&chat(rng, Speaker::Agent, 6, 60))));
            assert!((900..=1000).contains(&page(rng, 900, 1000).len()));
            assert!((2..=4).contains(&words_in(&words(rng, 2, 4))));
        }
    }

    #[test]
    fn slugs_are_plain() {
        assert_eq!(slug("Dr. Ann-Marie O'Neil ", '.'), "dr.ann.marie.o.neil");
    }
}
