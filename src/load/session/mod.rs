//! One connection with everything prepared, running transactions the way PostgREST would.
//!
//! A request is BEGIN, one `select set_config(...)` with the identity, the statements, COMMIT: each prepared, each with a Sync of its own,
//! so each is one round trip. Settings are local to the transaction, so nothing leaks to the next one on this connection.

mod answer;
mod error;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::bind::{Arrival, Bound, json_array};
use super::captured::Captured;
use super::identity::{SEARCH_PATH, preamble_sql, write_identity};
use super::pause::Pauser;
use super::processor::{Backend, Meter};
use super::program::{Program, Request, Source, StatementProgram};
use super::wire::{ConnectTarget, Connection, Params, Prepared, RowBuffer, Rows, TransactionStatus};
use crate::dataset::Value;
use crate::record::NoProcessorTime;
use crate::scenario::Repeat;
use crate::script::value::EvalError;

use error::failed;

pub use answer::{Answer, StatementAnswer, query_text};
pub use error::SessionError;

/// How a request's transaction ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// As in production.
    Commit,
    /// Leaving no trace, for checks of what writes.
    Rollback,
}

/// When a transaction was sent and done.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// First byte sent.
    pub sent: Instant,
    /// Last row of the last answer received.
    pub done: Instant,
}

/// A connection on which a program is prepared.
pub struct Session {
    connection: Connection,
    /// Each transaction holds on to it, by way of a counter of this session alone: the inner counter belongs to all threads, and would go
    /// from one processor to the other each time.
    #[expect(clippy::redundant_allocation, reason = "the outer counter is not shared")]
    program: Rc<Arc<Program>>,
    transactions: Vec<Vec<PreparedRequest>>,
    begin_read: Prepared,
    begin_write: Prepared,
    commit: Prepared,
    rollback: Prepared,
    params: Params,
    claims: String,
    /// Of the transaction that runs.
    first_sent: Option<Instant>,
    statements_ns: Vec<u64>,
    pauser: Pauser,
    now: Value,
    user: String,
    captured: Captured,
    /// Under load nobody looks.
    meter: Option<Meter>,
}

struct PreparedRequest {
    preamble: Option<Prepared>,
    statements: Vec<Prepared>,
}

impl Session {
    /// Connects and prepares every statement of the program. `now` is the dataset's clock, microseconds since 1970.
    pub async fn open(target: &ConnectTarget, program: Arc<Program>, now: i64) -> Result<Session, SessionError> {
        let lost = |error| SessionError::Lost { statement: "connecting".to_owned(), error };
        let mut connection = Connection::connect(target).await.map_err(lost)?;
        let mut prepare_control = async |name: &str, sql: &str| connection.prepare(name, sql).await.map_err(lost);
        let begin_read = prepare_control("begin_read", "BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY").await?;
        let begin_write = prepare_control("begin_write", "BEGIN ISOLATION LEVEL READ COMMITTED").await?;
        let commit = prepare_control("commit", "COMMIT").await?;
        let rollback = prepare_control("rollback", "ROLLBACK").await?;
        let mut session = Session {
            connection,
            program: Rc::new(program.clone()),
            transactions: Vec::new(),
            begin_read,
            begin_write,
            commit,
            rollback,
            params: Params::new(),
            claims: String::new(),
            first_sent: None,
            statements_ns: Vec::new(),
            pauser: Pauser::default(),
            now: Value::Timestamp(now),
            user: target.user.clone(),
            captured: Captured::default(),
            meter: None,
        };
        for (number, transaction) in program.transactions.iter().enumerate() {
            let mut requests = Vec::new();
            // Names are looked up when a statement is prepared, and only in schemas that are open to the role.
            if let Some(role) = transaction.role {
                session.command(&format!("begin; set local role {role}")).await?;
            }
            for (index, request) in transaction.requests.iter().enumerate() {
                let name = format!("t{number}r{index}");
                requests.push(session.prepare_request(&name, transaction.role.is_some(), request).await?);
            }
            if transaction.role.is_some() {
                session.command("commit").await?;
            }
            session.transactions.push(requests);
        }
        Ok(session)
    }

