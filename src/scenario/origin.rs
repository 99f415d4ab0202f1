//! Where each key of a scenario stands in its file, for messages that come after parsing.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::diagnostic::document::{Node, Value};
use crate::diagnostic::{Findings, Source};

/// Places of the keys of a file.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    source: Source,
    spans: BTreeMap<String, Range<usize>>,
}

impl Origin {
    /// The places of all values below `root`.
    pub(crate) fn new(source: &Source, root: &Node) -> Origin {
        let mut spans = BTreeMap::new();
        collect(root, &mut spans);
        Origin { source: source.clone(), spans }
    }

    /// The file.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Whether the file has this path.
    pub fn has(&self, path: &str) -> bool {
        self.spans.contains_key(path)
    }

    /// Adds a finding at a path such as `transaction[0].draw.page.from`, or at the nearest key above it that the file has.
    pub fn fault(&self, findings: &mut Findings, path: &str, message: impl Into<String>, help: impl Into<String>) {
        findings.add(self.span(path), path, message, help);
    }

    fn span(&self, path: &str) -> Range<usize> {
        let mut known = path;
        loop {
            if let Some(span) = self.spans.get(known) {
                return span.clone();
            }
            match known.rfind(['.', '[']) {
                Some(end) => known = &known[..end],
                None => return 0..0,
            }
        }
    }
}

fn collect(node: &Node, spans: &mut BTreeMap<String, Range<usize>>) {
    spans.insert(node.path.clone(), node.span.clone());
    match &node.value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, spans)),
        Value::Table(entries) => entries.iter().for_each(|entry| collect(&entry.node, spans)),
        _ => {}
    }
}
