//! One connection: prepare, execute, simple queries.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use postgres_protocol::message::frontend;

use super::error::{DbError, Severity, WireError};
use super::frame::{Cursor, Inbox};
use super::handshake::{Handshake, unexpected};
use super::params::{Format, Params};
use super::request;
use super::rows::{ColumnDescription, RowBuffer, Rows, columns};
use super::spare;
use super::stream::{CancelToken, Stream};
use super::target::{ConnectTarget, SslMode};
use super::types::{FIRST_NORMAL_OID, ParamType};

/// For a server to let a client in: one that takes longer has stopped.
pub const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// Where the session stands between statements, as the server last said.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TransactionStatus {
    /// Not in a transaction.
    Idle,
    /// In a transaction.
    Open,
    /// In a transaction that failed: only ROLLBACK is taken.
    Failed,
}

/// Whether the next message may be sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Ready(TransactionStatus),
    /// Between a request and its ReadyForQuery. A call that finds this was preceded by one that was dropped or failed half-way.
    Busy,
}

/// A statement that the server has prepared under a name.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Its name on the server; unique in a session.
    pub name: String,
    /// Types of `$1`, `$2`, ...
    pub parameters: Vec<ParamType>,
    /// Columns of its rows; none if it returns no rows.
    pub columns: Vec<ColumnDescription>,
    /// Format in which its rows are asked for. Text, unless changed here.
    pub format: Format,
}

/// Counts and times of one request. For an answer that comes in one piece the last three times are the same.
#[derive(Clone, Copy, Debug)]
pub struct ExecStats {
    /// Rows received.
    pub rows: u64,
    /// Rows that the (last) command counts in its tag: inserted, updated, deleted, selected.
    pub affected: u64,
    /// Just before the first byte was handed to the operating system.
    pub sent: Instant,
    /// When the first bytes of the answer had been read.
    pub first_byte: Instant,
    /// When the bytes that complete the last row had been read; without rows, the command's completion.
    pub last_row: Instant,
    /// When the server was ready for the next request: for a statement outside a transaction, after its commit.
    pub done: Instant,
}

/// What the server says beside answers.
pub(super) struct Session {
    state: State,
    parameters: Vec<(String, String)>,
    notices: u64,
    pub cancel: CancelToken,
}

impl Session {
    /// Takes in a ReadyForQuery.
    pub(super) fn ready(&mut self, body: &[u8]) -> Result<(), WireError> {
        self.state = State::Ready(match body {
            b"I" => TransactionStatus::Idle,
            b"T" => TransactionStatus::Open,
            b"E" => TransactionStatus::Failed,
            _ => return Err(WireError::Protocol("ReadyForQuery is malformed".into())),
        });
        Ok(())
    }