    async fn command(&mut self, sql: &str) -> Result<(), SessionError> {
        self.connection.simple(sql, Rows::Discard).await.map(drop).map_err(|error| failed("preamble", error))
    }

    async fn prepare_request(&mut self, name: &str, wrapped: bool, request: &Request) -> Result<PreparedRequest, SessionError> {
        let preamble = if wrapped {
            let prepared = self.connection.prepare(name, &preamble_sql(&request.settings)).await;
            Some(prepared.map_err(|error| failed("preamble", error))?)
        } else {
            None
        };
        let mut statements = Vec::new();
        for statement in &request.statements {
            let prepared = self.connection.prepare(&statement.prepared, &statement.sql).await;
            let prepared = prepared.map_err(|error| failed(&statement.path, error))?;
            if prepared.parameters.len() != statement.sources.len() {
                // As in pgbench, quotes protect nothing in a script.
                let (has, takes) = (statement.sources.len(), prepared.parameters.len());
                let why = format!("{has} variables stand in it, and PostgreSQL takes {takes} parameters: one is in quotes or in a comment");
                return Err(SessionError::Script { place: statement.path.clone(), error: EvalError::new(why) });
            }
            statements.push(prepared);
        }
        Ok(PreparedRequest { preamble, statements })
    }

    /// Service times of the last transaction's statements, ns, in order; 0 for what was not sent.
    pub fn statements_ns(&self) -> &[u64] {
        &self.statements_ns
    }

    /// What `\gset` took in the last transaction.
    pub fn captured(&self) -> &Captured {
        &self.captured
    }

    /// From now on reads, around each statement, what time its backend takes on a processor. That takes time, so it is not for load.
    pub async fn meter_statements(&mut self) -> Result<(), NoProcessorTime> {
        self.meter = None;
        self.meter = Some(Meter::new(Backend::of(&mut self.connection).await?));
        Ok(())
    }

    /// Time of the backend on a processor for one execution of a statement, by its position in its transaction, on average since
    /// [`Session::meter_statements`] was called, ns; `None` if it is not known.
    pub fn metered_ns(&self, statement: usize) -> Option<u64> {
        self.meter.as_ref()?.mean_ns(statement)
    }

    /// The connection, for what no program says.
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Runs one transaction. With `collect`, keeps every statement's answer.
    pub async fn run(&mut self, arrival: &Arrival, end: End, collect: Option<&mut Vec<StatementAnswer>>) -> Result<Times, SessionError> {
        self.statements_ns.clear();
        self.transaction(arrival, end, collect).await
    }

    /// Runs the same transaction again after it lost against another one: its statements' times are added to those that were lost.
    pub async fn run_again(&mut self, arrival: &Arrival) -> Result<Times, SessionError> {
        self.transaction(arrival, End::Commit, None).await
    }

    async fn transaction(
        &mut self,
        arrival: &Arrival,
        end: End,
        mut collect: Option<&mut Vec<StatementAnswer>>,
    ) -> Result<Times, SessionError> {
        let program = self.program.clone();
        let transaction = &program.transactions[arrival.transaction];
        self.statements_ns.resize(transaction.statements, 0);
        self.captured.clear();
        if let (Some(script), Some((line, error))) = (&transaction.script, arrival.course.as_ref().and_then(|course| course.fault.as_ref()))
        {
            return Err(SessionError::Script { place: format!("{}:{line}", script.source.file().display()), error: error.clone() });
        }
        // A pause before the first request is part of the transaction.
        self.first_sent = (program.request_pause_ns > 0).then(Instant::now);
        for (index, request) in transaction.requests.iter().enumerate() {
            for part in parts(request, arrival) {
                if program.request_pause_ns > 0 {
                    self.pauser.pause(Duration::from_nanos(program.request_pause_ns)).await;
                }
                let place = Place { index, request, part };
                let result = self.request(arrival, place, transaction.writes, end, collect.as_deref_mut()).await;
                if let Err(error) = result {
                    return Err(self.recover(error).await);
                }
            }
        }
        let left_open = end == End::Commit && transaction.role.is_none() && self.connection.transaction_status() != TransactionStatus::Idle;
        if left_open && transaction.script.is_some() {
            let error = EvalError::new("end of script reached without completing the last transaction");
            return Err(self.recover(SessionError::Script { place: transaction.name.clone(), error }).await);
        }
        let sleeps = arrival.course.as_ref().is_some_and(|course| course.sleeps.iter().any(|length| *length > Duration::ZERO));
        match self.first_sent {
            // It ends with an answer, and when that came is known.
            Some(sent) if !sleeps && program.request_pause_ns == 0 => Ok(Times { sent, done: self.connection.last_done() }),
            sent => {
                let done = Instant::now();
                Ok(Times { sent: sent.unwrap_or(done), done })
            }
        }
    }

