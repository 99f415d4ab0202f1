//! One client: a connection, its variables, and one transaction after the other.

use std::fmt::Write;
use std::time::{Duration, Instant};

use super::tally::CommandTally;
use crate::load::captured::captured;
use crate::load::pause::Pauser;
use crate::load::wire::{ConnectTarget, Connection, DbError, Params, Prepared, RowBuffer, Rows, SqlState, TransactionStatus, WireError};
use crate::script::evaluate::{Text, Todo, Variables};
use crate::script::random::Random;
use crate::script::value::{EvalError, Value};
use crate::script::{Action, Piece, Script, Sql, Symbols};

/// How statements are sent (`-M`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum QueryMode {
    /// As text, values put into it.
    #[default]
    Simple,
    /// Text and values apart, parsed each time.
    Extended,
    /// Parsed once a connection.
    Prepared,
}

/// A text with `$n`, and the variables for them.
type Parameterized = (String, Vec<usize>);

/// What all clients run.
#[derive(Debug)]
pub struct Program {
    /// At least one.
    pub scripts: Vec<Script>,
    /// Names of their variables.
    pub symbols: Symbols,
    /// How statements are sent.
    pub mode: QueryMode,
    /// Texts with `$n`, and their variables, by script and command.
    parameterized: Vec<Vec<Option<Parameterized>>>,
}

impl Program {
    /// Puts scripts together.
    pub fn new(scripts: Vec<Script>, symbols: Symbols, mode: QueryMode) -> Program {
        let of_command = |action: &Action| match action {
            Action::Sql(sql) => Some(sql.parameterized()),
            _ => None,
        };
        let parameterized =
            scripts.iter().map(|script| script.commands.iter().map(|command| of_command(&command.action)).collect()).collect();
        Program { scripts, symbols, mode, parameterized }
    }
}

/// Why a client ends before its time, or a transaction does not succeed.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// A value that cannot be had.
    #[error("{place}: {error}")]
    Script {
        /// `script:line`.
        place: String,
        /// Why.
        error: EvalError,
    },
    /// The server rejects a statement.
    #[error("{place}: {error}")]
    Rejected {
        /// `script:line`.
        place: String,
        /// What it said.
        error: Box<DbError>,
    },
    /// The connection is lost.
    #[error("{place}: {error}")]
    Lost {
        /// `script:line`, or what was being done.
        place: String,
        /// What happened.
        error: WireError,
    },
}

impl ClientError {
    /// Whether the same transaction may succeed if it is run again: it lost against another one.
    pub fn conflict(&self) -> Option<SqlState> {
        match self {
            ClientError::Rejected { error, .. } => error.sqlstate.is_conflict().then_some(error.sqlstate),
            _ => None,
        }
    }
}

/// A client that is connected. It borrows its program: counting references to it, once a transaction, would have the threads fight for the
/// counter.
pub struct Client<'a> {
    program: &'a Program,
    connection: Connection,
    prepared: Vec<Vec<Option<Prepared>>>,
    variables: Variables,
    random: Random,
    params: Params,
    text: String,
    rows: RowBuffer,
    pauser: Pauser,
}

