//! The transport: a Unix or TCP stream, perhaps with TLS.

use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::task::{Poll, ready};

use rustix::net::{self, RecvFlags, SendFlags};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpStream, UnixStream};

use super::error::WireError;
use super::frame::Inbox;
use super::target::{ConnectTarget, Host, SslMode};
use super::tls::TlsStream;

/// PostgreSQL's number for "may we speak TLS", sent in the place of a protocol version.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// A connected stream.
pub(super) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(TlsStream),
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

    /// Asks the server for TLS, as the mode wants it. Over a Unix socket there is none.
    pub(super) async fn secured(self, target: &ConnectTarget) -> Result<Stream, WireError> {
        let Stream::Tcp(mut tcp) = self else { return Ok(self) };
        if matches!(target.ssl_mode, SslMode::Disable | SslMode::Allow) {
            return Ok(Stream::Tcp(tcp));
        }
        let asking = WireError::io("asking for TLS");
        tcp.write_all(&SSL_REQUEST).await.map_err(asking)?;
        // A single byte, so that nothing is read that somebody slipped in before the encryption (CVE-2021-23222).
        let answer = tcp.read_u8().await.map_err(WireError::io("asking for TLS"))?;
        match (answer, target.ssl_mode) {
            (b'S', _) => {
                let host = match &target.host {
                    Host::Tcp(host) => host.as_str(),
                    Host::Unix(_) => "",
                };
                let name = target.certificate_name.as_deref().unwrap_or(host);
                Ok(Stream::Tls(TlsStream::greet(tcp, name, target).await?))
            }
            (b'N', SslMode::Prefer) => Ok(Stream::Tcp(tcp)),
            (b'N', _) => Err(WireError::Tls("the server does not speak it, and sslmode asks for it".to_owned())),
            (other, _) => Err(WireError::Protocol(format!("'{}' is no answer to a request for TLS", other.escape_ascii()))),
        }
    }

    /// Sends what is taken at once, and says how much that was; as a rule it is all. Nothing under TLS.
    pub(super) fn send_now(&self, bytes: &[u8]) -> io::Result<usize> {
        match self.try_send(bytes) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
            sent => sent,
        }
    }

    /// Sends all of `bytes`.
    pub(super) async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        if let Stream::Tls(stream) = self {
            return stream.send(bytes).await;
        }
        while !bytes.is_empty() {
            match self.try_send(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => match self {
                    Stream::Unix(stream) => stream.writable().await?,
                    Stream::Tcp(stream) => stream.writable().await?,
                    Stream::Tls(_) => {}
                },
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what there is into `inbox`; waits for something first. `Ok(0)` is the end of the stream.
    ///
    /// The event loop says when there is something, and nothing is read before: on a machine that generator and server fill, an answer
    /// is hardly ever there as soon as the request is sent, and a read that finds nothing costs a system call. Room is taken when there is
    /// something to read, and not for the time of waiting.
    pub(super) async fn receive(&mut self, inbox: &mut Inbox) -> io::Result<usize> {
        if let Stream::Tls(stream) = self {
            return stream.receive(inbox).await;
        }
        poll_fn(|context| {
            loop {
                ready!(match self {
                    Stream::Unix(stream) => stream.poll_read_ready(context),
                    Stream::Tcp(stream) => stream.poll_read_ready(context),
                    Stream::Tls(_) => Poll::Ready(Ok(())),
                })?;
                match self.try_receive(inbox.space()) {
                    Ok(count) => {
                        inbox.filled(count);
                        return Poll::Ready(Ok(count));
                    }
                    // The event loop was wrong, or a signal came.
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => inbox.rest(),
                    Err(error) => return Poll::Ready(Err(error)),
                }
            }
        })
        .await
    }

    /// The system call itself: the C library's would be a point where a thread can be cancelled, which is prepared for at each call.
    fn try_send(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::NOSIGNAL;
        match self {
            Stream::Unix(stream) => stream.try_io(Interest::WRITABLE, || Ok(net::send(stream, bytes, flags)?)),
            Stream::Tcp(stream) => stream.try_io(Interest::WRITABLE, || Ok(net::send(stream, bytes, flags)?)),
            Stream::Tls(_) => Ok(0),
        }
    }

    /// Likewise. A read that does not fill `room` has taken all there was: the event loop is told so, and not asked in vain.
    fn try_receive(&self, room: &mut [u8]) -> io::Result<usize> {
        let mut taken = 0;
        let size = room.len();
        let mut read = |result: rustix::io::Result<(usize, usize)>| {
            taken = result?.0;
            if (1..size).contains(&taken) { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
        };
        let result = match self {
            Stream::Unix(stream) => stream.try_io(Interest::READABLE, || read(net::recv(stream, room, RecvFlags::empty()))),
            Stream::Tcp(stream) => stream.try_io(Interest::READABLE, || read(net::recv(stream, room, RecvFlags::empty()))),
            Stream::Tls(_) => Ok(0),
        };
        match result {
            Err(_) if taken > 0 => Ok(taken),
            result => result,
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
