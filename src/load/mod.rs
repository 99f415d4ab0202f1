//! The load engine: what runs transactions against a server and times them.
//!
//! Owns the hot path. It takes prepared decisions (which statement, which values, when) and returns timestamps, row counts and
//! digests; it must not know how values are drawn, what a scenario file looks like, or how anything is judged.

pub mod network;
pub mod wire;
