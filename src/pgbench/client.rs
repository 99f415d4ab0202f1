//! One client: a connection, its variables, and one transaction after the other.

use std::cell::RefCell;
use std::fmt::Write;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use super::tally::{CommandTally, Tally};
use crate::load::captured::captured;
use crate::load::patience::cancel;
use crate::load::pause::Pauser;
use crate::load::wire::{
    ColumnDescription, ConnectTarget, Connection, DbError, Params, RowBuffer, Rows, SqlState, TransactionStatus, WireError,
};
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

/// A statement as it is prepared. All clients share it: what lies in one place is read faster than what each would have of its own.
#[derive(Debug)]
struct Statement {
    /// Unique in the program.
    name: String,
    /// Its number in the program.
    number: usize,
    /// With `$n` for the variables.
    text: String,
    variables: Vec<usize>,
}

/// What all clients run.
#[derive(Debug)]
pub struct Program {
    /// At least one.
    pub scripts: Vec<Script>,
    /// Names of their variables.
    pub symbols: Symbols,
    /// How statements are sent.
    pub mode: QueryMode,
    /// By script and command.
    statements: Vec<Vec<Option<Statement>>>,
    /// How many there are.
    count: usize,
}

impl Program {
    /// Puts scripts together.
    pub fn new(scripts: Vec<Script>, symbols: Symbols, mode: QueryMode) -> Program {
        let mut count = 0;
        let mut of_command = |action: &Action| match action {
            Action::Sql(sql) => {
                let (text, variables) = sql.parameterized();
                let number = count;
                count += 1;
                Some(Statement { name: format!("p{number}"), number, text, variables })
            }
            _ => None,
        };
        let mut of_script = |script: &Script| script.commands.iter().map(|command| of_command(&command.action)).collect();
        let statements = scripts.iter().map(&mut of_script).collect();
        Program { scripts, symbols, mode, statements, count }
    }

    /// A tally of nothing yet, for its scripts and their commands.
    pub fn new_tally(&self) -> Tally {
        Tally::new(self.scripts.iter().map(|script| script.commands.len()))
    }

    fn statement(&self, script: usize, command: usize) -> Option<&Statement> {
        self.statements.get(script)?.get(command)?.as_ref()
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
    /// Somebody ended the run while the client waited or slept.
    #[error("interrupted")]
    Interrupted,
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

/// A run that nobody ends before its time.
static NEVER: AtomicBool = AtomicBool::new(false);

/// A client. It borrows its program: counting references to it, once a transaction, would have the threads fight for the
/// counter.
pub struct Client<'a> {
    program: &'a Program,
    /// None before the first one, and under `-C` between transactions.
    connection: Option<Connection>,
    /// Set by who ends the run before its time.
    stop: &'a AtomicBool,
    failed_at: usize,
    /// Which statements are prepared, by their number.
    prepared: Vec<bool>,
    /// Columns of the prepared ones that `\gset` takes some from, by number.
    columns: Vec<(usize, Vec<ColumnDescription>)>,
    variables: Variables,
    random: Random,
    scratch: Rc<RefCell<Scratch>>,
    rows: RowBuffer,
    pauser: Pauser,
}

/// What is needed while a request is written. One serves all clients of a thread.
#[derive(Debug, Default)]
pub struct Scratch {
    params: Params,
    text: String,
}

impl<'a> Client<'a> {
    /// Connects. Its variables are those that are given here.
    pub async fn connect(
        program: &'a Program,
        target: &ConnectTarget,
        variables: Variables,
        random: Random,
        scratch: Rc<RefCell<Scratch>>,
    ) -> Result<Client<'a>, WireError> {
        let mut client = Client::new(program, variables, random, scratch, &NEVER);
        client.connection = Some(Connection::connect(target).await?);
        Ok(client)
    }