    async fn request(
        &mut self,
        arrival: &Arrival,
        place: Place<'_>,
        writes: bool,
        end: End,
        mut collect: Option<&mut Vec<StatementAnswer>>,
    ) -> Result<(), SessionError> {
        let Place { index, request, .. } = place;
        let wrapped = self.transactions[arrival.transaction][index].preamble.is_some();
        let in_transaction = wrapped || end == End::Rollback;
        if in_transaction {
            self.begin(writes).await?;
        }
        if wrapped {
            self.preamble(arrival, index, request).await?;
        }
        for (position, statement) in request.statements.iter().enumerate() {
            // What is rolled back as a whole begins and ends nothing of its own.
            if !statement.is_sent(arrival) || (statement.controls_transaction && end == End::Rollback) {
                continue;
            }
            self.sleep(arrival, statement.index).await;
            if self.meter.is_some() {
                self.metered_statement(arrival, place, position, statement, collect.as_deref_mut()).await?;
            } else {
                self.statement(arrival, place, position, statement, collect.as_deref_mut()).await?;
            }
        }
        self.sleep(arrival, usize::MAX).await;
        if in_transaction {
            let last = match end {
                End::Commit => &self.commit,
                End::Rollback => &self.rollback,
            };
            self.params.clear();
            self.connection.execute(last, &self.params, Rows::Discard).await.map_err(|error| failed("commit", error))?;
        }
        Ok(())
    }

    /// Sleeps as the script does before a statement; behind the last one for a position beyond.
    async fn sleep(&mut self, arrival: &Arrival, statement: usize) {
        let Some(course) = &arrival.course else { return };
        let length = course.sleeps.get(statement).or(course.sleeps.last()).copied().unwrap_or_default();
        if length > Duration::ZERO {
            self.pauser.pause(length).await;
        }
    }

    async fn begin(&mut self, writes: bool) -> Result<(), SessionError> {
        let begin = if writes { &self.begin_write } else { &self.begin_read };
        self.params.clear();
        let begun = self.connection.execute(begin, &self.params, Rows::Discard).await;
        let begun = begun.map_err(|error| failed("begin", error))?;
        self.first_sent.get_or_insert(begun.sent);
        Ok(())
    }

    async fn preamble(&mut self, arrival: &Arrival, index: usize, request: &Request) -> Result<(), SessionError> {
        let Some(prepared) = &self.transactions[arrival.transaction][index].preamble else { return Ok(()) };
        self.claims.clear();
        let (role, timeout) = write_identity(&arrival.actor, &mut self.claims);
        self.params.clear();
        for text in [SEARCH_PATH, timeout, role, &self.claims, "POST", "/rpc", "{}", "{}"] {
            self.params.bind_text(text);
        }
        for (_, value) in &request.settings {
            self.params.bind_text(value);
        }
        let set = self.connection.execute(prepared, &self.params, Rows::Discard).await;
        set.map(drop).map_err(|error| failed("preamble", error))
    }

    /// Runs a statement between two looks at its backend.
    async fn metered_statement(
        &mut self,
        arrival: &Arrival,
        place: Place<'_>,
        position: usize,
        statement: &StatementProgram,
        collect: Option<&mut Vec<StatementAnswer>>,
    ) -> Result<(), SessionError> {
        let Some(meter) = &self.meter else { return Ok(()) };
        let before = meter.read().await;
        let executions = self.statement(arrival, place, position, statement, collect).await?;
        if let Some(meter) = &mut self.meter {
            meter.note(statement.index, executions, before).await;
        }
        Ok(())
    }

