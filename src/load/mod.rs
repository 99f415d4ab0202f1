//! Load: arrivals, parameters, sessions and their times.
//!
//! `schedule` turns an arrival process into intended starts, `bind` turns a sequence number into a tenant, an identity and parameters;
//! both are pure, so the two blocks of a pair replay the same work. `session` runs one transaction on one `wire` connection.
//! `block` puts them together: the `scheduler` hands arrivals to a FIFO of connections, each `worker` thread runs those of its own `one_by_one`, and
//! recorders note what became of each. `users` are a schedule that waits for its answers, and `busy` counts connections at work. `event_loop` is what a worker
//! thread waits in, `watched` what it waits for, and `patience` how long any of them waits for what may never come. `threads` starts and joins them.
//! `processor` reads what time the backends of the load took on processors.
//!
//! Nothing here compares, prints, or knows how many blocks there will be.

pub mod bind;
pub mod block;
mod busy;
pub mod captured;
pub mod event_loop;
pub mod identity;
pub mod network;
pub(crate) mod one_by_one;
pub mod patience;
pub mod pause;
mod priority;
mod processor;
pub mod program;
mod queue;
pub mod recorder;
pub mod schedule;
mod scheduler;
pub mod session;
mod steal;
#[cfg(test)]
mod theory_tests;
pub mod threads;
mod users;
pub mod watched;
pub mod wire;
mod worker;
