//! `pgduel compare`: two recorded runs side by side.

use super::args::CompareArgs;
use super::{CommandResult, Failure, exit, out, report, terminal_width};
use crate::contrast::{Two, contrast};
use crate::report::{contrast_json, contrast_terminal};

/// `pgduel compare`
pub fn compare(args: &CompareArgs) -> CommandResult {
    let (baseline, run) = (report::load(&report::record_file(&args.baseline))?, report::load(&report::record_file(&args.run))?);
    let contrast = contrast(&baseline, &run).map_err(|error| Failure::Usage(error.to_string()))?;
    let text = match args.json {
        true => contrast_json(&contrast)?,
        false => {
            let names = Two { baseline: args.baseline.display().to_string(), run: args.run.display().to_string() };
            contrast_terminal(&contrast, &names, terminal_width())
        }
    };
    out::print(&text)?;
    Ok(exit::PASS)
}
