//! pgduel: two schemas enter, the numbers decide.
