//! pgduel: two schemas enter, the numbers decide.
pub mod target;
