//! The event loop of a load thread.
//!
//! A load thread has one thing to do: wait for many sockets, and give each answer to the one client that waits for it. A turn of tokio's
//! loop also looks after timers, signals and child processes, and hands each socket's news through two queues, which at eight connections
//! was a twentieth of all the processor time that the generator took. Here a turn is one wait of the operating system's, and the clients
//! that it has news for.
//!
//! What is not hot stays with tokio: names are resolved, connections opened and limits of time kept by the runtime that called, and what it
//! is done with wakes a client here like any other.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker, ready};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Token};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

/// How often every task is polled, woken or not. What looks at the clock whenever it is polled needs no timer, as long as it may be late
/// by this much.
pub const TICK: Duration = Duration::from_millis(50);

/// Events that one wait brings at most; others come with the next.
const EVENTS: usize = 256;

/// Reads in a row that fill their room, before other tasks have their turn.
const READS: u32 = 16;

/// The token of wake-ups from other threads; those of descriptors count from 0.
const WOKEN: Token = Token(usize::MAX);

/// What a thread runs: one for each of its connections, as a rule.
pub type Task<'a> = Pin<Box<dyn Future<Output = ()> + 'a>>;

/// Runs tasks on this thread until all are done. `runtime` looks after everything but the descriptors that are [`Watched`] in them. It must
/// not be this thread that drives it, and it must last as long.
///
/// Fails if the operating system refuses what the loop needs.
pub fn run(runtime: &Handle, tasks: Vec<Task<'_>>) -> io::Result<()> {
    let _runtime = runtime.enter();
    let reactor = Rc::new(Reactor::new()?);
    let _entered = reactor.clone().enter();
    let woken = Arc::new(Woken { state: Mutex::default(), alarm: mio::Waker::new(reactor.poll.borrow().registry(), WOKEN)? });
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
        reactor.wait(&woken)?;
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

thread_local! {
    /// The loop that runs on this thread.
    static CURRENT: RefCell<Option<Rc<Reactor>>> = const { RefCell::new(None) };
}

/// What waits for descriptors.
struct Reactor {
    poll: RefCell<mio::Poll>,
    events: RefCell<Events>,
    /// By token.
    watched: RefCell<Vec<Option<Rc<News>>>>,
}

/// What is known of a descriptor, and who waits for it.
#[derive(Default)]
struct News {
    token: usize,
    readable: Cell<bool>,
    /// The other end writes no more: it stays readable.
    ended: Cell<bool>,
    /// Reads since it was last empty.
    reads: Cell<u32>,
    /// Whether it is to be told of when there is room to write, too. Not before that was missing: a server that reads from a Unix socket
    /// makes room each time.
    awaits_room: Cell<bool>,
    reader: RefCell<Option<Waker>>,
    writer: RefCell<Option<Waker>>,
}

/// Resets [`CURRENT`] on drop.
struct Entered(Option<Rc<Reactor>>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

impl Reactor {
    fn new() -> io::Result<Reactor> {
        Ok(Reactor {
            poll: RefCell::new(mio::Poll::new()?),
            events: RefCell::new(Events::with_capacity(EVENTS)),
            watched: RefCell::default(),
        })
    }

    fn enter(self: Rc<Reactor>) -> Entered {
        Entered(CURRENT.replace(Some(self)))
    }

    /// Waits for news, unless there is something to do already.
    fn wait(&self, woken: &Woken) -> io::Result<()> {
        let longest = if woken.may_sleep() { None } else { Some(Duration::ZERO) };
        let result = self.poll.borrow_mut().poll(&mut self.events.borrow_mut(), longest);
        woken.awake();
        match result {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Wakes those who wait for the news that came.
    fn tell(&self) {
        let events = self.events.borrow();
        let watched = self.watched.borrow();
        for event in events.iter() {
            // Not so for the alarm, which has done its work.
            let Some(Some(news)) = watched.get(event.token().0) else { continue };
            if event.is_readable() || event.is_read_closed() || event.is_error() {
                news.readable.set(true);
                news.ended.set(news.ended.get() || event.is_read_closed() || event.is_error());
                wake(&news.reader);
            }
            if event.is_writable() || event.is_write_closed() || event.is_error() {
                wake(&news.writer);
            }
        }
    }

    fn watch(&self, fd: BorrowedFd<'_>) -> io::Result<Rc<News>> {
        let mut watched = self.watched.borrow_mut();
        let token = watched.iter().position(Option::is_none).unwrap_or(watched.len());
        self.poll.borrow().registry().register(&mut SourceFd(&fd.as_raw_fd()), Token(token), Interest::READABLE)?;
        let news = Rc::new(News { token, ..News::default() });
        match watched.get_mut(token) {
            Some(slot) => *slot = Some(news.clone()),
            None => watched.push(Some(news.clone())),
        }
        Ok(news)
    }

    /// Changes whether there is to be news of room.
    fn await_room(&self, fd: BorrowedFd<'_>, news: &News, awaits: bool) -> io::Result<()> {
        let interest = if awaits { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.poll.borrow().registry().reregister(&mut SourceFd(&fd.as_raw_fd()), Token(news.token), interest)?;
        news.awaits_room.set(awaits);
        Ok(())
    }

    fn forget(&self, fd: BorrowedFd<'_>, news: &News) {
        // It can only fail where there is nothing to forget.
        let _ = self.poll.borrow().registry().deregister(&mut SourceFd(&fd.as_raw_fd()));
        if let Some(slot) = self.watched.borrow_mut().get_mut(news.token) {
            *slot = None;
        }
    }
}

/// Wakes who waits; he stays noted, as he will wait again.
fn wake(waker: &RefCell<Option<Waker>>) {
    if let Some(waker) = &*waker.borrow() {
        waker.wake_by_ref();
    }
}

fn note_waiter(waiting: &RefCell<Option<Waker>>, context: &Context<'_>) {
    let mut waiting = waiting.borrow_mut();
    match &mut *waiting {
        Some(waker) => waker.clone_from(context.waker()),
        none => *none = Some(context.waker().clone()),
    }
}

/// A descriptor that can be waited for: by the loop of the load thread on which it was made, elsewhere by tokio.
///
/// It must not block. One task reads and one writes at a time.
pub struct Watched(By);

enum By {
    Loop { fd: OwnedFd, news: Rc<News>, reactor: Rc<Reactor> },
    Tokio(AsyncFd<OwnedFd>),
}

/// What a read took in.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// So many bytes.
    pub bytes: usize,
    /// Whether that was all there is, so that looking again is of no use until there is news.
    pub all: bool,
}

impl Watched {
    /// Watches a descriptor from now on. Fails if the operating system cannot, or if there is neither loop nor runtime.
    pub fn new(fd: OwnedFd) -> io::Result<Watched> {
        let Some(reactor) = CURRENT.with_borrow(Clone::clone) else {
            Handle::try_current().map_err(io::Error::other)?;
            // What is wrong with it concerns types that change or close their descriptor; an owned one does neither, and the way that
            // replaces it is unsafe.
            #[allow(deprecated)]
            return Ok(Watched(By::Tokio(AsyncFd::new(fd)?)));
        };
        let news = reactor.watch(fd.as_fd())?;
        Ok(Watched(By::Loop { fd, news, reactor }))
    }

    /// Reads when there is something to read, and not before. A `read` that finds nothing says so with [`ErrorKind::WouldBlock`].
    pub fn poll_read(
        &self,
        context: &mut Context<'_>,
        mut read: impl FnMut(BorrowedFd<'_>) -> io::Result<Taken>,
    ) -> Poll<io::Result<usize>> {
        let is_empty = |result: &io::Result<Taken>| match result {
            Ok(taken) => taken.all,
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        };
        loop {
            let result = match &self.0 {
                By::Loop { fd, news, .. } => {
                    if !news.readable.get() {
                        note_waiter(&news.reader, context);
                        return Poll::Pending;
                    }
                    if news.reads.get() == READS {
                        news.reads.set(0);
                        context.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                    let result = read(fd.as_fd());
                    match is_empty(&result) {
                        true => {
                            news.readable.set(news.ended.get() && result.is_ok());
                            news.reads.set(0);
                        }
                        false => news.reads.set(news.reads.get() + 1),
                    }
                    result
                }
                By::Tokio(fd) => {
                    let mut guard = ready!(fd.poll_read_ready(context))?;
                    let result = read(fd.as_fd());
                    if is_empty(&result) {
                        guard.clear_ready();
                    }
                    result
                }
            };
            match result {
                // The loop was wrong, or a signal came.
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                result => return Poll::Ready(result.map(|taken| taken.bytes)),
            }
        }
    }

    /// Writes at once what is taken at once; waits if that is nothing.
    pub fn poll_write(
        &self,
        context: &mut Context<'_>,
        mut write: impl FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let result = match &self.0 {
                By::Loop { fd, news, reactor } => match write(fd.as_fd()) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        note_waiter(&news.writer, context);
                        if !news.awaits_room.get() {
                            // There is news of room that came meanwhile too.
                            reactor.await_room(fd.as_fd(), news, true)?;
                        }
                        return Poll::Pending;
                    }
                    result => {
                        if news.awaits_room.get() {
                            reactor.await_room(fd.as_fd(), news, false)?;
                        }
                        result
                    }
                },
                By::Tokio(fd) => {
                    let mut guard = ready!(fd.poll_write_ready(context))?;
                    match guard.try_io(|fd| write(fd.as_fd())) {
                        Ok(result) => result,
                        Err(_) => continue,
                    }
                }
            };
            match result {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                result => return Poll::Ready(result),
            }
        }
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.0 {
            By::Loop { fd, .. } => fd.as_fd(),
            By::Tokio(fd) => fd.get_ref().as_fd(),
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let By::Loop { fd, news, reactor } = &self.0 {
            reactor.forget(fd.as_fd(), news);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    use super::*;

    /// A stream of bytes whose ends are watched, with room for so little that writers have to wait.
    fn pair() -> (Watched, Watched) {
        let (a, b) = UnixStream::pair().unwrap();
        rustix::net::sockopt::set_socket_send_buffer_size(&a, 4096).unwrap();
        let watched = |stream: UnixStream| {
            stream.set_nonblocking(true).unwrap();
            Watched::new(stream.into()).unwrap()
        };
        (watched(a), watched(b))
    }

    async fn write_all(to: &Watched, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let written = poll_fn(|context| to.poll_write(context, |fd| Ok(rustix::io::write(fd, bytes)?))).await.unwrap();
            bytes = &bytes[written..];
        }
    }

    async fn read_all(from: &Watched) -> Vec<u8> {
        let (mut all, mut room) = (Vec::new(), [0; 1000]);
        loop {
            let read = |fd: BorrowedFd<'_>, room: &mut [u8]| {
                let bytes = rustix::io::read(fd, &mut *room)?;
                Ok(Taken { bytes, all: (1..room.len()).contains(&bytes) })
            };
            let count = poll_fn(|context| from.poll_read(context, |fd| read(fd, &mut room))).await.unwrap();
            if count == 0 {
                return all;
            }
            all.extend_from_slice(&room[..count]);
        }
    }

    /// Two tasks; one sends more than the other's buffer takes, then closes.
    async fn a_megabyte_comes_through() {
        let (to, from) = pair();
        let sent: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
        let sending = async {
            write_all(&to, &sent).await;
            drop(to);
        };
        let ((), received) = tokio::join!(sending, read_all(&from));
        assert!(received == sent, "{} bytes came", received.len());
    }

    /// Runs a loop on this thread beside a runtime that has threads of its own.
    fn run_beside(tasks: Vec<Task<'_>>) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        run(runtime.handle(), tasks).unwrap();
    }

    #[test]
    fn descriptors_are_read_and_written_when_they_can_be() {
        run_beside(vec![Box::pin(a_megabyte_comes_through()), Box::pin(a_megabyte_comes_through())]);
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(a_megabyte_comes_through());
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
        let begun = Instant::now();
        let polls = Cell::new(0);
        let watching_the_clock = poll_fn(|_| {
            polls.set(polls.get() + 1);
            if begun.elapsed() > 3 * TICK { Poll::Ready(()) } else { Poll::Pending }
        });
        run_beside(vec![Box::pin(watching_the_clock)]);
        // At first and at each tick; some may have come late, none too often.
        assert!((2..=1 + begun.elapsed().as_millis() / TICK.as_millis()).contains(&polls.get()), "{} polls", polls.get());
    }

    #[test]
    fn what_waits_costs_no_polls_and_places_are_used_again() {
        let polls = Cell::new(0_u32);
        run_beside(vec![Box::pin(async {
            for round in 0..100_u32 {
                let (mut ours, theirs) = UnixStream::pair().unwrap();
                theirs.set_nonblocking(true).unwrap();
                let theirs = Watched::new(theirs.into()).unwrap();
                let By::Loop { news, .. } = &theirs.0 else { panic!("made on a thread with a loop") };
                assert_eq!(news.token, 0, "the only one");
                ours.write_all(&round.to_be_bytes()).unwrap();
                let mut room = [0; 8];
                let reading = poll_fn(|context| {
                    polls.set(polls.get() + 1);
                    theirs.poll_read(context, |fd| Ok(Taken { bytes: rustix::io::read(fd, &mut room)?, all: true }))
                });
                assert_eq!(reading.await.unwrap(), 4);
                assert_eq!(room[..4], round.to_be_bytes());
                write_all(&theirs, b"x").await;
                ours.read_exact(&mut room[..1]).unwrap();
            }
        })]);
        // Once in vain and once with success, a tick now and then.
        assert!((100..300).contains(&polls.get()), "{} polls", polls.get());
    }

    #[test]
    fn who_always_finds_something_lets_others_have_their_turn() {
        const BYTES: usize = 1_000;
        let reads = Cell::new(0);
        let most_at_once = Cell::new(0);
        run_beside(vec![
            Box::pin(async {
                let (mut to, from) = UnixStream::pair().unwrap();
                from.set_nonblocking(true).unwrap();
                to.write_all(&[7; BYTES]).unwrap();
                let from = Watched::new(from.into()).unwrap();
                let read = |fd: BorrowedFd<'_>| Ok(Taken { bytes: rustix::io::read(fd, &mut [0; 1])?, all: false });
                for _ in 0..BYTES {
                    poll_fn(|context| from.poll_read(context, read)).await.unwrap();
                    reads.set(reads.get() + 1);
                }
            }),
            Box::pin(async {
                while reads.get() < BYTES {
                    let before = reads.get();
                    tokio::task::yield_now().await;
                    most_at_once.set(most_at_once.get().max(reads.get() - before));
                }
            }),
        ]);
        assert!((1..=READS as usize).contains(&most_at_once.get()), "{} reads at once", most_at_once.get());
    }

    #[test]
    fn what_was_dropped_is_heard_of_no_more() {
        let (to, from) = UnixStream::pair().unwrap();
        from.set_nonblocking(true).unwrap();
        run_beside(vec![Box::pin(async {
            let watched = Watched::new(from.into()).unwrap();
            (&to).write_all(b"news").unwrap();
            drop(watched);
            tokio::time::sleep(Duration::from_millis(3)).await;
            assert_eq!((&to).write(b"more").unwrap_err().kind(), ErrorKind::BrokenPipe);
        })]);
        assert!(CURRENT.with_borrow(Option::is_none), "the loop has left its thread");
    }
}
