//! A pgbench script as a transaction: the statements that it makes, and where each of their parameters comes from.
//!
//! What a script reckons (`\set`, `\if`, `\sleep`) is reckoned before its first statement is sent, from the arrival's own random numbers: so
//! all arms get the same values and take the same branches. What `\gset` takes from an answer can only be known later, and goes
//! into statements, but not into what is reckoned.

use std::ops::Range;

use super::sql::scan;
use super::sql_rules::{Breach, Kind, breaches, kind};
use super::{Identity, Statement};
use crate::diagnostic::{Findings, Source, closest, document::did_you_mean, list};
use crate::script::evaluate::Text;
use crate::script::{Action, Amount, Command, Piece, Script, Sql, Symbols};

/// The parameter that is always there: the dataset's clock.
const NOW: &str = "now";

/// A script, and what its scenario gives it.
#[derive(Clone, Debug)]
pub struct ScriptedTransaction {
    /// The file.
    pub source: Source,
    /// Its commands.
    pub script: Script,
    /// Names of its variables.
    pub symbols: Symbols,
    /// Variables that the scenario sets, by number.
    pub variables: Vec<(usize, Text)>,
    /// Variables that the scenario draws: number, and position of the draw.
    pub drawn: Vec<(usize, usize)>,
    /// Number of the command that sends each statement.
    pub sends: Vec<usize>,
    /// Where the parameters of each statement come from, in order of `$1`, `$2`, ...
    pub parameters: Vec<Vec<Parameter>>,
    /// Parameters that the script itself gives a value.
    pub slots: usize,
}

/// Where a parameter of a script's statement comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Parameter {
    /// A variable of this number, as it is when the script comes there; one slot for each use.
    Slot {
        /// Number among the slots.
        slot: usize,
        /// The variable.
        variable: usize,
    },
    /// The draw at this position.
    Draw(usize),
    /// The dataset's clock.
    Now,
    /// A column that `\gset` took, under the variable of this number.
    Captured(usize),
}

/// What the transaction around a script says.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// Variables that have a value before the first command.
    pub variables: &'a [(String, Text)],
    /// Names of the draws, in order.
    pub draws: &'a [&'a str],
    /// Who runs it.
    pub identity: &'a Identity,
    /// Whether it may change data.
    pub writes: bool,
}

impl ScriptedTransaction {
    /// Reads a script; `f` collects what is wrong with it.
    pub fn read(f: &mut Findings, given: Given<'_>) -> Option<(ScriptedTransaction, Vec<Statement>)> {
        let source = f.source().clone();
        let mut symbols = Symbols::new();
        let script = match Script::read(&source, 1, &mut symbols) {
            Ok(script) => script,
            Err(found) => {
                f.adopt(found);
                return None;
            }
        };
        let variables = given.variables.iter().filter_map(|(name, value)| Some((symbols.find(name)?, value.clone()))).collect();
        let draw = |(position, name): (usize, &&str)| Some((symbols.find(name)?, position));
        let drawn: Vec<(usize, usize)> = given.draws.iter().enumerate().filter_map(draw).collect();
        let mut scripted = ScriptedTransaction {
            source,
            script: script.clone(),
            symbols,
            variables,
            drawn,
            sends: Vec::new(),
            parameters: Vec::new(),
            slots: 0,
        };
        let mut statements = Vec::new();
        for (at, command) in script.commands.iter().enumerate() {
            match &command.action {
                Action::Sql(sql) => {
                    let mut statement: Statement = scripted.statement(at, command, sql, given, f);
                    // Several may stand in one line.
                    let twin = format!("{}-", statement.name);
                    let twins =
                        statements.iter().filter(|other: &&Statement| other.name == statement.name || other.name.starts_with(&twin));
                    let twins = twins.count();
                    if twins > 0 {
                        statement.name = format!("{twin}{}", twins + 1);
                    }
                    statements.push(statement);
                }
                _ => scripted.reckoned(at, command, given, f),
            }
        }
        if statements.is_empty() {
            f.add(0..0, "", "the script sends no statement", "allowed: a script with at least one SQL statement");
        }
        Some((scripted, statements))
    }

