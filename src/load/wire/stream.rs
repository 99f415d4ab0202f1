//! The transport: a Unix or TCP stream, perhaps with TLS.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{self, RecvFlags, SendFlags};
use tokio::net::{TcpStream, UnixStream};

use super::error::WireError;
use super::frame::Inbox;
use super::target::{ConnectTarget, Host, SslMode};
use super::tls::TlsStream;
use crate::load::watched::{Taken, Watched};

/// PostgreSQL's number for "may we speak TLS", sent in the place of a protocol version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A connected stream.
pub(super) enum Stream {
    Plain(Socket),
    Tls(TlsStream),
}

impl Stream {
    pub(super) async fn connect(host: &Host, port: u16) -> Result<Stream, WireError> {
        let (doing, connected) = match host {
            Host::Unix(directory) => {
                let path = directory.join(format!(".s.PGSQL.{port}"));
                let doing = format!("connecting to the socket {}", path.display());
                let connected = UnixStream::connect(path).await;
                (doing, connected.and_then(UnixStream::into_std).map(OwnedFd::from))
            }
            Host::Tcp(name) => {
                let connected = TcpStream::connect((name.as_str(), port)).await;
                let unbuffered = connected.and_then(|stream| stream.set_nodelay(true).map(|()| stream));
                (format!("connecting to {name}:{port}"), unbuffered.and_then(TcpStream::into_std).map(OwnedFd::from))
            }
        };
        // Handed to the loop that will wait for it: as a rule another one than that which opens it.
        connected.and_then(Watched::new).map(|socket| Stream::Plain(Socket(socket))).map_err(WireError::io(doing))
    }

    /// Asks the server for TLS, as the mode wants it. Over a Unix socket there is none.
    pub(super) async fn secured(self, target: &ConnectTarget) -> Result<Stream, WireError> {
        let Host::Tcp(host) = &target.host else { return Ok(self) };
        let socket = match self {
            Stream::Plain(socket) if !matches!(target.ssl_mode, SslMode::Disable | SslMode::Allow) => socket,
            stream => return Ok(stream),
        };
        socket.send(&SSL_REQUEST).await.map_err(WireError::io("asking for TLS"))?;
        // A single byte, so that nothing is read that somebody slipped in before the encryption (CVE-2021-23222).
        let mut answer = [0];
        if socket.receive(&mut answer).await.map_err(WireError::io("asking for TLS"))? == 0 {
            return Err(WireError::Closed("a request for TLS"));
        }
        match (answer, target.ssl_mode) {
            ([b'S'], _) => {
                let name = target.certificate_name.as_deref().unwrap_or(host);
                Ok(Stream::Tls(TlsStream::greet(socket, name, target).await?))
            }
            ([b'N'], SslMode::Prefer) => Ok(Stream::Plain(socket)),
            ([b'N'], _) => Err(WireError::Tls("the server does not speak it, and sslmode asks for it".to_owned())),
            (other, _) => Err(WireError::Protocol(format!("'{}' is no answer to a request for TLS", other.escape_ascii()))),
        }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self, Stream::Tls(_))
    }

    /// Sends what is taken at once, and says how much that was; as a rule it is all. Nothing under TLS.
    pub(super) fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        let Stream::Plain(socket) = self else { return Ok(0) };
        match send(socket.0.as_fd(), bytes) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            sent => sent,
        }
    }

    /// Sends all of `bytes`.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Stream::Plain(socket) => socket.send(bytes).await,
            Stream::Tls(stream) => stream.send(bytes).await,
        }
    }

    /// Reads what there is into `inbox`; waits for something first. `Ok(0)` is the end of the stream.
    ///
    /// The event loop says when there is something, and nothing is read before: on a machine that generator and server fill, an answer
    /// is hardly ever there as soon as the request is sent, and a read that finds nothing costs a system call. Room is taken when there is
    /// something to read, and not for the time of waiting.
    pub(super) async fn receive(&mut self, inbox: &mut Inbox) -> io::Result<usize> {
        let socket = match self {
            Stream::Plain(socket) => socket,
            Stream::Tls(stream) => return stream.receive(inbox).await,
        };
        poll_fn(|context| {
            socket.0.poll_read(context, |fd| {
                let taken = receive(fd, inbox.space());
                match &taken {
                    Ok(taken) => inbox.filled(taken.bytes),
                    Err(_) => inbox.rest(),
                }
                taken
            })
        })
        .await
    }
}

/// A socket without anything around it.
pub(super) struct Socket(pub(super) Watched);

impl Socket {
    /// Sends all of `bytes`.
    pub(super) async fn send(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match poll_fn(|context| self.0.poll_write(context, |fd| send(fd, bytes))).await? {
                0 => return Err(ErrorKind::WriteZero.into()),
                count => bytes = bytes.get(count..).unwrap_or_default(),
            }
        }
        Ok(())
    }

    /// Reads into `room`. 0 is the end of the stream.
    async fn receive(&self, room: &mut [u8]) -> io::Result<usize> {
        poll_fn(|context| self.0.poll_read(context, |fd| receive(fd, room))).await
    }
}

/// A peer that has gone is an error here and no signal. Where there is no such flag, what Rust does at the start of a program has to do: it
/// ignores the signal.
#[cfg(not(target_vendor = "apple"))]
const NO_SIGNAL: SendFlags = SendFlags::NOSIGNAL;
#[cfg(target_vendor = "apple")]
const NO_SIGNAL: SendFlags = SendFlags::empty();

/// The system call itself: the C library's would be a point where a thread can be cancelled, which is prepared for at each call.
pub(super) fn send(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    Ok(net::send(fd, bytes, NO_SIGNAL)?)
}

/// Likewise. A read that does not fill `room` has taken all there was.
pub(super) fn receive(fd: BorrowedFd<'_>, room: &mut [u8]) -> io::Result<Taken> {
    let size = room.len();
    let (bytes, _) = net::recv(fd, room, RecvFlags::empty())?;
    Ok(Taken { bytes, all: (1..size).contains(&bytes) })
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
        let mut stream = Stream::connect(&self.host, self.port).await?;
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
