//! A TOML document as a tree in file order, with the place of every key and value.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Findings, closest, list, raw_offset};

/// Most tables and arrays in each other. The formats here need 7. TOML's parser stops at 80, but keys with points count for nothing there.
pub const DEEPEST: usize = 32;

/// A value and its place.
#[derive(Clone, Debug)]
pub struct Node {
    /// Path of keys, such as `transaction[0].weight`; empty for the whole document.
    pub path: String,
    /// Bytes of the value.
    pub span: Range<usize>,
    /// The value.
    pub value: Value,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub enum Value {
    /// A string.
    Text(String),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// `true`, `false`.
    Bool(bool),
    /// A date or time; no format of ours has one.
    Datetime,
    /// An array.
    Array(Vec<Node>),
    /// A table, in file order.
    Table(Vec<Entry>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Its place.
    pub key_span: Range<usize>,
    /// Its value.
    pub node: Node,
}

/// Parses a document. Syntax errors become findings; `None` if there are any.
pub fn parse(findings: &mut Findings) -> Option<Node> {
    let source = findings.source().clone();
    let (table, errors) = DeTable::parse_recoverable(source.text());
    let bad = !errors.is_empty();
    // One slip makes the parser stumble several times; the first few tell the story.
    for error in errors.iter().take(3) {
        let span = error.span().unwrap_or(0..0);
        findings.add(span, "", format!("not TOML: {}", error.message()), "see https://toml.io for the syntax");
    }
    let mut tree = Tree { findings, bad };
    let value = tree.table(table.into_inner(), "", 1);
    (!tree.bad).then_some(Node { path: String::new(), span: 0..0, value })
}

/// Makes the tree, and findings of what cannot be in it.
struct Tree<'f> {
    findings: &'f mut Findings,
    bad: bool,
}

impl Tree<'_> {
    /// `depth`: tables and arrays around what is in it, itself included.
    fn table(&mut self, table: DeTable<'_>, path: &str, depth: usize) -> Value {
        let mut entries: Vec<Entry> = Vec::with_capacity(table.len());
        for (key, value) in table {
            let key_span = key.span();
            let key = key.into_inner().into_owned();
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            entries.push(Entry { key, key_span, node: self.node(value, path, depth) });
        }
        entries.sort_by_key(|entry| (entry.key_span.start, entry.node.span.start));
        Value::Table(entries)
    }

    fn node(&mut self, value: Spanned<DeValue<'_>>, path: String, depth: usize) -> Node {
        let span = value.span();
        let value = match value.into_inner() {
            DeValue::String(text) => Some(Value::Text(text.into_owned())),
            DeValue::Integer(n) => i64::from_str_radix(n.as_str(), n.radix()).ok().map(Value::Int),
            DeValue::Float(n) => n.as_str().parse().ok().map(Value::Float),
            DeValue::Boolean(b) => Some(Value::Bool(b)),
            DeValue::Datetime(_) => Some(Value::Datetime),
            value @ (DeValue::Array(_) | DeValue::Table(_)) if depth >= DEEPEST => {
                dismantle(value);
                let allowed = format!("at most {DEEPEST} tables and arrays in each other");
                return self.refused(span, path, "is nested too deep", &allowed);
            }
            DeValue::Array(items) => {
                let node = |(i, item)| self.node(item, format!("{path}[{i}]"), depth + 1);
                Some(Value::Array(items.into_iter().enumerate().map(node).collect()))
            }
            DeValue::Table(table) => Some(self.table(table, &path, depth + 1)),
        };
        match value {
            Some(value) => Node { path, span, value },
            None => self.refused(span, path, "the number is out of range", "a number of at most 64 bits"),
        }
    }

    /// A finding, and what stands in the tree in its value's place.
    fn refused(&mut self, span: Range<usize>, path: String, message: &str, help: &str) -> Node {
        self.findings.add(span.clone(), &path, message, help);
        self.bad = true;
        Node { path, span, value: Value::Int(0) }
    }
}

/// Drops a value from the outside inwards: as it drops itself, each level takes a part of the stack.
pub fn dismantle(value: DeValue<'_>) {
    let mut left = vec![value];
    while let Some(value) = left.pop() {
        match value {
            DeValue::Table(table) => left.extend(table.into_iter().map(|(_, value)| value.into_inner())),
            DeValue::Array(items) => left.extend(items.into_iter().map(Spanned::into_inner)),
            _ => {}
        }
    }
}

impl Node {
    /// Adds a finding about this value.
    pub fn fault(&self, findings: &mut Findings, message: impl Into<String>, help: impl Into<String>) {
        findings.add(self.span.clone(), &self.path, message, help);
    }

    /// Adds a finding about some bytes of this string's value.
    pub fn fault_within(&self, findings: &mut Findings, part: Range<usize>, message: impl Into<String>, help: impl Into<String>) {
        if findings.is_full() {
            return findings.add(self.span.clone(), &self.path, message, help);
        }
        let source = findings.source().clone();
        let token = source.text().get(self.span.clone()).unwrap_or_default();
        let place = |decoded| self.span.start + raw_offset(token, decoded);
        let start = place(part.start);
        let end = if part.is_empty() { start } else { place(part.end.saturating_sub(1)) + 1 };
        findings.add(start..end.max(start), &self.path, message, help);
    }

