//! The project folder: where it is, what is in it, and the two commands that only read it.

use std::io::{IsTerminal, stdout};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::{Cli, LintArgs, ListArgs};
use super::{CommandResult, Failure, exit, lint, list, out, style, terminal_width};
use crate::dataset::{Dataset, Sizing};
use crate::diagnostic::Diagnostic;
use crate::scenario::{Catalog, DatasetCatalog};
use crate::suite::Suite;

/// The folder that holds `scenarios/` and `seeds/`: the one that was named, or the nearest above this one.
pub fn root(cli: &Cli) -> Result<PathBuf, Failure> {
    let is_project = |folder: &Path| folder.join("scenarios").is_dir() && folder.join("seeds").is_dir();
    if let Some(folder) = &cli.project {
        return match is_project(folder) {
            true => Ok(folder.clone()),
            false => Err(Failure::Usage(format!("{} is no project: it has no scenarios/ and seeds/", folder.display()))),
        };
    }
    let here = std::env::current_dir().map_err(|error| Failure::Usage(format!("cannot tell the current folder: {error}")))?;
    let found = here.ancestors().find(|folder| is_project(folder)).map(Path::to_owned);
    found.ok_or_else(|| {
        Failure::Usage("there is no scenarios/ and seeds/ here or above; go to a project, or name it with --project".to_owned())
    })
}

/// The catalog of a suite's dataset. It is planned as small as can be: only names are asked for.
pub fn catalog(suite: &Suite) -> Result<Box<dyn Catalog>, Diagnostic> {
    let sizing = Sizing { scale: 0.01, vectors: Some(1), overlays: Vec::new() };
    match Dataset::plan(suite.model.clone(), sizing, 0) {
        Ok(dataset) => Ok(Box::new(DatasetCatalog(Arc::new(dataset)))),
        Err(error) => Err(Diagnostic::of_file(&suite.dataset_file, error.to_string(), None)),
    }
}

/// `pgduel list`
pub fn list(cli: &Cli, args: &ListArgs) -> CommandResult {
    let listing = list::list(&root(cli)?);
    let mut text = Vec::new();
    let printed = match args.json {
        true => list::print_json(&listing, &mut text),
        false => list::print(&listing, u16::try_from(terminal_width()).unwrap_or(100), &mut text),
    };
    printed.map_err(anyhow::Error::from)?;
    out::print_bytes(&text)?;
    for error in &listing.errors {
        out::say(error);
    }
    Ok(if listing.errors.is_empty() { exit::PASS } else { exit::USAGE })
}

/// `pgduel lint`
pub fn lint(cli: &Cli, args: &LintArgs) -> CommandResult {
    let outcome = lint::lint(&root(cli)?, &args.paths, &catalog);
    let style = style(stdout().is_terminal());
    let mut text = Vec::new();
    lint::print(&outcome, style, &mut text).map_err(anyhow::Error::from)?;
    out::print_bytes(&text)?;
    Ok(if outcome.found.is_empty() { exit::PASS } else { exit::USAGE })
}