    /// Position of the statement that the command of this number sends.
    pub fn statement_of(&self, command: usize) -> usize {
        self.sends.partition_point(|other| *other < command)
    }

    /// Line of the script where a statement begins.
    pub fn line_of(&self, statement: usize) -> Option<usize> {
        self.script.commands.get(*self.sends.get(statement)?).map(|command| command.line)
    }

    /// Names of the draws that it uses.
    pub fn uses(&self, draws: &[&str]) -> Vec<String> {
        self.drawn.iter().filter_map(|(_, position)| draws.get(*position)).map(|name| (*name).to_owned()).collect()
    }

    fn statement(&mut self, at: usize, command: &Command, sql: &Sql, given: Given<'_>, f: &mut Findings) -> Statement {
        let line = self.line(command.line);
        let text: String = sql.pieces.iter().map(|piece| self.written(piece)).collect();
        let scanned = scan(&text);
        let (kind, _) = kind(&text, &scanned);
        let returns = scanned.tokens.iter().any(|(_, span)| text[span.clone()].eq_ignore_ascii_case("returning"));
        let word_at =
            |word: &str| scanned.tokens.iter().find(|(_, span)| text[span.clone()].eq_ignore_ascii_case(word)).map(|(_, span)| span.start);
        // A clock that only goes into what is written is in no answer, and chooses no rows.
        let condition = word_at("where").unwrap_or(usize::MAX);
        let only_written = kind == Kind::Writes && !returns && word_at("with") != Some(0);
        let harmless = |breach: &Breach| {
            let by_chance = ["random", "random_normal", "setseed"].contains(&text[breach.span.clone()].to_lowercase().as_str());
            breach.nondeterministic && only_written && !by_chance && breach.span.start < condition
        };
        let breaches = breaches(&text, &scanned).into_iter().filter(|breach| !harmless(breach));
        for breach in breaches {
            f.add(line.clone(), "", breach.message, breach.help);
        }
        match kind {
            Kind::Writes if !given.writes => {
                let help = "add writes = true to the transaction in the scenario";
                f.add(line.clone(), "", "changes data, but the scenario's transaction does not say so", help);
            }
            Kind::ControlsTransaction if *given.identity != Identity::None => {
                let help = "leave identity out of the scenario's transaction: with one, pgduel sends begin and commit itself";
                f.add(line.clone(), "", "controls the transaction", help);
            }
            _ => {}
        }
        let (numbered, variables) = sql.parameterized();
        let parameters = variables.iter().map(|variable| self.parameter(at, *variable, given, line.clone(), f)).collect();
        self.parameters.push(parameters);
        self.sends.push(at);
        let names = variables.iter().map(|variable| self.symbols.name(*variable).to_owned()).collect();
        let word = scanned.tokens.first().map(|(_, span)| text[span.clone()].to_lowercase()).unwrap_or_default();
        let word = if word.chars().all(|c| c.is_ascii_alphanumeric()) { word } else { "sql".to_owned() };
        Statement {
            name: format!("{word}-{}", command.line),
            parameters: (numbered, names),
            controls_transaction: kind == Kind::ControlsTransaction,
            capture: sql.capture.clone(),
            ..Statement::of(text)
        }
    }

    fn parameter(&mut self, at: usize, variable: usize, given: Given<'_>, line: Range<usize>, f: &mut Findings) -> Parameter {
        if self.is_set(variable) {
            self.slots += 1;
            return Parameter::Slot { slot: self.slots - 1, variable };
        }
        if let Some((_, position)) = self.drawn.iter().find(|(drawn, _)| *drawn == variable) {
            return Parameter::Draw(*position);
        }
        if self.symbols.name(variable) == NOW {
            return Parameter::Now;
        }
        if !self.may_be_captured(variable, at) {
            self.unknown(variable, given, line, f);
        }
        Parameter::Captured(variable)
    }

