//! Buffers between two uses.
//!
//! A connection needs a buffer while it writes a request, and one while an answer comes. A thread writes one request at a time, and takes in
//! one answer at a time, so what it last laid down serves the next connection too, and is still in the processor's cache. A pair of buffers
//! for each of a hundred connections would not be.

use std::cell::RefCell;

use bytes::BytesMut;

/// Larger ones are let go, so that one long answer does not hold its memory for ever. In bytes.
const KEPT_BYTES: usize = 1 << 16;
/// More than are in use at once, but where answers come in pieces.
const KEPT: usize = 8;

thread_local! {
    static OUTGOING: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
    static INCOMING: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer for a request; empty.
pub(super) fn outgoing() -> BytesMut {
    OUTGOING.with_borrow_mut(Vec::pop).unwrap_or_else(|| BytesMut::with_capacity(1024))
}

/// Gives a request's buffer back.
pub(super) fn put_outgoing(mut buffer: BytesMut) {
    buffer.clear();
    if (1..=KEPT_BYTES).contains(&buffer.capacity()) {
        OUTGOING.with_borrow_mut(|kept| {
            if kept.len() < KEPT {
                kept.push(buffer)
            }
        });
    }
}

/// A buffer for an answer, if one is left over. Its length is what there is room for.
pub(super) fn incoming() -> Option<Vec<u8>> {
    INCOMING.with_borrow_mut(Vec::pop)
}

/// Gives an answer's buffer back.
pub(super) fn put_incoming(buffer: Vec<u8>) {
    if (1..=KEPT_BYTES).contains(&buffer.len()) {
        INCOMING.with_borrow_mut(|kept| {
            if kept.len() < KEPT {
                kept.push(buffer)
            }
        });
    }
}
