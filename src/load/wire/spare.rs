//! Buffers between two uses.
//!
//! A connection needs a buffer while it writes a request, and one while an answer comes. A thread writes one request at a time, and takes in
//! one answer at a time, so what it last laid down serves the next connection too, and is still in the processor's cache. A pair of buffers
//! for each of a hundred connections would not be.

use std::cell::RefCell;

use bytes::BytesMut;

/// More than are in use at once, except where answers come in pieces. Their size has no bound: batches of vectors take megabytes, each time.
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
    OUTGOING.with_borrow_mut(|kept| keep(kept, buffer));
}

/// A buffer for an answer, if one is left over. Its length is what there is room for.
pub(super) fn incoming() -> Option<Vec<u8>> {
    INCOMING.with_borrow_mut(Vec::pop)
}

/// Gives an answer's buffer back.
pub(super) fn put_incoming(buffer: Vec<u8>) {
    if !buffer.is_empty() {
        INCOMING.with_borrow_mut(|kept| keep(kept, buffer));
    }
}

fn keep<T>(kept: &mut Vec<T>, buffer: T) {
    if kept.len() < KEPT {
        kept.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_connection_gives_back_the_next_one_gets() {
        while incoming().is_some() {}
        let mut large = outgoing();
        large.extend_from_slice(&[7; 1 << 20]);
        put_outgoing(large);
        let again = outgoing();
        assert!(again.is_empty() && again.capacity() >= 1 << 20, "{}", again.capacity());
        assert_eq!(incoming(), None, "none was given back");
        put_incoming(Vec::new());
        assert_eq!(incoming(), None, "that was no buffer");
        put_incoming(vec![7; 100]);
        assert_eq!(incoming().map(|buffer| buffer.len()), Some(100));
    }

    #[test]
    fn no_more_are_kept_than_a_few() {
        for _ in 0..100 {
            put_incoming(vec![7; 100]);
        }
        assert_eq!(std::iter::from_fn(incoming).count(), KEPT);
    }
}
