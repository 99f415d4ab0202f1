//! Checks that come before timing: answers agree, and every identity sees what it must and nothing else.
//!
//! A faster wrong answer is a failure. Takes sessions on both variants and the dataset's model, returns [`crate::record::CheckRecord`]s.
//! What must be visible is worked out in Rust from the model (`visibility`), never by the SQL under test.

pub mod agreement;
pub mod answers;
pub mod identities;
pub mod isolation;
pub mod plan;
pub mod recall;
pub mod views;
pub mod visibility;
