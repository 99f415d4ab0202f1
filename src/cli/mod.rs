//! One file per command: parse, call, print. No SQL, no arithmetic.

pub mod lint;
pub mod list;
