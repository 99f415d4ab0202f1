//! Where scenarios lie: `scenarios/<suite>/<name>.toml` below the root of a project.

use std::path::{Path, PathBuf};

use super::{Scenario, parse};
use crate::diagnostic::{Diagnostic, closest, document::did_you_mean, list, read_text};

/// Folder of all scenarios below the root.
const FOLDER: &str = "scenarios";
/// Files in a suite's folder that are no scenarios.
const OTHERS: [&str; 1] = ["claims.toml"];
/// Folders in folders, below a suite's.
const DEEPEST: usize = 4;

/// Names of the suites that have scenarios, sorted.
pub fn suites(root: &Path) -> std::io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root.join(FOLDER))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && is_name(&name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Paths `suite/name` of all scenarios of a suite, sorted.
pub fn discover(root: &Path, suite: &str) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    if is_name(suite) {
        walk(&root.join(FOLDER).join(suite), suite, DEEPEST, &mut found)?;
    }
    found.sort();
    Ok(found)
}

fn walk(folder: &Path, prefix: &str, deeper: usize, found: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() && deeper > 0 && is_name(&file) {
            walk(&path, &format!("{prefix}/{file}"), deeper - 1, found)?;
        } else if let Some(name) = file.strip_suffix(".toml")
            && is_name(name)
            && !OTHERS.contains(&file.as_str())
        {
            found.push(format!("{prefix}/{name}"));
        }
    }
    Ok(())
}

/// Loads the scenario `suite/name`.
pub fn load(root: &Path, path: &str) -> Result<Scenario, Vec<Diagnostic>> {
    let file: PathBuf = Path::new(FOLDER).join(format!("{path}.toml"));
    let parts = path.split_once('/').filter(|_| path.split('/').all(is_name) && path.split('/').count() <= DEEPEST + 2);
    let Some((suite, name)) = parts else {
        let help = "allowed: suite/scenario, such as omniops/history-fetch";
        return Err(vec![Diagnostic::of_file(&file, format!("{path:?} is no path of a scenario"), Some(help.into()))]);
    };
    let file = root.join(file);
    if !file.is_file() {
        let known = discover(root, suite).unwrap_or_default();
        let near = closest(path, known.iter().map(String::as_str));
        let help = format!("scenarios of {suite}: {}", list(&known));
        return Err(vec![Diagnostic::of_file(&file, format!("there is no scenario {path:?}{}", did_you_mean(near)), Some(help))]);
    }
    let text = read_text(&file).map_err(|diagnostic| vec![diagnostic])?;
    parse(suite, name, &file, &text)
}

/// Whether a part of a path is a plain name: no dots, so that no path leads out of the folder.
fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= 100 && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
}
