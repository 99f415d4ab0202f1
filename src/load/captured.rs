//! What `\gset` takes from answers while a script runs.

use super::wire::{ColumnDescription, RowBuffer};
use crate::scenario::ScriptedTransaction;
use crate::script::Symbols;
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
        for (variable, text) in captured(&script.symbols, prefix, columns, rows)? {
            if script.gives(variable) {
                let name = script.symbols.name(variable);
                let problem =
                    format!("\\gset gives :{name}, which \\set, variables or a draw give too, and those are known before: rename one");
                return Err(EvalError::new(problem));
            }
            if variable >= self.values.len() {
                self.values.resize(variable + 1, None);
            }
            self.values[variable] = Some(text.to_owned());
        }
        Ok(())
    }
}

/// The columns of the one row that `\gset` takes: the number of each one's variable, and its text.
pub fn captured<'a>(
    symbols: &'a Symbols,
    prefix: &'a str,
    columns: &'a [ColumnDescription],
    rows: &'a RowBuffer,
) -> Result<impl Iterator<Item = (usize, &'a str)>, EvalError> {
    if rows.len() != 1 {
        return Err(EvalError::new(format!("\\gset expects one row, and the statement returned {}", rows.len())));
    }
    let taken = move |(column, description): (usize, &'a ColumnDescription)| {
        // What no command uses has no number, and need not be kept. A null is an empty text to pgbench.
        Some((symbols.find(&format!("{prefix}{}", description.name))?, rows.text(0, column).unwrap_or_default()))
    };
    Ok(columns.iter().enumerate().filter_map(taken))
}