impl<'a> Client<'a> {
    /// Connects. Its variables are those that are given here.
    pub async fn connect(
        program: &'a Program,
        target: &ConnectTarget,
        variables: Variables,
        random: Random,
    ) -> Result<Client<'a>, WireError> {
        let connection = Connection::connect(target).await?;
        let prepared = unprepared(program);
        Ok(Client {
            program,
            connection,
            prepared,
            variables,
            random,
            params: Params::new(),
            text: String::new(),
            rows: RowBuffer::new(),
            pauser: Pauser::default(),
        })
    }

    /// Leaves the connection and opens another one (`-C`).
    pub async fn reconnect(&mut self, target: &ConnectTarget) -> Result<(), WireError> {
        let fresh = Connection::connect(target).await?;
        std::mem::replace(&mut self.connection, fresh).close().await;
        self.prepared = unprepared(self.program);
        Ok(())
    }

    /// Says goodbye.
    pub async fn close(self) {
        self.connection.close().await;
    }

    /// Waits without a timer's coarseness.
    pub async fn pause(&mut self, length: Duration) {
        self.pauser.pause(length).await;
    }

    /// Random numbers, as a transaction that is repeated must find them.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// Runs a script from its first command to its last. `times` takes the time of each command, where somebody wants to know.
    pub async fn run(&mut self, script: usize, mut times: Option<&mut [CommandTally]>) -> Result<(), ClientError> {
        let program = self.program;
        let Some(commands) = program.scripts.get(script).map(|script| &script.commands) else { return Ok(()) };
        let mut next = 0;
        while let Some(command) = commands.get(next) {
            let began = times.is_some().then(Instant::now);
            let at = next;
            next += 1;
            let todo = command.action.perform(&mut next, &mut self.variables, &program.symbols, &mut self.random);
            let result = match todo {
                Ok(Todo::Nothing) => Ok(()),
                Ok(Todo::Send(sql)) => self.sql(program, script, at, sql).await,
                Ok(Todo::Sleep(length)) => {
                    self.pauser.pause(length).await;
                    Ok(())
                }
                Err(error) => Err(Failure::Script(error)),
            };
            if let (Some(tally), Some(began)) = (times.as_deref_mut().and_then(|times| times.get_mut(at)), began) {
                tally.add(began.elapsed(), result.is_ok());
            }
            if let Err(failure) = result {
                return Err(failure.at(program, script, command.line));
            }
        }
        Ok(())
    }

    /// Ends a transaction that failed half-way, so that the next one can begin.
    pub async fn roll_back(&mut self) -> Result<(), ClientError> {
        if self.connection.transaction_status() == TransactionStatus::Idle {
            return Ok(());
        }
        let rolled_back = self.connection.simple("ROLLBACK", Rows::Discard).await;
        rolled_back.map(|_| ()).map_err(|error| ClientError::Lost { place: "rolling back".to_owned(), error })
    }

    /// Whether a script ended without ending its transaction, which would swallow all that come after it.
    pub fn is_in_transaction(&self) -> bool {
        self.connection.transaction_status() != TransactionStatus::Idle
    }

    async fn sql(&mut self, program: &Program, script: usize, at: usize, sql: &Sql) -> Result<(), Failure> {
        self.rows.clear();
        let rows = match sql.capture {
            Some(_) => Rows::Collect(&mut self.rows),
            None => Rows::Discard,
        };
        match (program.mode, program.parameterized.get(script).and_then(|commands| commands.get(at)).and_then(Option::as_ref)) {
            (QueryMode::Simple, _) | (_, None) => {
                self.text.clear();
                substitute(&mut self.text, sql, &self.variables, &program.symbols);
                self.connection.simple(&self.text, rows).await?;
            }
            (mode, Some((text, variables))) => {
                self.params.clear();
                for variable in variables {
                    match self.variables.get(*variable) {
                        Some(Text::Value(Value::Null)) => self.params.bind_null(),
                        Some(Text::Value(value)) => {
                            self.text.clear();
                            let _ = write!(self.text, "{value}");
                            self.params.bind_text(&self.text);
                        }
                        Some(Text::Text(text)) => self.params.bind_text(text),
                        None => return Err(Failure::Script(EvalError::undefined(program.symbols.name(*variable)))),
                    }
                }
                if mode == QueryMode::Extended {
                    self.connection.execute_unprepared(text, &self.params, rows).await?;
                } else {
                    let slot = self.prepared.get_mut(script).and_then(|commands| commands.get_mut(at));
                    let Some(slot) = slot else { return Ok(()) };
                    if slot.is_none() {
                        *slot = Some(self.connection.prepare(&format!("p{script}_{at}"), text).await?);
                    }
                    if let Some(prepared) = slot {
                        self.connection.execute(prepared, &self.params, rows).await?;
                        // Columns are told when a statement is prepared, and not again.
                        if sql.capture.is_some() {
                            self.rows.set_columns(&prepared.columns);
                        }
                    }
                }
            }
        }
        match &sql.capture {
            Some(prefix) => self.capture(program, prefix),
            None => Ok(()),
        }
    }

    /// Columns of the one row become variables.
    fn capture(&mut self, program: &Program, prefix: &str) -> Result<(), Failure> {
        for (number, text) in captured(&program.symbols, prefix, self.rows.columns(), &self.rows).map_err(Failure::Script)? {
            self.variables.set(number, Text::Text(text.to_owned()));
        }
        Ok(())
    }
}

/// Why a command failed, before it is known where.
enum Failure {
    Script(EvalError),
    Wire(WireError),
}

impl From<WireError> for Failure {
    fn from(error: WireError) -> Failure {
        Failure::Wire(error)
    }
}

impl Failure {
    fn at(self, program: &Program, script: usize, line: usize) -> ClientError {
        let name = program.scripts.get(script).map_or("", |script| script.name.as_str());
        let place = format!("{name}:{line}");
        match self {
            Failure::Script(error) => ClientError::Script { place, error },
            Failure::Wire(WireError::Db(error)) if error.severity == crate::load::wire::Severity::Error => {
                ClientError::Rejected { place, error }
            }
            Failure::Wire(error) => ClientError::Lost { place, error },
        }
    }
}

fn unprepared(program: &Program) -> Vec<Vec<Option<Prepared>>> {
    program.scripts.iter().map(|script| script.commands.iter().map(|_| None).collect()).collect()
}

/// The text with the values of its variables. As in pgbench, one that is not set is left as it stands.
fn substitute(out: &mut String, sql: &Sql, variables: &Variables, symbols: &Symbols) {
    for piece in &sql.pieces {
        match piece {
            Piece::Text(text) => out.push_str(text),
            Piece::Variable(number) => match variables.get(*number) {
                Some(Text::Value(value)) => {
                    let _ = write!(out, "{value}");
                }
                Some(Text::Text(text)) => out.push_str(text),
                None => {
                    out.push(':');
                    out.push_str(symbols.name(*number));
                }
            },
        }
    }
}
