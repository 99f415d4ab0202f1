//! Processor time that this machine did not get: where it is a virtual one, its host may run others in its place. Generator and server then
//! stand still together, and nothing inside the machine is to blame.

/// Processor time of the whole machine since it started, in the kernel's ticks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ticks {
    /// Busy, idle or stolen.
    all: u64,
    /// Wanted here and given to others by the host.
    stolen: u64,
}

impl Ticks {
    /// Reads the clock. `None` where the system has none (it is Linux's).
    pub(super) fn now() -> Option<Ticks> {
        Ticks::parse(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// The line of all processors: user, nice, system, idle, iowait, irq, softirq, steal. What guests of this machine take, which stands behind
    /// them, is part of the first two. See `proc_stat(5)`.
    fn parse(text: &str) -> Option<Ticks> {
        let line = text.lines().find_map(|line| line.strip_prefix("cpu "))?;
        let fields: Vec<u64> = line.split_whitespace().take(8).map(|field| field.parse().ok()).collect::<Option<_>>()?;
        let stolen = *fields.get(7)?;
        Some(Ticks { all: fields.iter().fold(0, |sum, field| sum.saturating_add(*field)), stolen })
    }

    /// Share of the machine's processor time between `self` and the later `end` that was stolen; 0 where no tick has passed.
    pub(super) fn stolen_share(&self, end: &Ticks) -> f64 {
        let all = end.all.saturating_sub(self.all);
        end.stolen.saturating_sub(self.stolen) as f64 / (all.max(1) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_took_is_a_share_of_all_processors() {
        let before = Ticks::parse("cpu  100 10 20 800 5 0 5 60 100 0\ncpu0 1 2 3 4 5 6 7 8 9 0\n").unwrap();
        let after = Ticks::parse("cpu  160 10 40 900 5 0 5 80 160 0\n").unwrap();
        assert_eq!(before, Ticks { all: 1000, stolen: 60 });
        assert_eq!(before.stolen_share(&after), 0.1);
        assert_eq!(before.stolen_share(&before), 0.0);
    }

    #[test]
    fn a_kernel_that_does_not_tell_has_no_clock() {
        assert_eq!(Ticks::parse(""), None);
        assert_eq!(Ticks::parse("cpu  100 10 20 800\n"), None, "before 2.6.11");
        assert_eq!(Ticks::parse("cpu  100 10 20 800 5 0 5 many\n"), None);
        assert_eq!(Ticks::now().is_some(), cfg!(target_os = "linux"));
    }
}
