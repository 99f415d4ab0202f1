//! Framing: the bytes that came, cut into messages, and a reader for the fields of one.
//!
//! Messages are borrowed from one reused buffer. (`postgres_protocol`'s own reader hands out reference-counted slices, at an
//! allocation a message.)

use super::error::WireError;
use super::spare;

/// Longest message that is accepted, in bytes. PostgreSQL's own limit for a value is 1 GiB.
const MESSAGE_LIMIT_BYTES: usize = 1 << 30;

/// First size of a buffer.
const INITIAL_BYTES: usize = 1024;

/// Size up to which the buffer grows whenever a read fills it, so that the next answer comes in fewer reads.
const EAGER_BYTES: usize = 64 * 1024;

/// What the server sent and nobody has read yet. It has a buffer of its own only from when something comes until it is all read
/// ([`Inbox::rest`]).
pub(super) struct Inbox {
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Inbox {
    pub(super) fn new() -> Inbox {
        Inbox { buffer: Vec::new(), start: 0, end: 0 }
    }

    /// Gives the buffer back if everything is read.
    pub(super) fn rest(&mut self) {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            spare::put_incoming(std::mem::take(&mut self.buffer));
        }
    }

    /// Room to read into; never empty. It grows with what has come, not with what a message claims to be, so that a hostile length costs
    /// no memory.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = spare::incoming().unwrap_or_else(|| vec![0; INITIAL_BYTES]);
        }
        let is_full = self.end == self.buffer.len();
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if is_full {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if is_full && (self.buffer.len() < EAGER_BYTES || self.end > self.buffer.len() / 2) {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        self.buffer.get_mut(self.end..).unwrap_or_default()
    }

    /// Says that `bytes` of [`Inbox::space`] were filled.
    pub(super) fn filled(&mut self, bytes: usize) {
        self.end = (self.end + bytes).min(self.buffer.len());
    }

    /// The next whole message, as its tag and body; `None` until it has all come.
    pub(super) fn next(&mut self) -> Result<Option<(u8, &[u8])>, WireError> {
        let pending = self.buffer.get(self.start..self.end).unwrap_or_default();
        let Some((&[tag, a, b, c, d], rest)) = pending.split_first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        if !(4..=MESSAGE_LIMIT_BYTES).contains(&length) {
            let tag = tag.escape_ascii();
            return Err(WireError::Protocol(format!(
                "message '{tag}' claims a length of {length} bytes; 4 to {MESSAGE_LIMIT_BYTES} are allowed"
            )));
        }
        let Some(body) = rest.get(..length - 4) else {
            return Ok(None);
        };
        self.start += length + 1;
        Ok(Some((tag, body)))
    }
}

/// Reads the fields of one message, and never past its end.
#[derive(Clone)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    message: &'static str,
}

impl<'a> Cursor<'a> {
    /// A reader for the body of the message called `message`.
    pub(super) fn new(body: &'a [u8], message: &'static str) -> Cursor<'a> {
        Cursor { rest: body, message }
    }

    /// What has not been read.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The error for a message that is not what it should be.
    pub(super) fn malformed(&self) -> WireError {
        WireError::Protocol(format!("{} is malformed", self.message))
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], WireError> {
        let (head, rest) = self.rest.split_at_checked(length).ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let (head, rest) = self.rest.split_first_chunk().ok_or_else(|| self.malformed())?;
        self.rest = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn i32(&mut self) -> Result<i32, WireError> {
        self.array().map(i32::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A string up to its terminating zero byte.
    pub(super) fn cstr(&mut self) -> Result<&'a [u8], WireError> {
        let length = self.rest.iter().position(|&byte| byte == 0).ok_or_else(|| self.malformed())?;
        let text = self.bytes(length)?;
        self.u8()?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(inbox: &mut Inbox, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = inbox.space();
            let taken = space.len().min(bytes.len());
            space[..taken].copy_from_slice(&bytes[..taken]);
            inbox.filled(taken);
            bytes = &bytes[taken..];
        }
    }

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let mut stream = Vec::new();
        for length in [0_usize, 1, 5, 20_000, 3] {
            stream.push(b'D');
            stream.extend((length as u32 + 4).to_be_bytes());
            stream.extend(std::iter::repeat_n(7, length));
        }
        for cut in [1, 4, 5, 1000, 100_000] {
            let mut inbox = Inbox::new();
            let mut lengths = Vec::new();
            for chunk in stream.chunks(cut) {
                put(&mut inbox, chunk);
                while let Some((tag, body)) = inbox.next().unwrap() {
                    assert_eq!(tag, b'D');
                    lengths.push(body.len());
                }
            }
            assert_eq!(lengths, [0, 1, 5, 20_000, 3], "cut {cut}");
        }
    }

    #[test]
    fn impossible_lengths_are_refused() {
        for length in [0_u32, 3, (1 << 30) + 1, u32::MAX] {
            let mut inbox = Inbox::new();
            put(&mut inbox, &[&b"D"[..], &length.to_be_bytes()].concat());
            assert!(matches!(inbox.next(), Err(WireError::Protocol(_))), "{length}");
        }
    }

    #[test]
    fn a_huge_claim_costs_no_memory() {
        let mut inbox = Inbox::new();
        put(&mut inbox, &[&b"D"[..], &(1_u32 << 30).to_be_bytes(), &[0; 100]].concat());
        assert!(inbox.next().unwrap().is_none());
        assert!(inbox.space().len() <= INITIAL_BYTES);
    }

    #[test]
    fn what_fills_it_makes_it_grow_and_what_does_not_leaves_it_small() {
        let message = |length: usize| [&b"D"[..], &(length as u32 + 4).to_be_bytes(), &vec![7; length]].concat();
        let mut inbox = Inbox::new();
        for _ in 0..1_000 {
            put(&mut inbox, &message(100));
            assert!(inbox.next().unwrap().is_some());
        }
        assert_eq!(inbox.buffer.len(), INITIAL_BYTES, "each of them fits");
        // As a socket gives what has come: all that there is room for, and it is taken out before the next read.
        let rows = message(100).repeat(5_000);
        let mut left = rows.as_slice();
        while !left.is_empty() {
            let count = inbox.space().len().min(left.len());
            put(&mut inbox, &left[..count]);
            left = &left[count..];
            while inbox.next().unwrap().is_some() {}
        }
        assert_eq!(inbox.buffer.len(), EAGER_BYTES, "none of the rows is large, but there are many");
    }
}