    /// Runs a statement, once or for each chunk of its rows; how often.
    async fn statement(
        &mut self,
        arrival: &Arrival,
        place: Place<'_>,
        position: usize,
        statement: &StatementProgram,
        collect: Option<&mut Vec<StatementAnswer>>,
    ) -> Result<u64, SessionError> {
        let request = place.index;
        let mut buffer = (collect.is_some() || statement.capture.is_some()).then(RowBuffer::new);
        let mut answer = Answer::default();
        let mut affected = 0;
        let wrapped = self.transactions[arrival.transaction][request].preamble.is_some();
        let rows = statement.chunked.and_then(|draw| match arrival.values.get(draw) {
            Some(Bound::Rows(rows)) => Some(rows.as_slice()),
            _ => None,
        });
        let size = statement.chunk.unwrap_or(usize::MAX).max(1);
        let (first, count) = match (rows, place.part) {
            (Some(rows), Part::Whole) => (0, rows.chunks(size).len()),
            (Some(rows), Part::Chunk(number)) => (number, usize::from(number < rows.chunks(size).len())),
            (None, _) => (0, 1),
        };
        for number in first..first + count {
            let chunk = rows.and_then(|rows| rows.chunks(size).nth(number));
            self.bind(arrival, request, position, statement, chunk)?;
            let prepared = &self.transactions[arrival.transaction][request].statements[position];
            let sink = match &mut buffer {
                Some(buffer) => {
                    buffer.clear();
                    Rows::Collect(buffer)
                }
                None => Rows::Discard,
            };
            let executed = self.connection.execute(prepared, &self.params, sink).await;
            let done = executed.map_err(|error| {
                self.statements_ns[statement.index] += self.connection.last_sent().elapsed().as_nanos() as u64;
                failed(&statement.path, error)
            })?;
            self.first_sent.get_or_insert(done.sent);
            // Outside a transaction the commit is part of the statement.
            let end = if wrapped { done.last_row } else { done.done };
            self.statements_ns[statement.index] += end.saturating_duration_since(done.sent).as_nanos() as u64;
            affected += done.affected;
            if let (Some(buffer), true) = (&buffer, collect.is_some()) {
                answer.add(prepared, buffer);
            }
            let script = self.program.transactions[arrival.transaction].script.as_ref();
            if let (Some(prefix), Some(script), Some(buffer)) = (&statement.capture, script, &buffer) {
                let taken = self.captured.take(script, prefix, &prepared.columns, buffer);
                taken.map_err(|error| SessionError::Script { place: statement.path.clone(), error })?;
            }
        }
        if let Some(collect) = collect {
            self.unchanged(arrival, statement).await?;
            let earlier = collect.last_mut().filter(|last| matches!(place.part, Part::Chunk(1..)) && last.statement == statement.name);
            match earlier {
                Some(earlier) => {
                    earlier.answer.rows.append(&mut answer.rows);
                    earlier.affected += affected;
                }
                None => collect.push(StatementAnswer { statement: statement.name.clone(), answer, affected }),
            }
        }
        Ok(count as u64)
    }

    /// Whether the session still is who its request began as.
    async fn unchanged(&mut self, arrival: &Arrival, statement: &StatementProgram) -> Result<(), SessionError> {
        // Qualified, as the statement may have changed where names are looked up.
        const WHO: &str = "select session_user, current_user, pg_catalog.current_setting('request.jwt.claims', true), \
                           pg_catalog.current_setting('row_security'), \
                           pg_catalog.concat(pg_catalog.current_setting('request.jwt.claim', true), \
                             pg_catalog.current_setting('request.jwt.claim.sub', true), \
                             pg_catalog.current_setting('request.jwt.claim.role', true), \
                             pg_catalog.current_setting('request.jwt.claim.email', true))";
        let found = query_text(&mut self.connection, WHO).await.map_err(|error| failed(&statement.path, error))?;
        let mut found = found.into_iter().flatten().map(Option::unwrap_or_default);
        let (role, claims) = match self.program.transactions[arrival.transaction].role {
            Some(_) => (write_identity(&arrival.actor, &mut String::new()).0, self.claims.as_str()),
            None => (self.user.as_str(), ""),
        };
        let wanted = [
            ("the session's user", self.user.as_str()),
            ("the role", role),
            ("the claims", claims),
            ("row_security", "on"),
            // Settings of one claim each, as old versions of PostgREST have them.
            ("a claim", ""),
        ];
        for (name, wanted) in wanted {
            let found = found.next().unwrap_or_default();
            if found != wanted {
                let what = format!("changes {name} from {wanted:?} to {found:?}");
                return Err(SessionError::Changed { statement: statement.path.clone(), what });
            }
        }
        Ok(())
    }

