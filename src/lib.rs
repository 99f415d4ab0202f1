//! pgduel: two schemas enter, the numbers decide.

pub mod compare;
pub mod dataset;
pub mod record;
pub mod scenario;
pub mod seed;
pub mod suite;
