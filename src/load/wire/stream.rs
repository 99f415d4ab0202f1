//! The transport: a Unix or TCP stream, with reads tried before they are waited for.

use std::io::{self, ErrorKind};

use tokio::net::{TcpStream, UnixStream};

use super::error::WireError;
use super::frame::Inbox;
use super::target::{ConnectTarget, Host};

/// A connected stream.
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Stream {
    pub(super) async fn connect(host: &Host, port: u16) -> Result<Stream, WireError> {
        match host {
            Host::Unix(directory) => {
                let path = directory.join(format!(".s.PGSQL.{port}"));
                let doing = format!("connecting to the socket {}", path.display());
                UnixStream::connect(path).await.map(Stream::Unix).map_err(WireError::io(doing))
            }
            Host::Tcp(name) => {
                let doing = format!("connecting to {name}:{port}");
                let stream = TcpStream::connect((name.as_str(), port)).await.map_err(WireError::io(doing))?;
                stream.set_nodelay(true).map_err(WireError::io("setting TCP_NODELAY"))?;
                Ok(Stream::Tcp(stream))
            }
        }
    }

    /// Sends all of `bytes`, as a rule in one system call.
    pub(super) async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = match self {
                Stream::Unix(stream) => stream.try_write(bytes),
                Stream::Tcp(stream) => stream.try_write(bytes),
            };
            match written {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => match self {
                    Stream::Unix(stream) => stream.writable().await?,
                    Stream::Tcp(stream) => stream.writable().await?,
                },
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what there is into `inbox`; waits only if there is nothing. `Ok(0)` is the end of the stream.
    ///
    /// The read comes first ("eager"), because an answer that is already there saves the trip through the event loop, and because
    /// going to sleep later keeps server and generator from waking each other for every message.
    pub(super) async fn receive(&self, inbox: &mut Inbox) -> io::Result<usize> {
        loop {
            let read = match self {
                Stream::Unix(stream) => stream.try_read(inbox.space()),
                Stream::Tcp(stream) => stream.try_read(inbox.space()),
            };
            match read {
                Ok(count) => {
                    inbox.filled(count);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => match self {
                    Stream::Unix(stream) => stream.readable().await?,
                    Stream::Tcp(stream) => stream.readable().await?,
                },
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// What is needed to cancel a connection's current statement from elsewhere.
#[derive(Clone, Eq, PartialEq)]
pub struct CancelToken {
    pub(super) host: Host,
    pub(super) port: u16,
    pub(super) process_id: i32,
    pub(super) secret_key: i32,
}

impl CancelToken {
    pub(super) fn new(target: &ConnectTarget) -> CancelToken {
        CancelToken { host: target.host.clone(), port: target.port, process_id: 0, secret_key: 0 }
    }

    /// Process id of the backend, as `pg_stat_activity` has it.
    pub fn process_id(&self) -> i32 {
        self.process_id
    }

    /// Asks the server to cancel the statement in progress, which then fails with SQLSTATE 57014, unless it ends first. Returns when the
    /// server has taken the request.
    pub async fn cancel(&self) -> Result<(), WireError> {
        let mut request = bytes::BytesMut::new();
        postgres_protocol::message::frontend::cancel_request(self.process_id, self.secret_key, &mut request);
        let stream = Stream::connect(&self.host, self.port).await?;
        stream.send(&request).await.map_err(WireError::io("sending a cancel request"))?;
        // The server answers by closing the connection, be it in order or by a reset.
        let _ = stream.receive(&mut Inbox::new()).await;
        Ok(())
    }
}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CancelToken {{ process_id: {}, secret_key: *** }}", self.process_id)
    }
}
