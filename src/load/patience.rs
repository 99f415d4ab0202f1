//! How long a block waits for what may never come: a statement behind a lock, a server that went away.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::block::Shared;
use super::wire::Connection;

/// For the server to take a cancel request.
const CANCEL_LIMIT: Duration = Duration::from_secs(5);

/// How a block ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum BlockEnd {
    /// All its work was offered.
    Finished,
    /// The run was stopped.
    Interrupted,
    /// A connection was lost and could not be opened again while patience lasted.
    ServerGone {
        /// Why the last attempt failed.
        error: String,
    },
    /// A transaction of fixed work ran for longer than patience lasts, and was cancelled.
    Overrun {
        /// Patience with a transaction.
        limit: Duration,
    },
}

/// From when on nothing new is begun, and why.
#[derive(Debug)]
pub(super) struct Halted {
    at: Instant,
    pub(super) why: BlockEnd,
}

impl Shared {
    /// Ends the block before its time; the first reason counts.
    pub(super) fn halt(&self, why: BlockEnd) {
        let _ = self.halted.set(Halted { at: Instant::now(), why });
    }

    /// Whether the block ends before its time.
    pub(super) fn halted(&self) -> Option<&Halted> {
        if self.halted.get().is_none() && self.spec.stop.load(std::sync::atomic::Ordering::Relaxed) {
            self.halt(BlockEnd::Interrupted);
        }
        self.halted.get()
    }

    /// Longest that one transaction may take where no time ends the block, and the opening and the warming of a connection.
    pub(super) fn transaction_limit(&self) -> Duration {
        Duration::from_nanos(self.spec.load.limits.transaction_ns)
    }

    /// Whether nobody will take what is queued, because the server is gone.
    pub(super) fn is_deserted(&self) -> bool {
        matches!(self.halted.get(), Some(Halted { why: BlockEnd::ServerGone { .. }, .. }))
    }

    /// When to give up on what runs and is to end by `latest`.
    pub(super) fn last_moment(&self, latest: Instant) -> Instant {
        let limits = &self.spec.load.limits;
        self.halted().map_or(latest, |halted| {
            let drain_ns = if halted.why == BlockEnd::Interrupted { limits.stop_ns } else { limits.drain_ns };
            latest.min(halted.at + Duration::from_nanos(drain_ns))
        })
    }

    /// Drives `work` to its end; `None` if patience ends first: at `latest`, or a while after the block was halted, and at most a
    /// [`TICK`](super::event_loop::TICK) later, as it is the event loop that has it look.
    pub(super) async fn within<T>(&self, latest: Instant, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        poll_fn(|context| match work.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.last_moment(latest) <= Instant::now() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }
}

/// Leaves nothing running on the server: for a connection in the middle of a transaction that nobody waits for any more.
pub async fn cancel(connection: &Connection) {
    // A server that does not take it sees the connection closed as soon as it looks.
    let _ = tokio::time::timeout(CANCEL_LIMIT, connection.cancel_token().cancel()).await;
}
