//! Start-up and authentication.

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256};
use postgres_protocol::message::frontend;

use super::connection::Session;
use super::error::{DbError, WireError};
use super::frame::{Cursor, Inbox};
use super::stream::Stream;
use super::target::{ConnectTarget, Host, Password};

/// The stream of a connection that is being made.
pub(super) struct Handshake<'a> {
    pub stream: &'a mut Stream,
    pub inbox: &'a mut Inbox,
    pub session: &'a mut Session,
    pub target: &'a ConnectTarget,
}

impl Handshake<'_> {
    /// From the start-up message to the first ReadyForQuery.
    pub(super) async fn run(&mut self) -> Result<(), WireError> {
        let target = self.target;
        let fixed = [
            ("user", target.user.as_str()),
            ("database", target.database.as_str()),
            ("application_name", target.application_name.as_str()),
            ("client_encoding", "UTF8"),
        ];
        let settings = target.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        self.send(|out| frontend::startup_message(fixed.into_iter().chain(settings), out)).await?;
        self.authenticate().await?;
        loop {
            let (tag, body) = self.message().await?;
            match tag {
                b'Z' => return self.session.ready(&body),
                b'K' => {
                    let mut fields = Cursor::new(&body, "BackendKeyData");
                    self.session.cancel.process_id = fields.i32()?;
                    self.session.cancel.secret_key = fields.i32()?;
                }
                other => return Err(unexpected(other, "start-up")),
            }
        }
    }

    async fn authenticate(&mut self) -> Result<(), WireError> {
        let mut scram: Option<ScramSha256> = None;
        let mut proven = false;
        loop {
            let (tag, body) = self.message().await?;
            if tag != b'R' {
                return Err(unexpected(tag, "authentication"));
            }
            let mut fields = Cursor::new(&body, "Authentication");
            match (fields.u32()?, &mut scram) {
                // A server that skips the end of SCRAM has not shown that it knows the password.
                (0, Some(_)) if !proven => return Err(refused("the server ended SCRAM without proving that it knows the password")),
                (0, _) => return Ok(()),
                (3, None) => {
                    if matches!(self.target.host, Host::Tcp(_)) && !self.stream.is_encrypted() {
                        return Err(refused(
                            "the server wants the password in the clear over the network; have it use scram-sha-256, or TLS",
                        ));
                    }
                    let password = self.password()?.clone();
                    self.send(|out| frontend::password_message(password.as_bytes(), out)).await?;
                }
                (5, None) => {
                    let salt = fields.u32()?.to_be_bytes();
                    let hash = md5_hash(self.target.user.as_bytes(), self.password()?.as_bytes(), salt);
                    self.send(|out| frontend::password_message(hash.as_bytes(), out)).await?;
                }
                (10, None) => {
                    let offered = fields.rest().split(|&byte| byte == 0).any(|name| name == SCRAM_SHA_256.as_bytes());
                    if !offered {
                        return Err(refused("the server offers no SASL mechanism but SCRAM-SHA-256 is spoken here"));
                    }
                    let begun = ScramSha256::new(self.password()?.as_bytes(), ChannelBinding::unsupported());
                    self.send(|out| frontend::sasl_initial_response(SCRAM_SHA_256, begun.message(), out)).await?;
                    scram = Some(begun);
                }
                (11, Some(scram)) => {
                    scram.update(fields.rest()).map_err(|error| refused(format!("SCRAM: {error}")))?;
                    self.send(|out| frontend::sasl_response(scram.message(), out)).await?;
                }
                (12, Some(scram)) => {
                    scram.finish(fields.rest()).map_err(|error| refused(format!("SCRAM: {error}")))?;
                    proven = true;
                }
                (method, _) => {
                    return Err(refused(format!("method {method} is not spoken here; scram-sha-256, md5, peer and trust are")));
                }
            }
        }
    }

    fn password(&self) -> Result<&Password, WireError> {
        let target = self.target;
        target.password.as_ref().ok_or_else(|| refused(format!("the server wants a password for \"{}\", and none was given", target.user)))
    }

    async fn send(&mut self, write: impl FnOnce(&mut BytesMut) -> std::io::Result<()>) -> Result<(), WireError> {
        let mut out = BytesMut::new();
        write(&mut out).map_err(|error| WireError::Invalid(format!("a start-up parameter or the password cannot be sent: {error}")))?;
        self.stream.send(&out).await.map_err(WireError::io("logging in"))
    }

    /// The next message that is neither a notice nor a parameter status.
    async fn message(&mut self) -> Result<(u8, Vec<u8>), WireError> {
        loop {
            while let Some((tag, body)) = self.inbox.next()? {
                match tag {
                    b'E' => return Err(WireError::Db(Box::new(DbError::parse(body)?))),
                    // What follows NegotiateProtocolVersion is the version that was asked for first.
                    b'N' | b'S' | b'A' | b'v' => self.session.asynchronous(tag, body)?,
                    _ => return Ok((tag, body.to_vec())),
                }
            }
            if self.stream.receive(self.inbox).await.map_err(WireError::io("logging in"))? == 0 {
                return Err(WireError::Closed("the login"));
            }
        }
    }
}

pub(super) fn unexpected(tag: u8, during: &str) -> WireError {
    WireError::Protocol(format!("unexpected message '{}' during {during}", tag.escape_ascii()))
}

fn refused(reason: impl Into<String>) -> WireError {
    WireError::Authentication(reason.into())
}
