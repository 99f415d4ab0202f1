//! The [`Catalog`] of a planned dataset.

use super::Catalog;
use crate::dataset::{Dataset, TableId};

/// Names of a dataset, for checks. Any size will do, the smallest is the quickest to plan.
#[derive(Clone, Debug)]
pub struct DatasetCatalog {
    dataset: Dataset,
    overlays: Vec<OverlayNames>,
}

/// What a dataset file says of an overlay.
#[derive(Clone, Debug)]
pub struct OverlayNames {
    /// Its name.
    pub name: String,
    /// The table that it has extra rows of.
    pub table: String,
    /// Their sizes.
    pub sizes: Vec<u64>,
}

impl DatasetCatalog {
    /// The names of this dataset and of the overlays that its file has (planned or not).
    pub fn new(dataset: Dataset, overlays: Vec<OverlayNames>) -> DatasetCatalog {
        DatasetCatalog { dataset, overlays }
    }

    fn name(&self, table: TableId) -> String {
        self.dataset.table_name(table).to_owned()
    }
}

impl Catalog for DatasetCatalog {
    fn tables(&self) -> Vec<String> {
        self.dataset.tables().into_iter().map(|table| self.name(table)).collect()
    }

    fn columns(&self, table: &str) -> Vec<String> {
        let Some(table) = self.dataset.table(table) else { return Vec::new() };
        self.dataset.columns(table).into_iter().map(str::to_owned).collect()
    }

    fn vector_columns(&self, table: &str) -> Vec<String> {
        let Some(id) = self.dataset.table(table) else { return Vec::new() };
        let is_vector = |name: &String| {
            let column = self.dataset.column(id, name);
            column.is_some_and(|column| self.dataset.query_vector(id, column, 0, 0).is_some())
        };
        self.columns(table).into_iter().filter(is_vector).collect()
    }

    fn parent(&self, table: &str) -> Option<String> {
        Some(self.name(self.dataset.parent_table(self.dataset.table(table)?)?))
    }

    fn tenants_table(&self) -> String {
        // It alone belongs to tenants without having a parent.
        let mut tables = self.dataset.tables().into_iter();
        let found = tables.find(|table| self.dataset.parent_table(*table).is_none() && self.dataset.tenant_of(*table, 0).is_some());
        found.map(|table| self.name(table)).unwrap_or_default()
    }

    fn has_tenant(&self, table: &str) -> bool {
        self.dataset.table(table).is_some_and(|table| self.dataset.tenant_of(table, 0).is_some())
    }

    fn roles(&self) -> Vec<String> {
        self.dataset.roles().iter().map(|role| role.to_string()).collect()
    }

    fn overlays(&self) -> Vec<String> {
        self.overlays.iter().map(|overlay| overlay.name.clone()).collect()
    }

    fn overlay(&self, name: &str) -> Option<(String, Vec<u64>)> {
        let overlay = self.overlays.iter().find(|overlay| overlay.name == name)?;
        Some((overlay.table.clone(), overlay.sizes.clone()))
    }
}
