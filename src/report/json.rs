//! The comparison as JSON, for machines.

use serde::Serialize;

use crate::judge::Comparison;
use crate::record::Header;

use super::{Ending, Run};

/// Version of the JSON report. Raised when a reader of the former version would misread it.
pub const JSON_VERSION: u32 = 2;

#[derive(Serialize)]
struct Report<'a> {
    format: &'static str,
    version: u32,
    ending: Ending,
    header: &'a Header,
    comparison: &'a Comparison,
}

/// The run as JSON with a line end. Times are ns; an interval without an upper bound has `null` there.
pub fn json(run: &Run<'_>) -> anyhow::Result<String> {
    let report =
        Report { format: "pgduel-report", version: JSON_VERSION, ending: run.ending, header: run.header, comparison: run.comparison };
    let mut text = serde_json::to_string_pretty(&report)?;
    text.push('\n');
    Ok(text)
}
