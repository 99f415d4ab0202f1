//! The FIFO between arrivals and connections.
//!
//! One queue for all connections of all threads: an arrival goes to the connection that has been idle longest, or waits behind those
//! that came before it. This is the pool that is modelled and timed; splitting it by thread would make queues that real pools do not have.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// A FIFO of jobs with asynchronous takers. Takers are served in the order in which they began to wait.
#[derive(Debug)]
pub struct Queue<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    jobs: VecDeque<T>,
    /// Idle connections in the order they became idle; the number tells them apart.
    idle: VecDeque<(u64, Waker)>,
    next_taker: u64,
    closed: bool,
}

impl<T> Queue<T> {
    /// An empty, open queue.
    pub fn new() -> Queue<T> {
        Queue { state: Mutex::new(State { jobs: VecDeque::new(), idle: VecDeque::new(), next_taker: 0, closed: false }) }
    }

    /// Adds a job and wakes the connection that has been idle longest.
    pub fn push(&self, job: T) {
        let woken = {
            let mut state = self.lock();
            state.jobs.push_back(job);
            state.idle.pop_front()
        };
        if let Some((_, waker)) = woken {
            waker.wake();
        }
    }

    /// No further jobs will come: takers get what is left, then `None`.
    pub fn close(&self) {
        let idle = {
            let mut state = self.lock();
            state.closed = true;
            std::mem::take(&mut state.idle)
        };
        for (_, waker) in idle {
            waker.wake();
        }
    }

    /// Whether jobs wait.
    pub fn has_jobs(&self) -> bool {
        !self.lock().jobs.is_empty()
    }

    /// Takes away all jobs that nobody has taken, and closes.
    pub fn abandon(&self) -> VecDeque<T> {
        let left = std::mem::take(&mut self.lock().jobs);
        self.close();
        left
    }

    /// The next job; `None` once the queue is closed and empty.
    pub fn take(&self) -> Take<'_, T> {
        Take { queue: self, number: None }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Nothing that runs under the lock can leave the state half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for a job.
#[derive(Debug)]
pub struct Take<'a, T> {
    queue: &'a Queue<T>,
    number: Option<u64>,
}

impl<T> Future for Take<'_, T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut state = self.queue.lock();
        // We may be polled for another reason than a job, and keep our place then.
        let place = self.number.and_then(|number| state.idle.iter().position(|(other, _)| *other == number));
        if let Some(job) = state.jobs.pop_front() {
            // It would be woken in vain.
            place.map(|place| state.idle.remove(place));
            drop(state);
            self.number = None;
            return Poll::Ready(Some(job));
        }
        if state.closed {
            return Poll::Ready(None);
        }
        let waker = context.waker();
        match place.and_then(|place| state.idle.get_mut(place)) {
            Some((_, known)) => known.clone_from(waker),
            None => {
                let number = self.number.unwrap_or(state.next_taker);
                state.next_taker = state.next_taker.max(number + 1);
                state.idle.push_back((number, waker.clone()));
                drop(state);
                self.number = Some(number);
            }
        }
        Poll::Pending
    }
}

impl<T> Drop for Take<'_, T> {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        let mut state = self.queue.lock();
        let before = state.idle.len();
        state.idle.retain(|(other, _)| *other != number);
        // We were woken for a job and leave without it: the next idle connection must hear of it.
        let passed_on = if before == state.idle.len() && !state.jobs.is_empty() { state.idle.pop_front() } else { None };
        drop(state);
        if let Some((_, waker)) = passed_on {
            waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn who_is_polled_for_another_reason_keeps_his_place() {
        let queue = Queue::new();
        let mut context = Context::from_waker(Waker::noop());
        let (mut first, mut second) = (queue.take(), queue.take());
        for _ in 0..2 {
            assert_eq!(Pin::new(&mut second).poll(&mut context), Poll::Pending);
            assert_eq!(Pin::new(&mut first).poll(&mut context), Poll::Pending);
        }
        let order: Vec<u64> = queue.lock().idle.iter().map(|(number, _)| *number).collect();
        assert_eq!((order, second.number, first.number), (vec![0, 1], Some(0), Some(1)));
        queue.push("job");
        assert_eq!(queue.lock().idle.len(), 1, "the one that has waited longest is called");
        assert_eq!(Pin::new(&mut second).poll(&mut context), Poll::Ready(Some("job")));
    }

    #[tokio::test]
    async fn jobs_come_out_in_order_and_end_when_closed() {
        let queue = Queue::new();
        for job in 0..3 {
            queue.push(job);
        }
        queue.close();
        assert_eq!([queue.take().await, queue.take().await, queue.take().await], [Some(0), Some(1), Some(2)]);
        assert_eq!(queue.take().await, None);
    }

    #[tokio::test]
    async fn a_waiting_taker_that_gives_up_passes_its_job_on() {
        let queue = Arc::new(Queue::new());
        let mut first = Box::pin({
            let queue = queue.clone();
            async move { queue.take().await }
        });
        let second = tokio::spawn({
            let queue = queue.clone();
            async move { queue.take().await }
        });
        // The first is polled once, so it is the one that is woken.
        let mut idle = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut idle).is_pending());
        tokio::task::yield_now().await;
        queue.push(7);
        drop(first);
        assert_eq!(second.await.unwrap(), Some(7));
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_job_is_lost_or_doubled_between_threads() {
        let queue = Arc::new(Queue::new());
        let takers: Vec<_> = (0..8)
            .map(|_| {
                let queue = queue.clone();
                tokio::spawn(async move {
                    let mut taken = Vec::new();
                    while let Some(job) = queue.take().await {
                        taken.push(job);
                    }
                    taken
                })
            })
            .collect();
        for job in 0..10_000u32 {
            queue.push(job);
        }
        queue.close();
        let mut all = Vec::new();
        for taker in takers {
            all.extend(taker.await.unwrap());
        }
        all.sort_unstable();
        assert_eq!(all, (0..10_000).collect::<Vec<_>>());
    }
}
