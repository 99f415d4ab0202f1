//! The event loop of a load thread.
//!
//! A load thread has one thing to do: wait for many sockets, and give each answer to the one client that waits for it. A turn of tokio's
//! loop also looks after timers, signals and child processes, and hands each socket's news through two queues, which at eight connections
//! was a twentieth of all the processor time that the generator took. Here a turn is one wait of the operating system's, and the clients
//! that it has news for.
//!
//! What is not hot stays with tokio: names are resolved, connections opened and limits of time kept by the runtime that called, and what it
//! is done with wakes a client here like any other.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::watched::Reactor;

/// How often every task is polled, woken or not. What looks at the clock whenever it is polled needs no timer, as long as it may be late
/// by this much.
pub const TICK: Duration = Duration::from_millis(50);

/// What a thread runs: one for each of its connections, as a rule.
pub type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Runs tasks on this thread until all are done. `runtime` looks after everything but the descriptors that are [`Watched`](super::watched::Watched) in them. It must
/// not be this thread that drives it, and it must last as long.
///
/// Fails if the operating system refuses what the loop needs.
pub fn run(runtime: &Handle, tasks: Vec<Task<'_>>) -> io::Result<()> {
    let _runtime = runtime.enter();
    let reactor = Rc::new(Reactor::new()?);
    let _entered = reactor.clone().enter();
    let woken = Arc::new(Woken { state: Mutex::default(), alarm: reactor.alarm()? });
    let _ticking = Ticking(runtime.spawn(tick(woken.clone())).abort_handle());
    let mut running: Vec<_> = tasks.into_iter().enumerate().map(|(number, task)| Some(Running::new(task, number, &woken))).collect();
    let mut left = running.len();
    let mut due: Vec<usize> = (0..left).collect();
    loop {
        for number in due.drain(..) {
            let Some(slot) = running.get_mut(number) else { continue };
            if slot.as_mut().is_some_and(|task| task.poll().is_ready()) {
                *slot = None;
                left -= 1;
            }
        }
        if left == 0 {
            return Ok(());
        }
        let result = reactor.wait(if woken.may_sleep() { None } else { Some(Duration::ZERO) });
        // Before anybody is woken: on this thread that needs no alarm.
        woken.awake();
        result?;
        reactor.tell();
        if woken.take(&mut due) {
            due.clear();
            due.extend(0..running.len());
        }
    }
}

/// Ends ticking on drop.
struct Ticking(AbortHandle);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Has every task polled from time to time. A limit to each wait would do so too, at the price of a timer that is set each time.
async fn tick(woken: Arc<Woken>) {
    loop {
        tokio::time::sleep(TICK).await;
        woken.add(|state| state.all = true);
    }
}

/// A task that is not done.
struct Running<'a> {
    task: Task<'a>,
    call: Arc<Call>,
    waker: Waker,
}

impl<'a> Running<'a> {
    fn new(task: Task<'a>, number: usize, woken: &Arc<Woken>) -> Running<'a> {
        let call = Arc::new(Call { task: number, woken: woken.clone(), is_due: AtomicBool::new(true) });
        Running { task, waker: Waker::from(call.clone()), call }
    }

    fn poll(&mut self) -> Poll<()> {
        // Before it is polled, so that what wakes it meanwhile counts. A swap, as the poll must see what was done before a call that found it due.
        self.call.is_due.swap(false, Ordering::AcqRel);
        self.task.as_mut().poll(&mut Context::from_waker(&self.waker))
    }
}

/// Tasks that are to be polled.
#[derive(Debug)]
struct Woken {
    state: Mutex<WokenState>,
    alarm: mio::Waker,
}

#[derive(Debug, Default)]
struct WokenState {
    due: Vec<usize>,
    /// Whether it is all of them.
    all: bool,
    /// Whether the loop waits, or is about to, and must be told.
    asleep: bool,
}

/// How a task is woken.
#[derive(Debug)]
struct Call {
    task: usize,
    woken: Arc<Woken>,
    /// Whether it stands in the list already.
    is_due: AtomicBool,
}

impl Woken {
    /// Adds something to do. The alarm rings where the loop waits.
    fn add(&self, what: impl FnOnce(&mut WokenState)) {
        let rings = {
            let mut state = self.lock();
            what(&mut state);
            std::mem::take(&mut state.asleep)
        };
        if rings {
            #[cfg(test)]
            tests::RUNG.set(tests::RUNG.get() + 1);
            // It can only fail where the loop is gone.
            let _ = self.alarm.wake();
        }
    }

    /// Whether nothing is to be done; whatever comes from now on rings the alarm.
    fn may_sleep(&self) -> bool {
        let mut state = self.lock();
        state.asleep = state.due.is_empty() && !state.all;
        state.asleep
    }

    fn awake(&self) {
        self.lock().asleep = false;
    }

    /// Takes what is to be done; whether it is everything.
    fn take(&self, due: &mut Vec<usize>) -> bool {
        let mut state = self.lock();
        std::mem::swap(&mut state.due, due);
        std::mem::take(&mut state.all)
    }

    fn lock(&self) -> MutexGuard<'_, WokenState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Call {
    fn wake(self: Arc<Call>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Call>) {
        if !self.is_due.swap(true, Ordering::AcqRel) {
            self.woken.add(|state| state.due.push(self.task));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;
    use std::future::poll_fn;
    use std::time::Instant;

    use super::*;

    thread_local! {
        /// How often this thread rang an alarm.
        pub static RUNG: Cell<u32> = const { Cell::new(0) };
    }

    /// Runs a loop on this thread beside a runtime that has threads of its own.
    pub(crate) fn run_beside(tasks: Vec<Task<'_>>) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        run(runtime.handle(), tasks).unwrap();
    }

    #[test]
    fn tasks_are_woken_by_each_other_by_threads_and_by_the_runtime() {
        let (to_second, first) = tokio::sync::oneshot::channel();
        let (to_third, second) = tokio::sync::oneshot::channel();
        let done = Cell::new(0);
        let finished = || done.set(done.get() + 1);
        run_beside(vec![
            Box::pin(async {
                assert_eq!(second.await, Ok(2), "from the task after this one");
                finished();
            }),
            Box::pin(async {
                assert_eq!(first.await, Ok(1), "from another thread");
                to_third.send(2).unwrap();
                finished();
            }),
            Box::pin(async {
                std::thread::spawn(move || to_second.send(1));
                tokio::time::sleep(Duration::from_millis(3)).await;
                tokio::task::yield_now().await;
                tokio::task::spawn_blocking(|| ()).await.unwrap();
                finished();
            }),
        ]);
        assert_eq!(done.get(), 3);
    }

    #[test]
    fn a_task_that_nobody_wakes_is_polled_all_the_same() {
        let before = Instant::now();
        let begun = Cell::new(None);
        let polls = Cell::new(0);
        let watching_the_clock = poll_fn(|_| {
            polls.set(polls.get() + 1);
            let first = begun.get().unwrap_or_else(Instant::now);
            begun.set(Some(first));
            if first.elapsed() > 3 * TICK { Poll::Ready(()) } else { Poll::Pending }
        });
        run_beside(vec![Box::pin(watching_the_clock)]);
        // At first and at each tick; some may have come late, none too often.
        assert!((2..=1 + before.elapsed().as_millis() / TICK.as_millis()).contains(&polls.get()), "{} polls", polls.get());
    }
}