    /// What a command reckons with must have a value before anything is sent.
    fn reckoned(&self, at: usize, command: &Command, given: Given<'_>, f: &mut Findings) {
        let mut used = Vec::new();
        match &command.action {
            Action::Set { expression, .. } => expression.variables(&mut used),
            Action::Unless { condition, .. } => condition.variables(&mut used),
            Action::Sleep { amount: Amount::Variable(variable), .. } => used.push(*variable),
            _ => {}
        }
        for variable in used {
            if self.gives(variable) {
                continue;
            }
            let line = self.line(command.line);
            if self.may_be_captured(variable, at) {
                let name = self.symbols.name(variable);
                let help = "a scenario reckons before it sends, so that all arms get the same: use the column in SQL, or draw a value";
                f.add(line, "", format!(":{name} would have to come from \\gset, which is not known yet"), help);
            } else {
                self.unknown(variable, given, line, f);
            }
        }
    }

    /// Whether a variable has its value before anything is sent.
    pub fn gives(&self, variable: usize) -> bool {
        self.is_set(variable) || self.drawn.iter().any(|(drawn, _)| *drawn == variable)
    }

    /// Whether a variable gets its value from the script or the scenario.
    fn is_set(&self, variable: usize) -> bool {
        let sets = |command: &Command| matches!(command.action, Action::Set { variable: set, .. } if set == variable);
        variable <= Symbols::SCALE || self.variables.iter().any(|(given, _)| *given == variable) || self.script.commands.iter().any(sets)
    }

    /// Whether a `\gset` before this command may give a variable: its name begins with that one's prefix.
    fn may_be_captured(&self, variable: usize, at: usize) -> bool {
        let name = self.symbols.name(variable);
        let captures = |command: &Command| match &command.action {
            Action::Sql(sql) => sql.capture.as_ref().is_some_and(|prefix| name.starts_with(prefix.as_str())),
            _ => false,
        };
        self.script.commands.iter().take(at).any(captures)
    }

    /// Whether it may take another way.
    pub(super) fn branches(&self) -> bool {
        self.script.commands.iter().any(|command| matches!(command.action, Action::Unless { .. }))
    }

    fn unknown(&self, variable: usize, given: Given<'_>, line: Range<usize>, f: &mut Findings) {
        let name = self.symbols.name(variable);
        let sets = |command: &Command| match command.action {
            Action::Set { variable, .. } => Some(variable),
            _ => None,
        };
        let mut known: Vec<&str> = self.script.commands.iter().filter_map(sets).map(|set| self.symbols.name(set)).collect();
        known.extend(given.variables.iter().map(|(name, _)| name.as_str()).chain(given.draws.iter().copied()));
        known.extend(["scale", "client_id", "random_seed", "default_seed", NOW]);
        let near = closest(name, known.iter().copied());
        let help = format!(
            "set it with \\set, with variables = {{ {name} = ... }} or with draw.{name} in the scenario; there are: {}",
            list(known)
        );
        f.add(line, "", format!(":{name} has no value{}", did_you_mean(near)), help);
    }

    fn written(&self, piece: &Piece) -> String {
        match piece {
            Piece::Text(text) => text.clone(),
            Piece::Variable(number) => format!(":{}", self.symbols.name(*number)),
        }
    }

    /// Bytes of a line of the file.
    fn line(&self, number: usize) -> Range<usize> {
        let lines = self.source.text().split_inclusive('\n');
        let start: usize = lines.clone().take(number.saturating_sub(1)).map(str::len).sum();
        let length = lines.clone().nth(number.saturating_sub(1)).map_or(0, |line| line.trim_end().len());
        start..start + length
    }
}
