//! pgbench's scripts: from the text of a file to commands, and what they reckon. What pgbench(1) allows, "Custom Scripts" and "Meta Commands".
//!
//! `reader` cuts a file into commands and `build` makes a [`Script`] of them; `lexer` and `expression` read what `\set` and `\if` reckon with;
//! `evaluate`, `function`, `value` and `random` reckon. The names and distributions are those of pgbench, the sequences of random numbers are
//! not. Nothing here talks to PostgreSQL: `pgbench` runs scripts on clients, and `scenario` makes transactions of them.

mod build;
pub mod evaluate;
pub mod expression;
pub mod function;
mod lexer;
pub mod random;
mod reader;
pub mod value;

use std::time::Duration;

use crate::diagnostic::{Diagnostic, Source};

use expression::Expression;

/// Names of variables, numbered in order of first use. All scripts of a run share one table, as a client keeps its variables from one
/// script to the next.
#[derive(Clone, Debug)]
pub struct Symbols {
    names: Vec<String>,
}

impl Default for Symbols {
    fn default() -> Symbols {
        Symbols::new()
    }
}

impl Symbols {
    /// `:client_id`
    pub const CLIENT_ID: usize = 0;
    /// `:default_seed`
    pub const DEFAULT_SEED: usize = 1;
    /// `:random_seed`
    pub const RANDOM_SEED: usize = 2;
    /// `:scale`
    pub const SCALE: usize = 3;

    /// Those that every client has.
    pub fn new() -> Symbols {
        Symbols { names: ["client_id", "default_seed", "random_seed", "scale"].map(str::to_owned).into() }
    }

    /// The number of a name; a new one if it was not used before.
    pub fn number(&mut self, name: &str) -> usize {
        self.find(name).unwrap_or_else(|| {
            self.names.push(name.to_owned());
            self.names.len() - 1
        })
    }

    /// The number of a name that was used before.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The name of a number.
    pub fn name(&self, number: usize) -> &str {
        self.names.get(number).map_or("", String::as_str)
    }

    /// Names that scripts use, without those that every client has.
    pub fn used(&self) -> impl Iterator<Item = &str> {
        self.names.iter().skip(Symbols::SCALE + 1).map(String::as_str)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// One script: what one transaction of it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Script {
    /// File, or name of a built-in script.
    pub name: String,
    /// How often it is drawn, relative to the others.
    pub weight: u64,
    /// In order. Branches are jumps.
    pub commands: Vec<Command>,
}

/// One command.
#[derive(Clone, Debug, PartialEq)]
pub struct Command {
    /// Line of the script, from 1.
    pub line: usize,
    /// As written, for reports: its first line.
    pub text: String,
    /// What it does.
    pub action: Action,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Sends SQL and waits for its end.
    Sql(Sql),
    /// `\set variable expression`
    Set {
        /// Number of the variable.
        variable: usize,
        /// Its new value.
        expression: Expression,
    },
    /// `\sleep amount unit`
    Sleep {
        /// How many units.
        amount: Amount,
        /// Length of one.
        unit: Duration,
    },
    /// `\if` and `\elif`: goes on if the condition is true, else at the command of this number.
    Unless {
        /// The condition.
        condition: Expression,
        /// Where to go on if it is not true.
        otherwise: usize,
    },
    /// The end of a branch: goes on at the command of this number.
    Jump(usize),
    /// `\else` and `\endif`: nothing to do, but `-r` lists them.
    Label,
}

/// How long to sleep.
#[derive(Clone, Debug, PartialEq)]
pub enum Amount {
    /// So many units.
    Fixed(i64),
    /// As many as a variable says.
    Variable(usize),
}

/// SQL with variables in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Sql {
    /// Text and variables in turn.
    pub pieces: Vec<Piece>,
    /// `\gset`: the columns of the one row become variables, each with this prefix.
    pub capture: Option<String>,
}

/// A piece of SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum Piece {
    /// As it is.
    Text(String),
    /// A variable, by number.
    Variable(usize),
}

impl Sql {
    /// The text with `$1`, `$2`, ... for its variables, and their numbers: one for every use, as pgbench does it.
    pub fn parameterized(&self) -> (String, Vec<usize>) {
        let (mut text, mut variables) = (String::new(), Vec::new());
        for piece in &self.pieces {
            match piece {
                Piece::Text(piece) => text.push_str(piece),
                Piece::Variable(number) => {
                    variables.push(*number);
                    text.push_str(&format!("${}", variables.len()));
                }
            }
        }
        (text, variables)
    }
}

impl Script {
    /// Reads a script. Everything that is wrong with it is told at once.
    pub fn read(source: &Source, weight: u64, symbols: &mut Symbols) -> Result<Script, Vec<Diagnostic>> {
        let name = source.file().to_string_lossy().into_owned();
        build::commands(source, symbols).map(|commands| Script { name, weight, commands })
    }
}

/// Letters, digits, underscores, and all outside of ASCII.
pub fn is_variable_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii())
}

/// Cuts SQL at its variables. As in pgbench, quotes protect nothing, but `::` does; a name begins with no digit, so that `12:30` is left alone.
fn pieces(sql: &str, symbols: &mut Symbols) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = sql;
    while let Some(colon) = rest.find(':') {
        text.push_str(&rest[..colon]);
        rest = &rest[colon..];
        let colons = rest.find(|c: char| c != ':').unwrap_or(rest.len());
        let name = &rest[colons..];
        let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii());
        let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii())).unwrap_or(name.len());
        if colons == 1 && begins {
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Variable(symbols.number(&name[..end])));
            rest = &name[end..];
        } else {
            text.push_str(&rest[..colons]);
            rest = name;
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    pieces
}
