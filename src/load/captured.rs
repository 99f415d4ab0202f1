//! What `\\gset` takes from answers while a script runs.

use super::wire::{ColumnDescription, RowBuffer};
use crate::scenario::ScriptedTransaction;
use crate::script::value::EvalError;

/// Columns of answers, by the number of the script's variable that holds them.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    values: Vec<Option<String>>,
}

impl Captured {
    /// What a variable holds, if an answer of this transaction gave it something.
    pub fn get(&self, variable: usize) -> Option<&str> {
        self.values.get(variable)?.as_deref()
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.values.clear();
    }

    /// Takes the columns of the one row.
    pub(super) fn take(
        &mut self,
        script: &ScriptedTransaction,
        prefix: &str,
        columns: &[ColumnDescription],
        rows: &RowBuffer,
    ) -> Result<(), EvalError> {
        if rows.len() != 1 {
            return Err(EvalError::new(format!("\\gset expects one row, and the statement returned {}", rows.len())));
        }
        for (column, description) in columns.iter().enumerate() {
            let name = format!("{prefix}{}", description.name);
            // What no command uses need not be kept.
            let Some(variable) = script.symbols.find(&name) else { continue };
            if script.gives(variable) {
                let problem =
                    format!("\\gset gives :{name}, which \\set, variables or a draw give too, and those are known before: rename one");
                return Err(EvalError::new(problem));
            }
            if variable >= self.values.len() {
                self.values.resize(variable + 1, None);
            }
            // A null is an empty text to pgbench.
            self.values[variable] = Some(rows.text(0, column).unwrap_or_default().to_owned());
        }
        Ok(())
    }
}
