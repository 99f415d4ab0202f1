//! A suite: what `seeds/<suite>/suite.toml` says about variants, the SQL files that make them, and who may see which rows.
//!
//! Takes a folder, returns a validated [`Suite`]. It reads files but never a database; `target` applies what is listed here.

mod files;
mod wire;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::dataset::Model;

pub use wire::load;

/// A suite, validated.
#[derive(Clone, Debug)]
pub struct Suite {
    /// Name of its folder.
    pub name: String,
    /// Title for people.
    pub title: String,
    /// `seeds/<suite>`.
    pub folder: PathBuf,
    /// The dataset's file.
    pub dataset_file: PathBuf,
    /// The dataset model.
    pub model: Arc<Model>,
    /// SQL that the server's superuser applies first: roles, extensions, what a provider's platform brings.
    pub platform: Vec<PathBuf>,
    /// The role that statements of no identity log in as.
    pub login: Option<String>,
    /// SQL before the data: tables.
    pub tables: Vec<PathBuf>,
    /// SQL after the data: keys and indexes that every variant shares.
    pub indexes: Vec<PathBuf>,
    /// Variants by name.
    pub variants: BTreeMap<String, Variant>,
}

/// A named schema state.
#[derive(Clone, Debug)]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// One line for people.
    pub title: String,
    /// Files that are applied on top of the template, in order; those of the variant it builds on come first.
    pub sql: Vec<PathBuf>,
    /// Files that lead back from this variant to the one it builds on.
    pub rollback: Vec<PathBuf>,
    /// The variant it builds on.
    pub from: Option<String>,
    /// Who sees what, by table. Tables under row-level security that are not named here are an error found by the checks.
    pub visible: BTreeMap<String, Visibility>,
}

/// Who sees which rows of a table, in the dataset's terms. Evaluated in Rust, never by SQL.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Visibility {
    /// Every signed-in user sees every row.
    All,
    /// No row.
    None,
    /// Rows of the tenants that one is a member of.
    Member,
    /// Rows of the tenants that one has this role in.
    Role(String),
    /// Rows whose column equals one's own user id.
    Own(String),
    /// Nobody knows: a table that the dataset does not fill, and why that is as it should be.
    Unchecked(String),
}
