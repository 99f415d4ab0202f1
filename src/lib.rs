//! pgduel: two schemas enter, the numbers decide.

pub mod dataset;
pub mod suite;
pub mod scenario;
pub mod record;
pub mod compare;
pub mod load;
