//! What load threads have in common, those of blocks and those of `pgduel pgbench`: they begin together, and tell of it if they fail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{mpsc, oneshot, watch};

/// Hears when the load begins. The sender is dropped if it never will.
pub type Start = watch::Receiver<Option<Instant>>;

/// Tells of each connection that it is ready, or why not.
pub type Ready<E> = mpsc::UnboundedSender<Result<(), E>>;

/// Waits for the load to begin; `None` if it never will.
pub async fn begin_of(started: &mut Start) -> Option<Instant> {
    *started.wait_for(Option::is_some).await.ok()?
}

/// A load thread, or none where the operating system has refused it.
pub struct LoadThread<T>(Option<JoinHandle<Option<T>>>);

impl<T> LoadThread<T> {
    /// Waits for its end. `None` if it failed, which was told then.
    fn join(self) -> Option<T> {
        self.0?.join().ok().flatten()
    }
}

/// Runs `work` on a thread of its own. If it comes to nothing or panics, or if there is no such thread, `failed` is told, so that nobody waits
/// for connections in vain.
pub fn spawn<T: Send + 'static, E: Send + 'static>(
    ready: Ready<E>,
    failed: fn() -> E,
    work: impl FnOnce(&Ready<E>) -> Option<T> + Send + 'static,
) -> LoadThread<T> {
    let told = ready.clone();
    let thread = start(move || {
        let result = catch_unwind(AssertUnwindSafe(|| work(&ready))).ok().flatten();
        if result.is_none() {
            let _ = ready.send(Err(failed()));
        }
        result
    });
    if thread.is_err() {
        let _ = told.send(Err(failed()));
    }
    LoadThread(thread.ok())
}

/// What all of them bring home, when all have ended; `None` if one failed. Waiting blocks, so it is left to a thread.
pub fn join_all<T: Send + 'static, E: Send + 'static>(
    threads: Vec<LoadThread<T>>,
    ready: Ready<E>,
    failed: E,
) -> oneshot::Receiver<Option<Vec<T>>> {
    let (done, results) = oneshot::channel();
    let joining = start(move || {
        let _ = done.send(threads.into_iter().map(LoadThread::join).collect());
    });
    if joining.is_err() {
        let _ = ready.send(Err(failed));
    }
    results
}

/// Starts a thread; fails if the operating system refuses it, where the standard library's usual way would panic.
pub fn start<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> std::io::Result<JoinHandle<T>> {
    std::thread::Builder::new().spawn(work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_thread_that_fails_is_told_of() {
        let (ready, mut told) = mpsc::unbounded_channel();
        let joined = |thread| join_all(vec![thread], ready.clone(), "no thread");
        assert_eq!(joined(spawn(ready.clone(), || "failed", |_| Some(7))).await, Ok(Some(vec![7])));
        assert!(told.try_recv().is_err(), "nothing is to be told");
        assert_eq!(joined(spawn(ready.clone(), || "came to nothing", |_| None)).await, Ok(None));
        assert_eq!(told.try_recv(), Ok(Err("came to nothing")));
        assert_eq!(joined(spawn(ready.clone(), || "panicked", |_| panic!("on purpose"))).await, Ok(None));
        assert_eq!(told.try_recv(), Ok(Err("panicked")));
    }
}
