//! Rows of the run as a whole: tiles and facts.

use crate::judge::{DisturbedBlocks, Verdict};
use crate::record::{GeneratorReport, Header, Mode};
use crate::report::words::{self, Tone};
use crate::report::{Ending, Run, format, headline};

use super::scenario::scenario;
use super::{ArmView, FactGroup, Note, RunView, ScenarioView, Tile};

/// The view of a run.
pub fn view(run: &Run<'_>) -> RunView {
    let headline = headline::headline(run);
    let scenarios = run.comparison.scenarios.iter().enumerate();
    let scenarios: Vec<ScenarioView> =
        scenarios.map(|(index, one)| scenario(index, one, run.header, run.comparison.minimum_rounds)).collect();
    RunView {
        suite: run.header.suite.clone(),
        version: run.header.pgduel.clone(),
        started_at: run.header.started_at.clone(),
        mode: run.header.mode.name(),
        tone: headline.tone,
        headline: headline.outcome,
        aside: headline.aside,
        exit: headline::exit(run.comparison.outcome, run.header.inconclusive_fails),
        legend: words::legend(run.comparison),
        notes: [disturbed(run, &scenarios), stolen(run, &scenarios), no_processor(run, &scenarios)]
            .into_iter()
            .flatten()
            .chain(scenarios.iter().flat_map(notes))
            .collect(),
        ending: if run.ending == Ending::Complete { None } else { words::ending(run.ending) },
        arms: arms(&scenarios),
        tiles: tiles(run),
        scenarios,
        facts: vec![run_facts(run), machine_facts(run.header), dataset_facts(run.header)],
        command: run.header.command.clone(),
        gated_metrics: run.comparison.gated_metrics,
        minimum_rounds: run.comparison.minimum_rounds,
    }
}

/// What disturbed blocks, once for the run, with the scenario in which most were.
fn disturbed(run: &Run<'_>, scenarios: &[ScenarioView]) -> Option<Note> {
    let all = || run.comparison.scenarios.iter().map(|one| one.disturbed);
    let sum = |count: fn(&DisturbedBlocks) -> u32| all().map(|one| u64::from(count(&one))).sum::<u64>();
    let (blocks, disturbed, unfinished) = (sum(|one| one.blocks), sum(|one| one.disturbed), sum(|one| one.unfinished));
    let most = scenarios.iter().zip(all()).max_by_key(|(_, one)| one.disturbed)?.0;
    (disturbed > 0).then(|| Note {
        path: most.path.clone(),
        anchor: most.anchor.clone(),
        text: format!(
            "{disturbed} of {} of the run were disturbed, most often here (transactions late in {}, generator stalled in {}, busy in {}{}): they count, as noise falls on all arms alike, and intervals are wider for it",
            words::plural(blocks, "block"),
            sum(|one| one.late),
            sum(|one| one.stalled),
            sum(|one| one.busy),
            if unfinished > 0 { format!(", transactions left without an answer in {unfinished}") } else { String::new() },
        ),
    })
}

/// Where processor time is not known, once for the run, with the first scenario's reason.
fn no_processor(run: &Run<'_>, scenarios: &[ScenarioView]) -> Option<Note> {
    let unknown = || scenarios.iter().zip(&run.comparison.scenarios).filter_map(|(view, one)| Some((view, one.no_processor?)));
    let (first, why) = unknown().next()?;
    let many = unknown().count();
    let of = if many > 1 { format!(" of {many} scenarios") } else { String::new() };
    let text = format!("the server's processor time{of} is not known everywhere, and not judged there; here: {}", why.reason());
    Some(Note { path: first.path.clone(), anchor: first.anchor.clone(), text })
}

/// What the host of a virtual machine took, once for the run, at the scenario that it hit hardest.
fn stolen(run: &Run<'_>, scenarios: &[ScenarioView]) -> Option<Note> {
    let shares = run.comparison.scenarios.iter().map(|one| one.stolen_share.unwrap_or(0.0));
    let hit = shares.clone().filter(|share| *share >= GeneratorReport::NOTABLE_STEAL).count();
    let (worst, share) = shares.zip(scenarios).max_by(|(one, _), (other, _)| one.total_cmp(other)).map(|(share, at)| (at, share))?;
    let others = match hit {
        0 => return None,
        1 => String::new(),
        hit => format!("; {hit} of {} scenarios lost {} or more", scenarios.len(), format::percent(GeneratorReport::NOTABLE_STEAL)),
    };
    let text = format!("the host of this virtual machine gave {} of its processor time to others (steal){others}", format::percent(share));
    Some(Note { path: worst.path.clone(), anchor: worst.anchor.clone(), text })
}

