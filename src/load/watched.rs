//! Descriptors that are waited for, by the event loop of a load thread or, elsewhere, by tokio.

use std::cell::{Cell, RefCell};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Token};
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;

/// Events that one wait brings at most; others come with the next.
const EVENTS: usize = 256;

/// Reads in a row that fill their room, before other tasks have their turn.
const READS: u32 = 16;

/// The token of the alarm; those of descriptors count from 0.
const ALARM: Token = Token(usize::MAX);

thread_local! {
    /// The loop that runs on this thread.
    static CURRENT: RefCell<Option<Rc<Reactor>>> = const { RefCell::new(None) };
}

/// What waits for descriptors.
pub(super) struct Reactor {
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
pub(super) struct Entered(Option<Rc<Reactor>>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

impl Reactor {
    pub(super) fn new() -> io::Result<Reactor> {
        Ok(Reactor {
            poll: RefCell::new(mio::Poll::new()?),
            events: RefCell::new(Events::with_capacity(EVENTS)),
            watched: RefCell::default(),
        })
    }

    pub(super) fn enter(self: Rc<Reactor>) -> Entered {
        Entered(CURRENT.replace(Some(self)))
    }

    /// What has a wait end from other threads.
    pub(super) fn alarm(&self) -> io::Result<mio::Waker> {
        mio::Waker::new(self.poll.borrow().registry(), ALARM)
    }

    /// Waits for news, as long as is said at most.
    pub(super) fn wait(&self, longest: Option<Duration>) -> io::Result<()> {
        match self.poll.borrow_mut().poll(&mut self.events.borrow_mut(), longest) {
            Err(error) if error.kind() != ErrorKind::Interrupted => Err(error),
            _ => Ok(()),
        }
    }

    /// Wakes those who wait for the news that came.
    pub(super) fn tell(&self) {
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

    use super::*;
    use crate::load::event_loop::tests::{RUNG, run_beside};

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

    #[test]
    fn descriptors_are_read_and_written_when_they_can_be() {
        run_beside(vec![Box::pin(a_megabyte_comes_through()), Box::pin(a_megabyte_comes_through())]);
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(a_megabyte_comes_through());
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
        assert_eq!(RUNG.get(), 0, "a loop needs no alarm for what it does itself");
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
