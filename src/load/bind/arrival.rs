//! One arrival, and the sequence numbers that arrivals come from.

use super::course::Course;
use crate::dataset::{Tenant, TenantClass, User, Value};

/// Bits of a sequence number that count arrivals within a block; the bits above tell blocks apart.
const SEQUENCE_BITS: u32 = 20;

/// Arrivals that one block can hold before it would run into the numbers of the next.
pub const SEQUENCES_PER_BLOCK: u64 = 1 << SEQUENCE_BITS;

/// What a range of sequence numbers is for. Ranges never overlap, so no warm-up ever replays what is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SequenceRange {
    /// The measured part of round `n`, all its blocks alike.
    Round(u32),
    /// Warm-up before block `n`.
    WarmUp(u32),
    /// Capacity probe `n`.
    Probe(u32),
    /// Checks before timing.
    Check(u32),
    /// Evidence: plans and function calls.
    Evidence(u32),
    /// Evidence: what the server counts of transaction `n`'s statements.
    Statistics(u32),
}

impl SequenceRange {
    /// First sequence number of the range.
    pub fn first(self) -> u64 {
        let (purpose, number) = match self {
            SequenceRange::Round(n) => (0, n),
            SequenceRange::WarmUp(n) => (1, n),
            SequenceRange::Probe(n) => (2, n),
            SequenceRange::Check(n) => (3, n),
            SequenceRange::Evidence(n) => (4, n),
            SequenceRange::Statistics(n) => (5, n),
        };
        // 22 bits of blocks for each purpose: four million blocks.
        (purpose << 42) | (u64::from(n22(number)) << SEQUENCE_BITS)
    }
}

fn n22(number: u32) -> u32 {
    number & 0x3f_ffff
}

/// What one arrival runs.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// Its number.
    pub sequence: u64,
    /// Position of its transaction in the scenario.
    pub transaction: usize,
    /// The tenant it is run for.
    pub tenant: Option<Tenant>,
    /// Size class of that tenant.
    pub class: TenantClass,
    /// Who runs it.
    pub actor: Actor,
    /// A value for each draw of the transaction, in order; then one for each slot of its script.
    pub values: Vec<Bound>,
    /// The way through its script.
    pub course: Option<Box<Course>>,
}

impl Arrival {
    /// Leaves one row of each drawn row set.
    pub fn keep_one_row(&mut self) {
        for value in &mut self.values {
            if let Bound::Rows(rows) = value {
                rows.truncate(1);
            }
        }
    }
}

/// Who runs a transaction.
#[derive(Clone, Debug, PartialEq)]
pub enum Actor {
    /// A signed-in user.
    User(User),
    /// Role anon.
    Anon,
    /// Role service_role.
    Service,
    /// The login role, no preamble.
    Login,
}

/// The value of a draw.
#[derive(Clone, Debug, PartialEq)]
pub enum Bound {
    /// One value.
    One(Value),
    /// Rows to insert, each a JSON object.
    Rows(Vec<String>),
    /// A value of any type in its text form, as pgbench sends all of them.
    Text(Box<str>),
}