/// Warnings, findings of checks that warn, errors; not what the scenario's stop says already.
fn notes(one: &ScenarioView) -> Vec<Note> {
    let found = one.checks.iter().filter(|check| check.tone == Tone::Inconclusive).flat_map(|check| {
        let arm = check.arm.as_ref().map(|arm| format!(" ({arm})")).unwrap_or_default();
        let of = if check.kind == "plan" { format!("{}{arm}", check.subject) } else { format!("{} of {}{arm}", check.kind, check.subject) };
        check.findings.iter().filter(|finding| !one.stop.contains(finding.as_str())).map(move |finding| format!("{of}: {finding}"))
    });
    let errors = one.errors.iter().map(|(code, counts)| {
        let of_arms: Vec<String> = one.arms.iter().zip(counts).map(|(arm, count)| format!("{count} on {}", arm.name)).collect();
        format!("errors {code}: {}", of_arms.join(", "))
    });
    let texts = one.warnings.iter().cloned().chain(found).chain(errors);
    texts.map(|text| Note { path: one.path.clone(), anchor: one.anchor.clone(), text }).collect()
}

fn arms(scenarios: &[ScenarioView]) -> Option<Vec<ArmView>> {
    let first = scenarios.first()?;
    scenarios.iter().all(|other| other.arms == first.arms).then(|| first.arms.clone())
}

fn tiles(run: &Run<'_>) -> Vec<Tile> {
    let stopped: Vec<Tone> = run.comparison.scenarios.iter().filter_map(words::stopped_short).map(|(tone, _)| tone).collect();
    let in_tone = |tone: Tone, one: &'static str, more: &'static str| {
        let number = stopped.iter().filter(|other| **other == tone).count();
        Tile { tone, symbol: words::symbol(tone), number, label: if number == 1 { one } else { more } }
    };
    let failed = in_tone(Tone::Failed, "scenario failed", "scenarios failed");
    if run.header.mode == Mode::ChecksOnly {
        return vec![in_tone(Tone::Passed, "scenario passed its checks", "scenarios passed their checks"), failed];
    }
    let verdicts = [Verdict::Improved, Verdict::Regressed, Verdict::Unchanged, Verdict::Inconclusive];
    let mut tiles: Vec<Tile> = verdicts
        .into_iter()
        .map(|verdict| {
            let tone = words::verdict_tone(verdict);
            let number = words::tally(run.comparison, verdict);
            Tile { tone, symbol: words::symbol(tone), number, label: words::verdict(verdict) }
        })
        .collect();
    tiles.push(failed);
    tiles
}

fn fact(label: &str, value: impl Into<String>) -> (String, String) {
    (label.to_owned(), value.into())
}

fn run_facts(run: &Run<'_>) -> FactGroup {
    let header = run.header;
    let mut facts = vec![
        fact("pgduel", &header.pgduel),
        fact("Started", &header.started_at),
        fact("Mode", if header.aa { format!("{}, A/A", header.mode.name()) } else { header.mode.name().to_owned() }),
        fact("Seed", header.seed.to_string()),
    ];
    if let Some(budget) = header.budget_seconds {
        facts.push(fact("Budget", format!("{} s", format::significant(budget))));
    }
    if run.comparison.gated_metrics > 0 {
        let value =
            format!("{}, {} at least", run.comparison.gated_metrics, words::plural(u64::from(run.comparison.minimum_rounds), "round"));
        facts.push(fact("Gated metrics", value));
    }
    facts.push(fact("Exit code", headline::exit(run.comparison.outcome, run.header.inconclusive_fails)));
    FactGroup { title: "Run", facts }
}

fn machine_facts(header: &Header) -> FactGroup {
    let (machine, server) = (&header.machine, &header.server);
    let mut facts = vec![
        fact("Processor", format!("{}, {}", machine.cpu, words::plural(machine.cores as u64, "core"))),
        fact("Memory", format::bytes(machine.memory_bytes as f64)),
        fact("System", &machine.os),
        fact("Server", format!("{}, {}", server.version, server.kind)),
        fact("Reached by", if server.local { "loopback or Unix socket" } else { "network" }),
        fact("pgvector", server.pgvector.as_deref().unwrap_or("not installed")),
    ];
    facts.extend(server.settings.iter().map(|(name, value)| fact(name, value)));
    FactGroup { title: "Machine and server", facts }
}

fn dataset_facts(header: &Header) -> FactGroup {
    let dataset = &header.dataset;
    let mut facts = vec![
        fact("Scale", format!("{}", dataset.scale)),
        fact("Tenants", format::count(dataset.tenants)),
        fact("Vectors", format::count(dataset.vectors)),
        fact("Its clock", &dataset.now),
    ];
    if !dataset.overlays.is_empty() {
        facts.push(fact("Overlays", dataset.overlays.join(", ")));
    }
    facts.extend(dataset.rows.iter().map(|(table, rows)| (format!("{table} rows"), format::count(*rows))));
    facts.push(fact("Digest", &dataset.digest));
    FactGroup { title: "Dataset", facts }
}
