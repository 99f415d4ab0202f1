//! How much disk a run will need, said before it is needed.

use std::path::Path;

use super::{Failure, out};
use crate::experiment::{self, Plan};
use crate::report::format::bytes;
use crate::target::Server;

/// Estimates from which a word is said, 2 GiB.
const WORTH_A_WORD: u64 = 2 << 30;

/// Whether to go on though the disk looks too small.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Consent {
    /// Refuse.
    Needed,
    /// `--yes`.
    Given,
}

/// Says how large the data will be, if it is large and not there yet, and refuses what the embedded server's disk cannot hold.
pub async fn check(plan: &Plan, copies: u64, server: &Server, consent: Consent) -> Result<(), Failure> {
    let mut need = Need { template: 0, copies, seeded: false };
    for overlays in experiment::overlay_sets(plan) {
        need.template = need.template.max(experiment::plan_dataset(plan, &overlays)?.estimated_bytes());
    }
    if need.total() < WORTH_A_WORD {
        return Ok(());
    }
    need.seeded = experiment::has_templates(plan, server).await?;
    let free = match server {
        Server::Embedded(server) => free_bytes(server.directory()),
        Server::External(_) => None,
    };
    out::say(&need.words(free));
    if free.is_some_and(|free| free < need.total()) && consent == Consent::Needed {
        let less = "use a smaller --scale or fewer --vectors, make room, point PGDUEL_HOME at a larger disk, or insist with --yes";
        return Err(Failure::Usage(format!("the data would not fit on the disk of the embedded server: {less}")));
    }
    Ok(())
}

/// Bytes that a run needs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Need {
    template: u64,
    copies: u64,
    /// Whether the template is there already.
    seeded: bool,
}

impl Need {
    fn total(self) -> u64 {
        let one = u64::from(!self.seeded);
        self.template.saturating_mul(self.copies.saturating_add(one))
    }

    fn words(self, free: Option<u64>) -> String {
        let free = free.map(|free| format!("; {} are free there", bytes(free as f64))).unwrap_or_default();
        let (template, total) = (bytes(self.template as f64), bytes(self.total() as f64));
        match self.seeded {
            true => format!("copies of the seeded data, {template} each, will take about {total}{free}"),
            false => format!("the seeded data will take about {template}, {total} with the copies that are loaded{free}"),
        }
    }
}

/// Free bytes of the disk that holds `directory`, as far as one may use them; `None` if the system does not tell.
fn free_bytes(directory: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(directory).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_count_and_do_not_overflow() {
        assert_eq!(Need { template: 10, copies: 2, seeded: false }.total(), 30);
        assert_eq!(Need { template: 10, copies: 2, seeded: true }.total(), 20);
        assert_eq!(Need { template: u64::MAX, copies: u64::MAX, seeded: false }.total(), u64::MAX);
        let words = Need { template: 3 << 30, copies: 2, seeded: false }.words(Some(1 << 30));
        assert_eq!(words, "the seeded data will take about 3.00 GiB, 9.00 GiB with the copies that are loaded; 1.00 GiB are free there");
    }

    #[test]
    fn a_disk_that_is_there_has_a_size() {
        assert!(free_bytes(Path::new("/")).is_some());
        assert_eq!(free_bytes(Path::new("/no/such/place")), None);
    }
}
