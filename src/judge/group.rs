//! Lines of a record, sorted by scenario.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::record::{
    ArmRecord, Arms, BlockRecord, CheckRecord, EvidenceRecord, Line, Notice, ProbeRecord, Record, ScenarioRecord, StopReason,
    TenantClassRecord, VariantRecord,
};

/// Whether the record describes a scenario.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Description {
    /// It does.
    Present,
    /// Other lines name the scenario, but none describes it.
    Missing,
}

/// All lines about one scenario.
pub(super) struct Group<'a> {
    pub scenario: ScenarioRecord,
    pub description: Description,
    pub variants: Vec<VariantRecord>,
    /// Failures first.
    pub checks: Vec<CheckRecord>,
    pub probes: Vec<&'a ProbeRecord>,
    pub blocks: Vec<&'a BlockRecord>,
    pub classes: Vec<&'a TenantClassRecord>,
    pub evidence: Vec<EvidenceRecord>,
    pub stop: StopReason,
    /// As the measuring half left them.
    pub warnings: Vec<String>,
}

impl Group<'_> {
    fn new(name: &str) -> Self {
        Group {
            scenario: undescribed(name),
            description: Description::Missing,
            variants: Vec::new(),
            checks: Vec::new(),
            probes: Vec::new(),
            blocks: Vec::new(),
            classes: Vec::new(),
            evidence: Vec::new(),
            // A scenario that has no end was cut off in its midst.
            stop: StopReason::Interrupted,
            warnings: Vec::new(),
        }
    }
}

/// Groups in the order in which the record first names their scenarios.
pub(super) fn split(record: &Record) -> Vec<Group<'_>> {
    let mut groups: Vec<Group<'_>> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for line in &record.lines {
        let Some(name) = scenario_of(line) else { continue };
        let place = *places.entry(name).or_insert_with(|| {
            groups.push(Group::new(name));
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(place) {
            add(group, line);
        }
    }
    for group in &mut groups {
        if group.description == Description::Missing {
            group.scenario.arms = arms_of(&group.variants);
        }
        group.checks.sort_by_key(|check| Reverse(check.outcome));
        if record.header.aa {
            // What the author expects of two variants says nothing about one variant against itself.
            group.scenario.expect_nothing();
        }
    }
    groups
}

/// The arms of a scenario that no line describes, as far as their databases were made.
fn arms_of(variants: &[VariantRecord]) -> Arms<ArmRecord> {
    let named = |variant: &str| ArmRecord::of(variant, variant);
    let mut made: Vec<&VariantRecord> = variants.iter().collect();
    made.sort_by_key(|one| one.arm);
    let arms: Vec<ArmRecord> = made.into_iter().map(|one| named(&one.variant)).collect();
    Arms::try_from(arms).unwrap_or_else(|_| Arms::new(named("baseline"), Vec::new()))
}

fn scenario_of(line: &Line) -> Option<&str> {
    match line {
        Line::Header(_) | Line::End(_) => None,
        Line::Scenario(one) => Some(&one.scenario),
        Line::Variant(one) => Some(&one.scenario),
        Line::Check(one) => Some(&one.scenario),
        Line::Probe(one) => Some(&one.scenario),
        Line::Block(one) => Some(&one.scenario),
        Line::TenantClass(one) => Some(&one.scenario),
        Line::Evidence(one) => Some(&one.scenario),
        Line::ScenarioEnd(one) => Some(&one.scenario),
    }
}

fn add<'a>(group: &mut Group<'a>, line: &'a Line) {
    match line {
        Line::Header(_) | Line::End(_) => {}
        Line::Scenario(one) => {
            group.scenario = (**one).clone();
            group.description = Description::Present;
        }
        Line::Variant(one) => group.variants.push(one.clone()),
        Line::Check(one) => group.checks.push(one.clone()),
        Line::Probe(one) => group.probes.push(one),
        Line::Block(one) => group.blocks.push(one),
        Line::TenantClass(one) => group.classes.push(one),
        Line::Evidence(one) => group.evidence.push((**one).clone()),
        Line::ScenarioEnd(one) => {
            group.stop = one.stop.clone();
            group.warnings.extend(one.notices.iter().map(Notice::to_string));
        }
    }
}

/// What stands for a scenario that no line describes, such as one whose variant PostgreSQL rejected before it could run.
fn undescribed(name: &str) -> ScenarioRecord {
    ScenarioRecord {
        scenario: name.to_owned(),
        title: name.to_owned(),
        analysis: String::new(),
        claims: Vec::new(),
        digest: String::new(),
        arms: Arms::new(ArmRecord::of("baseline", ""), Vec::new()),
        transactions: Vec::new(),
        load: None,
        expect: None,
        expect_why: None,
        margins: Default::default(),
        rtt_ns: 0,
        rtt_per: Default::default(),
        acquire_timeout_ns: None,
        max_tries: 1,
        overlays: Vec::new(),
        writes: false,
    }
}
