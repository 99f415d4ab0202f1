//! What load threads have in common, those of blocks and those of `pgduel pgbench`: they begin together, and tell of it if they fail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::JoinHandle;
use std::time::Instant;

use tokio::sync::{mpsc, watch};

/// Hears when the load begins. The sender is dropped if it never will.
pub type Start = watch::Receiver<Option<Instant>>;

/// Tells of each connection that it is ready, or why not.
pub type Ready<E> = mpsc::UnboundedSender<Result<(), E>>;

/// Waits for the load to begin; `None` if it never will.
pub async fn begin_of(started: &mut Start) -> Option<Instant> {
    *started.wait_for(Option::is_some).await.ok()?
}

/// Runs `work` on a thread of its own. If it comes to nothing or panics, `failed` is told, so that nobody waits for connections in vain.
pub fn spawn<T: Send + 'static, E: Send + 'static>(
    ready: Ready<E>,
    failed: E,
    work: impl FnOnce(&Ready<E>) -> Option<T> + Send + 'static,
) -> JoinHandle<Option<T>> {
    std::thread::spawn(move || {
        let result = catch_unwind(AssertUnwindSafe(|| work(&ready))).ok().flatten();
        if result.is_none() {
            let _ = ready.send(Err(failed));
        }
        result
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_fails_is_told_of() {
        let (ready, mut told) = mpsc::unbounded_channel();
        assert_eq!(spawn(ready.clone(), "failed", |_| Some(7)).join().unwrap(), Some(7));
        assert!(told.try_recv().is_err(), "nothing is to be told");
        assert_eq!(spawn(ready.clone(), "came to nothing", |_| None::<()>).join().unwrap(), None);
        assert_eq!(told.try_recv(), Ok(Err("came to nothing")));
        assert_eq!(spawn(ready, "panicked", |_| -> Option<()> { panic!("on purpose") }).join().unwrap(), None);
        assert_eq!(told.try_recv(), Ok(Err("panicked")));
    }
}