    /// What it is, for messages: `the text "abc"`, `the number 3`, `a table`.
    pub fn described(&self) -> String {
        match &self.value {
            Value::Text(text) if text.chars().count() <= 40 => format!("{text:?}"),
            Value::Text(_) => "a long text".into(),
            Value::Int(n) => format!("the number {n}"),
            Value::Float(n) => format!("the number {n}"),
            Value::Bool(b) => format!("{b}"),
            Value::Datetime => "a date".into(),
            Value::Array(_) => "an array".into(),
            Value::Table(entries) if entries.is_empty() => "an empty table".into(),
            Value::Table(_) => "a table".into(),
        }
    }

    /// A finding: this is not what is allowed here.
    pub fn not_allowed(&self, findings: &mut Findings, allowed: &str) {
        self.fault(findings, format!("{} is not allowed here", self.described()), format!("allowed: {allowed}"));
    }

    /// The text, or a finding.
    pub fn text(&self, findings: &mut Findings, allowed: &str) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => {
                self.not_allowed(findings, allowed);
                None
            }
        }
    }

    /// A text that is not blank, or a finding.
    pub fn filled(&self, findings: &mut Findings, allowed: &str) -> Option<&str> {
        let text = self.text(findings, allowed)?;
        if text.trim().is_empty() {
            self.fault(findings, "is empty", format!("allowed: {allowed}"));
            return None;
        }
        Some(text)
    }

    /// One of these words, or a finding with the likeliest one.
    pub fn word<T: Copy>(&self, findings: &mut Findings, words: &[(&str, T)]) -> Option<T> {
        let allowed = list(words.iter().map(|(word, _)| format!("{word:?}")));
        let given = self.text(findings, &allowed)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == given) {
            return Some(*value);
        }
        let near = closest(given, words.iter().map(|(word, _)| *word));
        self.fault(findings, format!("{given:?} is not allowed here{}", did_you_mean(near)), format!("allowed: {allowed}"));
        None
    }

    /// `true` or `false`, or a finding.
    pub fn boolean(&self, findings: &mut Findings) -> Option<bool> {
        match self.value {
            Value::Bool(b) => Some(b),
            _ => {
                self.not_allowed(findings, "true, false");
                None
            }
        }
    }

    /// A whole number within `range`, or a finding.
    pub fn int(&self, findings: &mut Findings, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        match self.value {
            Value::Int(n) if range.contains(&n) => Some(n),
            _ => {
                self.not_allowed(findings, &format!("a whole number from {} to {}", range.start(), range.end()));
                None
            }
        }
    }

    /// A finite number, whole or not, within `range`, or a finding.
    pub fn number(&self, findings: &mut Findings, range: std::ops::RangeInclusive<f64>) -> Option<f64> {
        let n = match self.value {
            Value::Int(n) => Some(n as f64),
            Value::Float(n) => Some(n),
            _ => None,
        };
        let n = n.filter(|n| range.contains(n));
        if n.is_none() {
            self.not_allowed(findings, &format!("a number from {} to {}", range.start(), range.end()));
        }
        n
    }

    /// The elements, or a finding.
    pub fn array(&self, findings: &mut Findings, allowed: &str) -> Option<&[Node]> {
        match &self.value {
            Value::Array(items) => Some(items),
            _ => {
                self.not_allowed(findings, allowed);
                None
            }
        }
    }

    /// A list of texts that are not blank; wrong elements become findings and are left out.
    pub fn texts(&self, findings: &mut Findings, allowed: &str) -> Vec<String> {
        let items = self.array(findings, allowed).unwrap_or_default();
        items.iter().filter_map(|item| item.filled(findings, "a text").map(str::to_owned)).collect()
    }

    /// The entries of a table; `None` for anything else.
    pub fn entries(&self) -> Option<&[Entry]> {
        match &self.value {
            Value::Table(entries) => Some(entries),
            _ => None,
        }
    }
}

/// `; did you mean "x"?`, or nothing.
pub fn did_you_mean(near: Option<&str>) -> String {
    near.map_or(String::new(), |near| format!("; did you mean {near:?}?"))
}

/// Reads the keys of a table one by one and complains of those that nobody asked for.
pub struct Keys<'n> {
    node: &'n Node,
    entries: &'n [Entry],
    asked: Vec<&'static str>,
}

impl<'n> Keys<'n> {
    /// The keys of a table, or a finding.
    pub fn of(node: &'n Node, findings: &mut Findings, allowed: &str) -> Option<Keys<'n>> {
        let Some(entries) = node.entries() else {
            node.not_allowed(findings, allowed);
            return None;
        };
        Some(Keys { node, entries, asked: Vec::new() })
    }

    /// The value of a key.
    pub fn get(&mut self, key: &'static str) -> Option<&'n Node> {
        if !self.asked.contains(&key) {
            self.asked.push(key);
        }
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    /// The value of a key that must be there, or a finding.
    pub fn require(&mut self, findings: &mut Findings, key: &'static str, what: &str) -> Option<&'n Node> {
        let found = self.get(key);
        if found.is_none() {
            let path = if self.node.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.node.path) };
            let help = if what.starts_with("[[") { format!("add {what} tables") } else { format!("add {key} = {what}") };
            findings.add(self.node.span.clone(), &path, "is missing", help);
        }
        found
    }

    /// Complains of every key that was not asked for.
    pub fn finish(self, findings: &mut Findings) {
        for entry in self.entries.iter().filter(|entry| !self.asked.contains(&entry.key.as_str())) {
            let near = closest(&entry.key, self.asked.iter().copied());
            let message = format!("is not a key that is known here{}", did_you_mean(near));
            findings.add(entry.key_span.clone(), &entry.node.path, message, format!("allowed: {}", list(&self.asked)));
        }
    }
}
