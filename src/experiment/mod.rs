//! The experiment: from scenarios and a server to a record.

pub mod offer;
pub mod order;