    /// Takes in a message that can come at any time: notice, parameter status, notification.
    pub(super) fn asynchronous(&mut self, tag: u8, body: &[u8]) -> Result<(), WireError> {
        match tag {
            b'N' => self.notices += 1,
            b'S' => {
                let mut fields = Cursor::new(body, "ParameterStatus");
                let name = String::from_utf8_lossy(fields.cstr()?);
                let value = String::from_utf8_lossy(fields.cstr()?);
                match self.parameters.iter_mut().find(|(known, _)| *known == name) {
                    // Taking on a role and leaving it tells is_superuser twice a transaction.
                    Some((_, old)) => {
                        old.clear();
                        old.push_str(&value);
                    }
                    None => self.parameters.push((name.into_owned(), value.into_owned())),
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Parameters and columns as Describe gives them.
#[derive(Default)]
struct Description {
    parameters: Vec<u32>,
    columns: Vec<ColumnDescription>,
}

/// One session with a server, owned by one task at a time.
///
/// A call whose future is dropped before it is done leaves the connection broken ([`Connection::is_broken`]): its answer would be taken
/// for the next one's.
pub struct Connection {
    stream: Stream,
    inbox: Inbox,
    /// The request that is written or being sent.
    out: BytesMut,
    session: Session,
    /// When the last request was sent; at first, when it was connected.
    last_sent: Instant,
    /// When the last answer was all there; at first, when it was connected.
    last_done: Instant,
    /// Types of extensions that were looked up.
    types: Vec<(u32, ParamType)>,
}

impl Connection {
    /// Connects and logs in, within [`CONNECT_LIMIT`].
    pub async fn connect(target: &ConnectTarget) -> Result<Connection, WireError> {
        Connection::connect_within(target, CONNECT_LIMIT).await
    }

    /// Connects and logs in, or fails with [`WireError::Io`] when the limit has passed.
    pub async fn connect_within(target: &ConnectTarget, limit: Duration) -> Result<Connection, WireError> {
        tokio::time::timeout(limit, Connection::log_in(target)).await.unwrap_or_else(|_| Err(WireError::timed_out(limit)))
    }

    async fn log_in(target: &ConnectTarget) -> Result<Connection, WireError> {
        let again = |ssl_mode| ConnectTarget { ssl_mode, ..target.clone() };
        match Connection::log_in_once(target).await {
            // The server may take only those who encrypt, or only those who do not.
            Err(error) if target.ssl_mode == SslMode::Allow && error.is_refusal() => {
                Connection::log_in_once(&again(SslMode::Require)).await
            }
            Err(error) if target.ssl_mode == SslMode::Prefer && (error.is_refusal() || matches!(error, WireError::Tls(_))) => {
                Connection::log_in_once(&again(SslMode::Disable)).await.map_err(|_| error)
            }
            connected => connected,
        }
    }

    async fn log_in_once(target: &ConnectTarget) -> Result<Connection, WireError> {
        let mut stream = Stream::connect(&target.host, target.port).await?.secured(target).await?;
        let mut inbox = Inbox::new();
        let mut session = Session { state: State::Busy, parameters: Vec::new(), notices: 0, cancel: CancelToken::new(target) };
        Handshake { stream: &mut stream, inbox: &mut inbox, session: &mut session, target }.run().await?;
        let now = Instant::now();
        Ok(Connection { stream, inbox, out: BytesMut::new(), session, last_sent: now, last_done: now, types: Vec::new() })
    }

    /// Prepares `sql` under `name`; commands such as BEGIN and COMMIT can be prepared too. One round trip, and one more the first time
    /// that a parameter has a type of an extension.
    pub async fn prepare(&mut self, name: &str, sql: &str) -> Result<Prepared, WireError> {
        self.begin_request()?;
        let written = frontend::parse(name, sql, [], &mut self.out).and_then(|()| frontend::describe(b'S', name, &mut self.out));
        written.map_err(|error| WireError::Invalid(format!("statement \"{name}\" cannot be sent: {error}")))?;
        frontend::sync(&mut self.out);
        let mut description = Description::default();
        self.request(Rows::Discard, Some(&mut description)).await?;
        let mut parameters = Vec::with_capacity(description.parameters.len());
        for oid in description.parameters {
            parameters.push(self.parameter_type(oid).await?);
        }
        Ok(Prepared { name: name.to_owned(), parameters, columns: description.columns, format: Format::Text })
    }

    /// Runs a prepared statement: Bind, Execute and Sync in one round trip.
    ///
    /// After [`WireError::Db`] of severity `Error` the connection can go on; see [`Connection::transaction_status`].
    pub async fn execute(&mut self, statement: &Prepared, params: &Params, rows: Rows<'_>) -> Result<ExecStats, WireError> {
        self.begin_request()?;
        request::execution(&mut self.out, statement, params)?;
        frontend::sync(&mut self.out);
        self.request(rows, None).await
    }

    /// Writes an execution of the statement that was prepared under `name`, whose rows come as text. [`Connection::send_written`] sends it.
    ///
    /// Together they are [`Connection::execute`] for a caller who knows what he has prepared, and whose parameters serve other connections
    /// while the answer is on its way. A wrong number of parameters is left to the server to find.
    pub fn write(&mut self, name: &str, params: &Params) -> Result<(), WireError> {
        self.begin_request()?;
        request::bind(&mut self.out, name, Format::Text, params)?;
        request::execute(&mut self.out);
        frontend::sync(&mut self.out);
        Ok(())
    }

    /// The same for a statement under no name: see [`Connection::execute_unprepared`].
    pub fn write_unprepared(&mut self, sql: &str, params: &Params) -> Result<(), WireError> {
        self.begin_request()?;
        frontend::parse("", sql, [], &mut self.out)
            .map_err(|error| WireError::Invalid(format!("the statement cannot be sent: {error}")))?;
        request::bind(&mut self.out, "", Format::Text, params)?;
        request::describe_portal(&mut self.out);
        request::execute(&mut self.out);
        frontend::sync(&mut self.out);
        Ok(())
    }

    /// The same for commands in the simple protocol: see [`Connection::simple`].
    pub fn write_simple(&mut self, sql: &str) -> Result<(), WireError> {
        self.begin_request()?;
        frontend::query(sql, &mut self.out).map_err(|error| WireError::Invalid(format!("the command cannot be sent: {error}")))
    }

    /// Sends what was written, and takes in the answer; when that was all there. One round trip. The clock is looked at once, where
    /// [`ExecStats`] take two looks.
    pub async fn send_written(&mut self, rows: Rows<'_>) -> Result<Instant, WireError> {
        if self.out.is_empty() {
            return Err(WireError::Invalid("nothing is written that could be sent".to_owned()));
        }
        // Any time before the answer comes will do.
        let stats = self.exchange(self.last_done, rows, None).await?;
        Ok(stats.done)
    }

    /// Runs prepared statements one after the other in one round trip: a Bind and Execute for each, and one Sync. After an error the server
    /// skips the others. Rows are discarded.
    pub async fn pipeline(&mut self, steps: &[(&Prepared, &Params)]) -> Result<ExecStats, WireError> {
        self.begin_request()?;
        for (statement, params) in steps {
            request::execution(&mut self.out, statement, params)?;
        }
        frontend::sync(&mut self.out);
        self.request(Rows::Discard, None).await
    }

    /// Parses and runs a statement under no name: Parse, Bind, Describe, Execute and Sync in one round trip. Parameters are text; collected
    /// rows know their columns.
    pub async fn execute_unprepared(&mut self, sql: &str, params: &Params, rows: Rows<'_>) -> Result<ExecStats, WireError> {
        self.write_unprepared(sql, params)?;
        self.request(rows, None).await
    }

    /// Runs one or more commands in the simple protocol, which always answers in text. One round trip.
    pub async fn simple(&mut self, sql: &str, rows: Rows<'_>) -> Result<ExecStats, WireError> {
        self.write_simple(sql)?;
        self.request(rows, None).await
    }

    /// Frees a prepared statement on the server. One round trip.
    pub async fn close_statement(&mut self, statement: Prepared) -> Result<(), WireError> {
        self.begin_request()?;
        frontend::close(b'S', &statement.name, &mut self.out).map_err(|error| WireError::Invalid(error.to_string()))?;
        frontend::sync(&mut self.out);
        self.request(Rows::Discard, None).await.map(|_| ())
    }

    /// Says goodbye and closes. Dropping a connection closes it without a word, which the server logs.
    pub async fn close(mut self) {
        self.out.clear();
        frontend::terminate(&mut self.out);
        // There is nobody left to tell about a failure.
        let _ = self.stream.send(&self.out).await;
    }

    /// Whether nothing more can be run here: the connection was lost, or a call was dropped half-way.
    pub fn is_broken(&self) -> bool {
        self.session.state == State::Busy
    }

    /// Where the session stands; a broken connection counts as failed.
    pub fn transaction_status(&self) -> TransactionStatus {
        match self.session.state {
            State::Ready(status) => status,
            State::Busy => TransactionStatus::Failed,
        }
    }

    /// What is needed to cancel this connection's statement from elsewhere.
    pub fn cancel_token(&self) -> CancelToken {
        self.session.cancel.clone()
    }

    /// A setting that the server reports of its own accord, such as `server_version`.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.session.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// When the last request was sent, be it answered or not; at first, when it was connected. Where [`Connection::send_written`] sent it,
    /// it is when the one before it was answered.
    pub fn last_sent(&self) -> Instant {
        self.last_sent
    }

    /// When the last answer was all there; at first, when it was connected.
    pub fn last_done(&self) -> Instant {
        self.last_done
    }

    /// Number of notices and warnings received.
    pub fn notices(&self) -> u64 {
        self.session.notices
    }

    fn begin_request(&mut self) -> Result<(), WireError> {
        if self.is_broken() {
            return Err(WireError::Broken);
        }
        if self.out.capacity() == 0 {
            self.out = spare::outgoing();
        }
        self.out.clear();
        Ok(())
    }

    /// Sends what was written and reads until the server is ready again.
    async fn request(&mut self, rows: Rows<'_>, description: Option<&mut Description>) -> Result<ExecStats, WireError> {
        self.exchange(Instant::now(), rows, description).await
    }

    async fn exchange(
        &mut self,
        sent: Instant,
        mut rows: Rows<'_>,
        mut description: Option<&mut Description>,
    ) -> Result<ExecStats, WireError> {
        self.session.state = State::Busy;
        self.last_sent = sent;
        let simple = self.out.first() == Some(&b'Q');
        let sending = match self.stream.send_now(&self.out) {
            Ok(count) if count == self.out.len() => Ok(()),
            Ok(count) => self.stream.send(self.out.get(count..).unwrap_or_default()).await,
            Err(error) => Err(error),
        };
        spare::put_outgoing(std::mem::take(&mut self.out));
        let mut stats = ExecStats { rows: 0, affected: 0, sent, first_byte: sent, last_row: sent, done: sent };
        let mut failure = None;
        let mut has_columns = false;
        loop {
            // A backend that was terminated has left its last words, even if it could not be written to.
            let read = self.stream.receive(&mut self.inbox).await;
            match (&sending, read) {
                (_, Ok(1..)) => {}
                (Err(error), _) => return Err(WireError::io("sending")(std::io::Error::new(error.kind(), error.to_string()))),
                (Ok(()), Ok(_)) => return Err(WireError::Closed("a statement")),
                (Ok(()), Err(error)) => return Err(WireError::io("waiting for an answer")(error)),
            }
            let read_at = Instant::now();
            if stats.first_byte == sent {
                stats.first_byte = read_at;
            }
            while let Some((tag, body)) = self.inbox.next()? {
                match tag {
                    b'D' => {
                        rows.row(body)?;
                        stats.rows += 1;
                        stats.last_row = read_at;
                    }
                    b'C' => {
                        stats.affected = affected(body);
                        // Of several statements sent at once, the last one's rows are kept, and it may have none.
                        if simple && !std::mem::take(&mut has_columns) {
                            rows.forget();
                        }
                        if stats.rows == 0 {
                            stats.last_row = read_at;
                        }
                    }
                    b'Z' => {
                        self.session.ready(body)?;
                        stats.done = read_at;
                        self.last_done = read_at;
                        self.inbox.rest();
                        return failure.map_or(Ok(stats), |error| Err(WireError::Db(error)));
                    }
                    b'E' => {
                        let error = Box::new(DbError::parse(body)?);
                        if error.severity == Severity::Fatal {
                            return Err(WireError::Db(error));
                        }
                        failure.get_or_insert(error);
                    }
                    // Answers to Parse, Bind and Close, "no data", the empty query, and the data of a COPY to the client.
                    b'1' | b'2' | b'3' | b'n' | b'I' | b'H' | b'd' | b'c' => {}
                    b't' | b'T' => {
                        has_columns = tag == b'T';
                        described(tag, body, &mut rows, &mut description)?;
                    }
                    b'N' | b'S' | b'A' => self.session.asynchronous(tag, body)?,
                    b'G' => refuse_copy(&mut self.stream, simple).await?,
                    other => return Err(unexpected(other, "a statement")),
                }
            }
        }
    }

    /// The type of a parameter; asks the catalogue about a type of an extension, once.
    async fn parameter_type(&mut self, oid: u32) -> Result<ParamType, WireError> {
        if oid < FIRST_NORMAL_OID {
            return Ok(ParamType::built_in(oid));
        }
        if let Some((_, known)) = self.types.iter().find(|(known, _)| *known == oid) {
            return Ok(*known);
        }
        // A domain is taken as what it is based on.
        let sql = format!(
            "select b.oid, b.typname, e.oid, e.typname from pg_catalog.pg_type t \
             join pg_catalog.pg_type b on b.oid = case when t.typtype = 'd' then t.typbasetype else t.oid end \
             left join pg_catalog.pg_type e on e.oid = b.typelem and b.typcategory = 'A' where t.oid = {oid}"
        );
        let mut answer = RowBuffer::new();
        self.begin_request()?;
        frontend::query(&sql, &mut self.out).map_err(|error| WireError::Invalid(error.to_string()))?;
        self.request(Rows::Collect(&mut answer), None).await?;
        let number = |column| answer.text(0, column).and_then(|text| text.parse::<u32>().ok());
        let base = number(0).unwrap_or(oid);
        let found = match (base < FIRST_NORMAL_OID, answer.text(0, 1)) {
            (true, _) => ParamType::built_in(base),
            (false, Some(name)) => ParamType::by_name(base, name, number(2).zip(answer.text(0, 3))),
            (false, None) => ParamType::Other(oid),
        };
        self.types.push((oid, found));
        Ok(found)
    }
}

/// Takes in a ParameterDescription or RowDescription.
fn described(tag: u8, body: &[u8], rows: &mut Rows<'_>, description: &mut Option<&mut Description>) -> Result<(), WireError> {
    match (tag, description) {
        (b't', Some(description)) => {
            let mut fields = Cursor::new(body, "ParameterDescription");
            for _ in 0..fields.u16()? {
                description.parameters.push(fields.u32()?);
            }
        }
        (b'T', Some(description)) => description.columns = columns(body)?,
        (b'T', None) => rows.columns(body)?,
        _ => return Err(unexpected(tag, "a statement")),
    }
    Ok(())
}

/// Ends a COPY from the client, which nobody here feeds: the server answers with an error. While in COPY it has ignored the Sync of an
/// execution, so another is due; after a simple query an extra Sync would be answered twice.
async fn refuse_copy(stream: &mut Stream, is_simple: bool) -> Result<(), WireError> {
    let mut out = BytesMut::new();
    let written = frontend::copy_fail("load connections do not feed COPY; use INSERT", &mut out);
    written.map_err(|error| WireError::Invalid(error.to_string()))?;
    if !is_simple {
        frontend::sync(&mut out);
    }
    stream.send(&out).await.map_err(WireError::io("refusing a COPY"))
}

/// The count at the end of a command tag such as `INSERT 0 5`; 0 if there is none.
fn affected(tag: &[u8]) -> u64 {
    let tag = tag.strip_suffix(b"\0").unwrap_or(tag);
    let digits = tag.rsplit(|&byte| byte == b' ').next().unwrap_or_default();
    digits
        .iter()
        .try_fold(0_u64, |count, byte| match byte {
            b'0'..=b'9' => count.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
            _ => None,
        })
        .unwrap_or(0)
}
