//! What a dataset holds, by name, for the checks of scenario files.

use std::sync::Arc;

use super::check::Catalog;
use crate::dataset::Dataset;

/// The catalog of a planned dataset (no row is generated).
#[derive(Clone, Debug)]
pub struct DatasetCatalog(pub Arc<Dataset>);

impl Catalog for DatasetCatalog {
    fn tables(&self) -> Vec<String> {
        self.0.tables().into_iter().map(|table| self.0.table_name(table).to_owned()).collect()
    }

    fn columns(&self, table: &str) -> Vec<String> {
        let columns = self.0.table(table).map(|table| self.0.columns(table)).unwrap_or_default();
        columns.into_iter().map(str::to_owned).collect()
    }

    fn vector_columns(&self, table: &str) -> Vec<String> {
        self.0.table(table).map(|table| self.0.vector_columns(table)).unwrap_or_default()
    }

    fn parent(&self, table: &str) -> Option<String> {
        let parent = self.0.parent_table(self.0.table(table)?)?;
        Some(self.0.table_name(parent).to_owned())
    }

    fn tenants_table(&self) -> String {
        self.0.table_name(self.0.tenants_table()).to_owned()
    }

    fn has_tenant(&self, table: &str) -> bool {
        let tenant = self.0.table(table).map(|table| self.0.tenant_of(table, 0));
        tenant.flatten().is_some()
    }

    fn roles(&self) -> Vec<String> {
        self.0.roles().iter().map(|role| role.to_string()).collect()
    }

    fn overlays(&self) -> Vec<String> {
        self.0.overlay_names()
    }

    fn overlay(&self, name: &str) -> Option<(String, Vec<u64>)> {
        let (table, sizes) = self.0.overlay(name)?;
        Some((self.0.table_name(table).to_owned(), sizes))
    }
}