    /// One without a connection. It sleeps no longer once `stop` is set.
    pub fn new(
        program: &'a Program,
        variables: Variables,
        random: Random,
        scratch: Rc<RefCell<Scratch>>,
        stop: &'a AtomicBool,
    ) -> Client<'a> {
        Client {
            program,
            connection: None,
            stop,
            failed_at: 0,
            prepared: vec![false; program.count],
            columns: Vec::new(),
            variables,
            random,
            scratch,
            rows: RowBuffer::new(),
            pauser: Pauser::default(),
        }
    }

    /// Opens a connection, within the limit if there is one. Nothing is prepared on it yet.
    pub async fn open(&mut self, target: &ConnectTarget, limit: Option<Duration>) -> Result<(), ClientError> {
        let opened = tokio::select! {
            biased;
            opened = Connection::connect_within(target, limit.unwrap_or(Duration::MAX)) => opened,
            () = stopped(self.stop) => return Err(ClientError::Interrupted),
        };
        let lost = |error| ClientError::Lost { place: "establishing a connection".to_owned(), error };
        self.connection = Some(opened.map_err(lost)?);
        self.prepared.fill(false);
        self.columns.clear();
        Ok(())
    }

    /// Says goodbye to the server.
    pub async fn close(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    /// Has the server end what runs, and goes.
    pub async fn abandon(&mut self) {
        if let Some(connection) = self.connection.take() {
            cancel(&connection).await;
        }
    }

    /// Waits without a timer's coarseness; fails if the run is ended meanwhile.
    pub async fn pause(&mut self, length: Duration) -> Result<(), ClientError> {
        tokio::select! {
            biased;
            () = stopped(self.stop) => Err(ClientError::Interrupted),
            () = self.pauser.pause(length) => Ok(()),
        }
    }

    /// Random numbers, as a transaction that is repeated must find them.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    /// The number of the command at which a script failed last.
    pub fn failed_at(&self) -> usize {
        self.failed_at
    }

    /// Runs a script from its first command to its last; when it ended. `times` takes the time of each command, where somebody wants to know.
    pub async fn run(&mut self, script: usize, mut times: Option<&mut [CommandTally]>) -> Result<Instant, ClientError> {
        let program = self.program;
        let commands = program.scripts.get(script).map_or(&[][..], |script| &script.commands);
        let mut next = 0;
        // As a rule a script ends with an answer, and when that came is known.
        let mut answered = None;
        while let Some(command) = commands.get(next) {
            let began = times.is_some().then(Instant::now);
            let at = next;
            next += 1;
            let todo = command.action.perform(&mut next, &mut self.variables, &program.symbols, &mut self.random);
            let result = match todo {
                Ok(Todo::Nothing) => Ok(None),
                Ok(Todo::Send(sql)) => self.sql(script, at, sql).await.map(Some),
                Ok(Todo::Sleep(length)) => {
                    self.pause(length).await?;
                    Ok(None)
                }
                Err(error) => Err(Failure::Script(error)),
            };
            answered = result.map_err(|failure| {
                self.failed_at = at;
                failure.at(program, script, command.line)
            })?;
            if let (Some(tally), Some(began)) = (times.as_deref_mut().and_then(|times| times.get_mut(at)), began) {
                tally.add(began.elapsed());
            }
        }
        Ok(answered.unwrap_or_else(Instant::now))
    }

    /// Ends a transaction that failed half-way, so that the next one can begin.
    pub async fn roll_back(&mut self) -> Result<(), ClientError> {
        let Some(connection) = self.connection.as_mut().filter(|connection| connection.transaction_status() != TransactionStatus::Idle)
        else {
            return Ok(());
        };
        let rolled_back = connection.simple("ROLLBACK", Rows::Discard).await;
        rolled_back.map(|_| ()).map_err(|error| ClientError::Lost { place: "rolling back".to_owned(), error })
    }

    /// Whether a script ended without ending its transaction, which would swallow all that come after it.
    pub fn is_in_transaction(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.transaction_status() != TransactionStatus::Idle)
    }

    /// Sends a command and takes in its answer; when that was all there.
    async fn sql(&mut self, script: usize, at: usize, sql: &Sql) -> Result<Instant, Failure> {
        let program = self.program;
        let statement = program.statement(script, at);
        if let (QueryMode::Prepared, Some(statement)) = (program.mode, statement)
            && self.prepared.get(statement.number) == Some(&false)
        {
            self.prepare(statement, sql.capture.is_some()).await?;
        }
        self.write(sql, statement)?;
        let connection = opened(&mut self.connection)?;
        let Some(prefix) = &sql.capture else { return connection.send_written(Rows::Discard).await.map_err(Failure::Wire) };
        self.rows.clear();
        let done = connection.send_written(Rows::Collect(&mut self.rows)).await?;
        // Columns are told when a statement is prepared, and not again.
        if let Some((_, columns)) = self.columns.iter().find(|(number, _)| statement.is_some_and(|statement| statement.number == *number)) {
            self.rows.set_columns(columns);
        }
        self.capture(prefix)?;
        Ok(done)
    }

    async fn prepare(&mut self, statement: &Statement, is_captured: bool) -> Result<(), Failure> {
        let prepared = opened(&mut self.connection)?.prepare(&statement.name, &statement.text).await?;
        if let Some(is_prepared) = self.prepared.get_mut(statement.number) {
            *is_prepared = true;
        }
        if is_captured {
            self.columns.push((statement.number, prepared.columns));
        }
        Ok(())
    }

    /// Writes the request for a command.
    fn write(&mut self, sql: &Sql, statement: Option<&Statement>) -> Result<(), Failure> {
        let symbols = &self.program.symbols;
        let connection = opened(&mut self.connection)?;
        let Scratch { params, text } = &mut *self.scratch.borrow_mut();
        text.clear();
        let (mode, statement) = match (self.program.mode, statement) {
            (QueryMode::Simple, _) | (_, None) => {
                substitute(text, sql, &self.variables, symbols);
                return Ok(connection.write_simple(text)?);
            }
            (mode, Some(statement)) => (mode, statement),
        };
        params.clear();
        for variable in &statement.variables {
            match self.variables.get(*variable) {
                Some(Text::Value(Value::Null)) => params.bind_null(),
                Some(Text::Value(Value::Integer(number))) => params.bind_integer(*number),
                Some(Text::Value(value)) => {
                    text.clear();
                    let _ = write!(text, "{value}");
                    params.bind_text(text);
                }
                Some(Text::Text(text)) => params.bind_text(text),
                None => return Err(Failure::Script(EvalError::undefined(symbols.name(*variable)))),
            }
        }
        match mode {
            QueryMode::Extended => connection.write_unprepared(&statement.text, params)?,
            _ => connection.write(&statement.name, params)?,
        }
        Ok(())
    }

    /// Columns of the one row become variables.
    fn capture(&mut self, prefix: &str) -> Result<(), Failure> {
        for (number, text) in captured(&self.program.symbols, prefix, self.rows.columns(), &self.rows).map_err(Failure::Script)? {
            self.variables.set(number, Text::Text(text.to_owned()));
        }
        Ok(())
    }
}

/// The connection, which a script cannot do without.
fn opened(connection: &mut Option<Connection>) -> Result<&mut Connection, WireError> {
    connection.as_mut().ok_or(WireError::Broken)
}

/// Ends when the run is ended before its time. It needs no waker, as the event loop polls everything once a tick.
pub(super) async fn stopped(stop: &AtomicBool) {
    poll_fn(|_| if stop.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }).await;
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
