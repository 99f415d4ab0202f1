//! Blocks of one arm added up: counts and times as if they had been one long block.

use std::collections::BTreeMap;

use super::{Accounting, BlockRecord, Busy, GeneratorReport, Histogram, ProcessorTime, ServerDelta};

impl BlockRecord {
    /// Adds another block of the same arm and load. What only one block has (position, sequence numbers, why it is discarded) stays.
    pub fn add(&mut self, other: &BlockRecord) {
        // By the lengths from before they are added.
        self.generator.add(&other.generator, (self.duration_ns, other.duration_ns));
        self.started_ns = self.started_ns.min(other.started_ns);
        self.duration_ns = self.duration_ns.saturating_add(other.duration_ns);
        self.drain_ns = self.drain_ns.saturating_add(other.drain_ns);
        self.accounting.add(&other.accounting);
        self.completed = self.completed.saturating_add(other.completed);
        self.generator.achieved_share = self.accounting.achieved_share();
        self.stages.resize_with(self.stages.len().max(other.stages.len()), Default::default);
        self.stages.iter_mut().zip(&other.stages).for_each(|(stage, more)| stage.add(more));
        for (name, times) in &other.transactions {
            self.transactions.entry(name.clone()).or_default().add(times);
        }
        add_times(&mut self.statements, &other.statements);
        add_times(&mut self.errors, &other.errors);
        self.server.add(&other.server);
    }
}

fn add_times(sums: &mut BTreeMap<String, Histogram>, more: &BTreeMap<String, Histogram>) {
    for (name, times) in more {
        sums.entry(name.clone()).or_default().add(times);
    }
}

impl Accounting {
    /// Adds the transactions of another block.
    pub fn add(&mut self, other: &Accounting) {
        let pairs = [
            (&mut self.scheduled, other.scheduled),
            (&mut self.ok, other.ok),
            (&mut self.error, other.error),
            (&mut self.acquire_timeouts, other.acquire_timeouts),
            (&mut self.dropped, other.dropped),
            (&mut self.in_flight, other.in_flight),
        ];
        add_all(pairs);
    }
}

fn add_all<const N: usize>(pairs: [(&mut u64, u64); N]) {
    for (sum, more) in pairs {
        *sum = sum.saturating_add(more);
    }
}

impl GeneratorReport {
    /// Shares are means over the lengths of both, ns.
    fn add(&mut self, other: &GeneratorReport, (own, others): (u64, u64)) {
        let weight = others as f64 / (own as f64 + others as f64).max(1.0);
        let mean = |one: f64, other: f64| one + (other - one) * weight;
        self.threads = self.threads.max(other.threads);
        self.connections = self.connections.max(other.connections);
        self.lag.add(&other.lag);
        self.cpu_share = mean(self.cpu_share, other.cpu_share);
        self.longest_stall_ns = self.longest_stall_ns.max(other.longest_stall_ns);
        self.busy = match (self.busy, other.busy) {
            (Some(one), Some(other)) => Some(Busy { mean: mean(one.mean, other.mean), looks: one.looks.saturating_add(other.looks) }),
            (one, other) => one.or(other),
        };
        self.stolen_share = match (self.stolen_share, other.stolen_share) {
            (Some(one), Some(other)) => Some(mean(one, other)),
            (one, other) => one.or(other),
        };
    }
}

impl ServerDelta {
    fn add(&mut self, other: &ServerDelta) {
        let known = |delta: &ServerDelta| delta.processor.filter(|_| delta.no_processor.is_none());
        self.processor = known(self).zip(known(other)).map(|(one, other)| ProcessorTime {
            on_processor_ns: one.on_processor_ns.saturating_add(other.on_processor_ns),
            waiting_ns: one.waiting_ns.saturating_add(other.waiting_ns),
        });
        self.no_processor = self.no_processor.or(other.no_processor);
        add_all([
            (&mut self.blocks_hit, other.blocks_hit),
            (&mut self.blocks_read, other.blocks_read),
            (&mut self.temp_bytes, other.temp_bytes),
            (&mut self.wal_bytes, other.wal_bytes),
            (&mut self.checkpoints, other.checkpoints),
            (&mut self.autovacuums, other.autovacuums),
            (&mut self.commits, other.commits),
            (&mut self.rollbacks, other.rollbacks),
            (&mut self.deadlocks, other.deadlocks),
            (&mut self.generic_plans, other.generic_plans),
            (&mut self.custom_plans, other.custom_plans),
            (&mut self.transactions, other.transactions),
        ]);
    }
}