    fn bind(
        &mut self,
        arrival: &Arrival,
        request: usize,
        position: usize,
        statement: &StatementProgram,
        chunk: Option<&[String]>,
    ) -> Result<(), SessionError> {
        let prepared = &self.transactions[arrival.transaction][request].statements[position];
        self.params.clear();
        for (source, wanted) in statement.sources.iter().zip(&prepared.parameters) {
            let bound = match source {
                Source::Now => self.params.bind(&self.now, *wanted),
                Source::Captured(variable) => match self.captured.get(*variable) {
                    Some(text) => {
                        self.params.bind_text(text);
                        Ok(())
                    }
                    None => return Err(self.uncaptured(arrival, statement, *variable)),
                },
                Source::Draw(draw) => match (arrival.values.get(*draw), chunk) {
                    (Some(Bound::One(value)), _) => self.params.bind(value, *wanted),
                    (Some(Bound::Text(text)), _) => {
                        self.params.bind_text(text);
                        Ok(())
                    }
                    (Some(Bound::Rows(_)), Some(chunk)) => self.params.bind(&Value::Json(json_array(chunk).into()), *wanted),
                    (Some(Bound::Rows(rows)), None) => self.params.bind(&Value::Json(json_array(rows).into()), *wanted),
                    (None, _) => self.params.bind(&Value::Null, *wanted),
                },
            };
            bound.map_err(|error| failed(&statement.path, error.into()))?;
        }
        Ok(())
    }

    /// No answer gave a variable its value: another branch was taken, or no column has that name.
    fn uncaptured(&self, arrival: &Arrival, statement: &StatementProgram, variable: usize) -> SessionError {
        let script = self.program.transactions[arrival.transaction].script.as_ref();
        let name = script.map_or("", |script| script.symbols.name(variable));
        SessionError::Script { place: statement.path.clone(), error: EvalError::undefined(name) }
    }

    /// After an error: leaves the transaction, if the connection is still good for it.
    async fn recover(&mut self, error: SessionError) -> SessionError {
        if error.is_lost() || self.connection.transaction_status() == TransactionStatus::Idle {
            return error;
        }
        self.params.clear();
        match self.connection.execute(&self.rollback, &self.params, Rows::Discard).await {
            Ok(_) => error,
            Err(lost) => SessionError::Lost { statement: "rollback".to_owned(), error: lost },
        }
    }
}

/// Which request of a transaction, and how much of it.
#[derive(Clone, Copy)]
struct Place<'a> {
    index: usize,
    request: &'a Request,
    part: Part,
}

/// How much of its statement's rows a request holds.
#[derive(Clone, Copy)]
enum Part {
    /// All of them.
    Whole,
    /// One chunk.
    Chunk(usize),
}

/// The requests of the application that one request of the program stands for.
fn parts(request: &Request, arrival: &Arrival) -> impl Iterator<Item = Part> + use<> {
    let repeated = request.statements.first().filter(|_| request.repeat == Repeat::Request);
    let chunks = repeated.and_then(|statement| match arrival.values.get(statement.chunked?)? {
        Bound::Rows(rows) => Some(rows.len().div_ceil(statement.chunk?.max(1))),
        Bound::One(_) | Bound::Text(_) => None,
    });
    (0..chunks.unwrap_or(1)).map(move |number| if chunks.is_some() { Part::Chunk(number) } else { Part::Whole })
}
