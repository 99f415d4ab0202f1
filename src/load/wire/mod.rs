//! The hot-path connection: PostgreSQL's protocol 3.0, made for measuring.
//!
//! Owns one socket. Takes a [`ConnectTarget`], prepared statements and encoded [`Params`]; returns [`ExecStats`] with the times of each
//! round trip, and the rows as the caller wants them ([`Rows`]): counted, digested undecoded, or copied. It must not know about pools,
//! schedules, scenarios or retries. Set-up, seeding and checks go through sqlx; this layer exists because on short statements
//! the generator's own cost is part of what is measured.
//!
//! What makes it cheap: statements are prepared once; an execution is one Bind, Execute and Sync in one system call, and so one
//! round trip and one Sync, without the Describe that libpq adds; buffers are reused, by all connections of a thread, and nothing is allocated
//! in the steady state; nothing is read before the event loop says that there is something.
//!
//! Not here: COPY, LISTEN (notifications are ignored), GSSAPI, certificates of the client, binding of SCRAM to the channel.

mod connection;
mod error;
mod frame;
mod handshake;
mod params;
mod request;
mod rows;
mod spare;
mod stream;
mod target;
mod tls;
mod types;

pub use connection::{CONNECT_LIMIT, Connection, ExecStats, Prepared, TransactionStatus};
pub use error::{DbError, Severity, SqlState, WireError};
pub use params::{BindError, Format, Params};
pub use rows::{ColumnDescription, Digest, RowBuffer, Rows};
pub use stream::CancelToken;
pub use target::{ConnectTarget, Host, Password, SslMode};
pub use types::{ParamType, Scalar};
