//! TLS over a TCP stream, as libpq's `sslmode` asks for it.
//!
//! `require` encrypts and believes any certificate, `verify-ca` wants one of a known authority, `verify-full` one for the server's name as
//! well.

use std::future::poll_fn;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::error::WireError;
use super::frame::Inbox;
use super::stream::{Socket, receive, send};
use super::target::{ConnectTarget, SslMode};
use crate::load::watched::Taken;

/// A stream whose bytes are encrypted.
pub(super) struct TlsStream {
    socket: Socket,
    session: Box<ClientConnection>,
}

impl TlsStream {
    /// Greets a server that has agreed to TLS.
    pub(super) async fn greet(socket: Socket, name: &str, target: &ConnectTarget) -> Result<TlsStream, WireError> {
        let config = Arc::new(config(target)?);
        let server =
            ServerName::try_from(name.to_owned()).map_err(|_| tls(format!("\"{name}\" is no name that a certificate could be for")))?;
        let session = ClientConnection::new(config, server).map_err(tls)?;
        let mut stream = TlsStream { socket, session: Box::new(session) };
        while stream.session.is_handshaking() {
            stream.flush().await.map_err(WireError::io("beginning TLS"))?;
            if stream.session.is_handshaking() && stream.more().await.map_err(|error| tls(error.to_string()))? == 0 {
                return Err(WireError::Closed("the beginning of TLS"));
            }
        }
        stream.flush().await.map_err(WireError::io("beginning TLS"))?;
        Ok(stream)
    }

    pub(super) async fn send(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            // The session keeps as much as it has room for; the rest follows when that is on its way.
            let taken = self.session.writer().write(bytes)?;
            bytes = bytes.get(taken..).unwrap_or_default();
            self.flush().await?;
        }
        Ok(())
    }

    pub(super) async fn receive(&mut self, inbox: &mut Inbox) -> io::Result<usize> {
        loop {
            match self.session.reader().read(inbox.space()) {
                Ok(count) => {
                    inbox.filled(count);
                    return Ok(count);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                // A server that ends without a farewell has ended all the same.
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                Err(error) => return Err(error),
            }
            self.more().await?;
            self.flush().await?;
        }
    }

    /// Takes in what has come; waits if that is nothing. 0 is the end of the stream.
    async fn more(&mut self) -> io::Result<usize> {
        let TlsStream { socket, session } = self;
        let count = poll_fn(|context| {
            socket.0.poll_read(context, |fd| {
                let mut incoming = Incoming { fd, all: false };
                let bytes = session.read_tls(&mut incoming)?;
                Ok(Taken { bytes, all: incoming.all })
            })
        })
        .await?;
        session.process_new_packets().map_err(io::Error::other)?;
        Ok(count)
    }

    async fn flush(&mut self) -> io::Result<()> {
        let TlsStream { socket, session } = self;
        while session.wants_write() {
            poll_fn(|context| socket.0.poll_write(context, |fd| session.write_tls(&mut Outgoing(fd)))).await?;
        }
        Ok(())
    }
}

/// What comes, as the TLS session wants it: it says when it would have to wait.
struct Incoming<'a> {
    fd: BorrowedFd<'a>,
    /// Whether all that had come was taken in.
    all: bool,
}

impl Read for Incoming<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let taken = receive(self.fd, into)?;
        self.all = taken.all;
        Ok(taken.bytes)
    }
}

/// What goes, likewise.
struct Outgoing<'a>(BorrowedFd<'a>);

impl Write for Outgoing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        send(self.0, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn config(target: &ConnectTarget) -> Result<ClientConfig, WireError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifies = match target.ssl_mode {
        SslMode::VerifyCa | SslMode::VerifyFull => true,
        // As libpq does, for the sake of those who once relied on it.
        SslMode::Require => target.authorities.as_deref().is_some_and(Path::is_file),
        SslMode::Disable | SslMode::Allow | SslMode::Prefer => false,
    };
    let verifier = match verifies {
        true => {
            let authorities = Arc::new(authorities(target.authorities.as_deref())?);
            let known = WebPkiServerVerifier::builder_with_provider(authorities, provider.clone()).build().map_err(tls)?;
            Verifier { provider: provider.clone(), known: Some(known), any_name: target.ssl_mode != SslMode::VerifyFull }
        }
        false => Verifier { provider: provider.clone(), known: None, any_name: true },
    };
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(tls)?;
    Ok(config.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// Those whose certificates are believed.
fn authorities(file: Option<&Path>) -> Result<RootCertStore, WireError> {
    let mut store = RootCertStore::empty();
    let Some(file) = file else {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return match store.is_empty() {
            true => Err(tls("the system knows no certificate authority; name a file of them in PGSSLROOTCERT")),
            false => Ok(store),
        };
    };
    let unreadable = |error: &dyn std::fmt::Display| tls(format!("{}: {error}", file.display()));
    for certificate in CertificateDer::pem_file_iter(file).map_err(|error| unreadable(&error))? {
        store.add(certificate.map_err(|error| unreadable(&error))?).map_err(|error| unreadable(&error))?;
    }
    Ok(store)
}

/// As strict as the mode.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    /// Who knows the authorities; `None` if any certificate will do.
    known: Option<Arc<WebPkiServerVerifier>>,
    /// Whether it may be for another name.
    any_name: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(known) = &self.known else { return Ok(ServerCertVerified::assertion()) };
        match known.verify_server_cert(certificate, intermediates, server, ocsp, now) {
            // The chain is verified before the name.
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. }))
                if self.any_name =>
            {
                Ok(ServerCertVerified::assertion())
            }
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn tls(why: impl std::fmt::Display) -> WireError {
    WireError::Tls(why.to_string())
}
