//! The report's formats against golden files. `PGDUEL_BLESS=1 cargo test --test report` writes them anew, to be reviewed as a diff.

#[path = "report/fixture.rs"]
mod fixture;

use std::path::PathBuf;

use pgduel::judge::{Comparison, DisturbedBlocks, Outcome, Standing, StatedQuantity};
use pgduel::record::{End, Header, Line, Record};
use pgduel::report::{self, Ending, Run, Style};

fn golden(name: &str, text: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/report").join(name);
    if std::env::var_os("PGDUEL_BLESS").is_some() {
        std::fs::write(&path, text).expect("the golden file can be written");
        return;
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    if wanted == text {
        return;
    }
    let differs = wanted.lines().zip(text.lines()).position(|(wanted, got)| wanted != got);
    let line = differs.unwrap_or(wanted.lines().count().min(text.lines().count()));
    panic!(
        "{name} differs from its golden file at line {}:\n  wanted: {:?}\n     got: {:?}\nPGDUEL_BLESS=1 writes it anew",
        line + 1,
        wanted.lines().nth(line),
        text.lines().nth(line)
    );
}

fn with_run<T>(comparison: Comparison, read: impl FnOnce(&Run<'_>) -> T) -> T {
    let header: Header = fixture::header();
    read(&Run { header: &header, comparison: &comparison, ending: Ending::Complete })
}

fn style(width: usize, color: bool) -> Style<'static> {
    Style { width, color, report: Some("results/2026-01-15-omniops.1/report.html") }
}

#[test]
fn terminal_of_100_columns() {
    let text = with_run(fixture::comparison(), |run| report::terminal(run, &style(100, false)));
    golden("terminal-100.txt", &text);
    for line in text.lines().filter(|line| !line.starts_with("command")) {
        assert!(line.chars().count() <= 100, "too wide: {line}");
    }
}

#[test]
fn terminal_of_60_columns() {
    golden("terminal-60.txt", &with_run(fixture::healthy(), |run| report::terminal(run, &style(60, false))));
}

#[test]
fn colour_adds_nothing_but_colour() {
    let colored = with_run(fixture::comparison(), |run| report::terminal(run, &style(100, true)));
    assert!(colored.contains("\u{1b}["));
    let mut bare = String::new();
    let mut rest = colored.as_str();
    while let Some((text, tail)) = rest.split_once('\u{1b}') {
        bare.push_str(text);
        rest = tail.split_once('m').map_or("", |(_, tail)| tail);
    }
    bare.push_str(rest);
    // A terminal breaks a line that is too wide, even if only by blanks that colour keeps from being trimmed.
    assert!(bare.lines().filter(|line| !line.starts_with("command")).all(|line| line.chars().count() <= 100), "too wide: {bare}");
    let trimmed = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(trimmed(&bare), trimmed(&with_run(fixture::comparison(), |run| report::terminal(run, &style(100, false)))));
}

#[test]
fn any_width_works() {
    for width in [0, 1, 40, 80, 99, 101, 250, 70_000] {
        let text = with_run(fixture::comparison(), |run| report::terminal(run, &style(width, false)));
        assert!(text.contains("11× faster [9.8, 12.1]"), "{width}: {text}");
    }
}

#[test]
fn markdown() {
    let text = with_run(fixture::comparison(), |run| report::markdown(run).expect("it renders"));
    golden("report.md", &text);
    assert!(!text.contains("<script>alert('plan')</script> & \"quoted\" `tick` | pipe\n"), "markup outside code");
}

#[test]
fn json() {
    let text = with_run(fixture::comparison(), |run| report::json(run).expect("it renders"));
    golden("report.json", &text);
    let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(value["version"], report::JSON_VERSION);
    assert!(value["comparison"]["scenarios"][1]["metrics"][1]["ratio"]["upper"].is_null(), "no upper bound is null");
}

#[test]
fn html() {
    golden("report.html", &with_run(fixture::comparison(), |run| report::html(run).expect("it renders")));
}

#[test]
fn a_sweep_is_drawn_by_value() {
    let swept = |values: [&str; 2]| {
        let mut comparison = fixture::comparison();
        comparison.scenarios.truncate(1);
        let arms = &mut comparison.scenarios[0].scenario.arms;
        for (arm, value) in arms.values_mut().zip(values) {
            arm.factor = Some(pgduel::record::Factor { name: "batch".into(), value: value.into() });
        }
        with_run(comparison, |run| {
            assert!(report::terminal(run, &style(100, false)).contains("\n  all (on before-domain)\n"), "the names tell the rest");
            report::html(run).expect("it renders")
        })
    };
    let drawn = |page: &str| {
        let charts = page.split("<svg").skip(1).filter_map(|part| part.split("</svg>").next());
        let classes = charts.flat_map(|chart| chart.split("class=\"").skip(1)).filter_map(|part| part.split('"').next());
        for class in classes.filter(|class| class.starts_with("s-") || class.starts_with("f-")) {
            assert!(page.contains(&format!(".{class} {{")), "{class} is not styled, and what has it cannot be seen");
        }
        page.matches("by batch</title>").count()
    };
    // Two judged metrics, each for wide and narrow pages.
    assert_eq!(drawn(&swept(["1", "100"])), 4);
    assert_eq!(drawn(&swept(["small", "large"])), 4, "values need not be numbers");
    assert_eq!(drawn(&swept(["1", "1"])), 0, "an A/A run has one value");
}

#[test]
fn no_text_of_a_run_steers_the_reader() {
    let mut comparison = fixture::comparison();
    for one in &mut comparison.scenarios {
        one.scenario.title = "a\u{1b}[2Jb\u{9b}2J\u{202e}c".to_owned();
    }
    let pages = with_run(comparison, |run| {
        [report::terminal(run, &style(100, false)), report::markdown(run).expect("it renders"), report::html(run).expect("it renders")]
    });
    assert!(pages.iter().all(|page| page.lines().all(|line| !line.contains(pgduel::shown::steers))), "{pages:?}");
    assert!(pages[2].contains("a\u{fffd}[2Jb\u{fffd}2J\u{fffd}c"));
}

#[test]
fn html_asks_for_nothing() {
    let html = with_run(fixture::comparison(), |run| report::html(run).expect("it renders"));
    for attribute in [
        "src=",
        "url(",
        "@import",
        "<script",
        "<link rel=\"stylesheet",
        "<iframe",
        "<img",
        "srcset",
        "xlink",
        "<object",
        "onload=",
        "onerror=",
    ] {
        assert!(!html.contains(attribute), "{attribute}");
    }
    for target in html.split("href=\"").skip(1) {
        assert!(target.starts_with('#') || target.starts_with("data:,"), "href to {}", &target[..40]);
    }
}

#[test]
fn html_shows_untrusted_text_as_text() {
    let html = with_run(fixture::comparison(), |run| report::html(run).expect("it renders"));
    assert!(!html.contains("<script"), "a plan became a script");
    assert!(html.contains("&lt;script&gt;alert(&#x27;&#x27;plan&#x27;&#x27;)"), "the plan is not shown");
    assert!(!html.contains("<b>Raw</b>"), "markup of the analysis got through");
}

#[test]
fn html_charts_follow_the_theme() {
    let html = with_run(fixture::comparison(), |run| report::html(run).expect("it renders"));
    let charts: String = html.split("<svg").skip(1).filter_map(|part| part.split("</svg>").next()).collect();
    assert!(charts.contains("class=\"f-improved\"") && charts.contains("class=\"s-arm-1\""));
    assert!(!charts.contains("=\"#"), "a fixed colour is left in a chart");
    assert_eq!(html.matches("<svg").count(), html.matches("<title>").count() - 1, "each chart has a title, beside the page's");
}

#[test]
fn the_same_run_gives_the_same_bytes() {
    let all = || {
        with_run(fixture::comparison(), |run| {
            [
                report::terminal(run, &style(100, true)),
                report::markdown(run).unwrap(),
                report::json(run).unwrap(),
                report::html(run).unwrap(),
            ]
        })
    };
    assert_eq!(all(), all());
}

#[test]
fn an_empty_run_has_a_report() {
    for outcome in [Outcome::Interrupted, Outcome::Infrastructure, Outcome::Invalid, Outcome::Passed] {
        let empty = Comparison { scenarios: vec![], outcome, minimum_rounds: 0, gated_metrics: 0 };
        with_run(empty, |run| {
            assert!(report::terminal(run, &style(100, false)).contains("command"));
            assert!(report::markdown(run).unwrap().contains("pgduel omniops"));
            assert!(report::html(run).unwrap().contains("</html>"));
        });
    }
}

#[test]
fn values_without_meaning_do_not_break_charts() {
    let mut comparison = fixture::comparison();
    for one in &mut comparison.scenarios {
        for metric in &mut one.metrics {
            metric.value_ns.arm = f64::NAN;
            metric.margin = 0.0;
            if let Some(ratio) = &mut metric.ratio {
                (ratio.point, ratio.lower, ratio.upper) = (f64::MIN_POSITIVE, 0.0, f64::INFINITY);
            }
        }
        for block in &mut one.blocks {
            (block.value_ns, block.started_seconds) = (1.0, 0.0);
        }
        for curve in one.curves.values_mut() {
            curve.baseline = vec![(0.5, 7.0), (f64::NAN, 1.0), (0.6, 7.0)];
            curve.others[0].clear();
        }
    }
    with_run(comparison, |run| {
        assert!(!report::html(run).unwrap().contains("NaN"));
        report::terminal(run, &style(100, false));
    });
}

#[test]
fn the_end_of_the_record_is_told() {
    let end = |interrupted| Line::End(End { interrupted, finished_at: "2026-01-15T09:33:00Z".into() });
    let comparison = fixture::healthy();
    let cases = [
        (vec![end(false)], false, Ending::Complete),
        (vec![end(true)], false, Ending::Interrupted),
        (vec![], false, Ending::Killed),
        (vec![], true, Ending::Torn),
    ];
    for (lines, torn, wanted) in cases {
        let record = Record { header: fixture::header(), lines, torn };
        let run = Run::new(&record, &comparison);
        assert_eq!(run.ending, wanted);
        let told = report::terminal(&run, &style(100, false));
        assert_eq!(told.contains("was killed") || told.contains("was interrupted"), wanted != Ending::Complete, "{told}");
    }
}

/// A run of so many scenarios.
fn of(number: usize) -> Comparison {
    let mut comparison = fixture::comparison();
    let all = comparison.scenarios.clone();
    comparison.scenarios = all.into_iter().cycle().take(number).collect();
    comparison
}

#[test]
fn markdown_fits_a_pull_request() {
    let text = |number| with_run(of(number), |run| report::markdown(run).unwrap());
    let (few, many, most) = (text(5), text(31), text(400));
    assert!(few.contains("Plan on before-domain:"), "a short report has its plans");
    assert!(many.chars().count() < 65_536 && many.contains("report.html has"), "{}", many.chars().count());
    assert!(most.contains("What stands behind each verdict is left out") && most.contains("| `omniops/history-fetch` |"));
}

#[test]
fn a_contradicted_expectation_is_not_hidden_by_something_worse() {
    let mut comparison = fixture::comparison();
    for one in comparison.scenarios.iter_mut().filter(|one| one.scenario.scenario == "omniops/history-fetch") {
        one.expectations.clear();
        fixture::expect(one, None, pgduel::record::Expectation::Regressed, None, false);
        one.outcome = Outcome::Surprise;
    }
    with_run(comparison, |run| {
        // Lines break anywhere.
        let terminal = report::terminal(run, &style(400, false));
        let told = "A faster wrong answer is a failure. Not as expected: omniops/history-fetch was expected to regress, but is 11× faster";
        assert!(terminal.contains(told), "{terminal}");
        assert!(terminal.contains("exit     6 (wrong answers, a leak, or a search that finds too little)"), "{terminal}");
        assert!(report::html(run).unwrap().contains("improved (not expected)"));
        assert!(report::markdown(run).unwrap().contains("improved (not expected)"));
    });
}

#[test]
fn an_unexpected_regression_stands_out_beside_an_expected_one() {
    let mut comparison = fixture::healthy();
    let one = &mut comparison.scenarios[1];
    one.expectations.truncate(1);
    (one.metrics[1].expectation, one.metrics[1].standing) = (None, Some(Standing::Surprise));
    (one.outcome, comparison.outcome) = (Outcome::Surprise, Outcome::Surprise);
    with_run(comparison, |run| {
        let (terminal, markdown) = (report::terminal(run, &style(400, false)), report::markdown(run).unwrap());
        let html = report::html(run).unwrap().replace("&#x2f;", "/");
        let told = "fetch/history p50: expected to regress, and so it came out. Reason given: the policy gains a join (X-45).";
        assert!(terminal.contains("Regressed: omniops/messages-policy is 1.5× slower (fetch/history p95).\n"), "{terminal}");
        assert!(terminal.contains(told) && html.contains(told), "{terminal}");
        let above = markdown.split("<details>").next().unwrap();
        assert!(above.contains(&format!("`omniops/messages-policy`: {told}")), "the reason is not folded away: {above}");
        for (text, after) in [(terminal.as_str(), " "), (above, " |"), (html.as_str(), "</td>")] {
            assert_eq!(text.matches("▼ regressed (expected)").count(), 1, "{terminal}");
            assert!(text.contains(&format!("▼ regressed{after}")), "{terminal}");
        }
        assert!(markdown.contains("2 regressed (1 expected)") && html.contains("2 regressed (1 expected)"), "{markdown}");
        let json: serde_json::Value = serde_json::from_str(&report::json(run).unwrap()).unwrap();
        let one = &json["comparison"]["scenarios"][1];
        let standings: Vec<&serde_json::Value> = one["metrics"].as_array().unwrap().iter().map(|metric| &metric["standing"]).collect();
        assert_eq!(standings, ["expected", "surprise"]);
        let speaking = &one["expectations"][one["metrics"][0]["expectation"].as_u64().unwrap() as usize];
        assert_eq!(
            (&speaking["quantity"], &speaking["met"], &one["metrics"][1]["expectation"]),
            (&"p50".into(), &true.into(), &serde_json::Value::Null)
        );
    });
}

#[test]
fn a_contradicted_quantity_is_named() {
    let mut comparison = fixture::healthy();
    let one = &mut comparison.scenarios[0];
    one.expectations.clear();
    let (regressed, improved) = (pgduel::record::Expectation::Regressed, pgduel::record::Expectation::Improved);
    fixture::expect(one, Some(StatedQuantity::P50), improved, Some("both for one reason"), true);
    fixture::expect(one, Some(StatedQuantity::P95), regressed, Some("both for one reason"), false);
    (one.outcome, comparison.outcome) = (Outcome::Surprise, Outcome::Surprise);
    with_run(comparison, |run| {
        let (terminal, markdown) = (report::terminal(run, &style(400, false)), report::markdown(run).unwrap());
        let told =
            "Not as expected: fetch/history p95 of omniops/history-fetch was expected to regress, but is 16× faster (fetch/history p95).";
        assert!(terminal.contains(told), "{terminal}");
        let all = "fetch/history p50: expected to improve, and so it came out. fetch/history p95: expected to regress, but this run contradicts \
                   it. Reason given: both for one reason";
        assert!(terminal.contains(all) && markdown.contains(all), "{terminal}");
        assert_eq!(markdown.matches("improved (not expected)").count(), 1, "{markdown}");
    });
}

#[test]
fn passed_checks_are_told_together() {
    use pgduel::record::{Arm, CheckKind, CheckOutcome, CheckRecord};
    let mut comparison = fixture::comparison();
    let check = |subject: &str, arm| CheckRecord {
        scenario: "omniops/history-fetch".into(),
        kind: CheckKind::Isolation,
        subject: subject.into(),
        arm: Some(arm),
        cases: 12,
        outcome: CheckOutcome::Passed,
        findings: vec![],
    };
    comparison.scenarios[0].checks =
        [Arm::BASELINE, Arm::at(1)].into_iter().flat_map(|arm| ["messages", "conversations"].map(|subject| check(subject, arm))).collect();
    with_run(comparison, |run| {
        let text = report::markdown(run).unwrap();
        assert!(text.contains("| isolation, 4 checks | messages, conversations (all arms) | 48 | ✓ passed |"), "{text}");
    });
}

#[test]
fn a_scenario_that_was_cut_short_promises_nothing() {
    let mut comparison = fixture::healthy();
    for one in comparison.scenarios.iter_mut().filter(|one| one.outcome == Outcome::Inconclusive) {
        one.stop = pgduel::record::StopReason::Interrupted;
        for metric in &mut one.metrics {
            (metric.rounds, metric.detectable, metric.rounds_needed) = (9, None, Some(173));
        }
    }
    with_run(comparison, |run| {
        let text = report::terminal(run, &style(200, false));
        assert!(text.contains("9 rounds cannot decide anything, which takes 12 at least.") && !text.contains("173"), "{text}");
    });
}

#[test]
fn disturbances_are_told_once_for_the_run() {
    let mut comparison = fixture::healthy();
    let many = comparison.scenarios.len();
    for (number, one) in comparison.scenarios.iter_mut().enumerate() {
        one.stolen_share = Some(0.02 + 0.01 * number as f64);
        let late = 1 + number as u32;
        one.disturbed = DisturbedBlocks { blocks: 24, disturbed: late, late, longest_lag_ns: 8_200_000, ..Default::default() };
    }
    let worst = comparison.scenarios[many - 1].scenario.scenario.clone();
    with_run(comparison.clone(), |run| {
        let text = report::terminal(run, &style(300, false));
        let share = 1 + many;
        let gave = format!("{worst}: the host of this virtual machine gave {share}% of its processor time to others (steal)");
        assert!(text.contains(&format!("{gave}; {many} of {many} scenarios lost 1% or more")), "{text}");
        assert_eq!(text.matches("(steal)").count(), 1, "{text}");
        let (disturbed, blocks) = (many * (many + 1) / 2, 24 * many);
        let told = format!(
            "{worst}: {disturbed} of {blocks} blocks of the run were disturbed, most often here (transactions late in {disturbed},"
        );
        assert!(text.contains(&told), "{text}");
        let html = report::html(run).unwrap();
        assert!(html.contains("Of 24 blocks, in 1 transactions started late (1% of them by up to 8.20 ms)."), "{html}");
    });
    for one in &mut comparison.scenarios {
        (one.stolen_share, one.disturbed) = (Some(0.0), DisturbedBlocks::default());
    }
    with_run(comparison, |run| {
        let text = report::terminal(run, &style(300, false));
        assert!(!text.contains("lost 1%") && !text.contains("were disturbed"), "{text}");
    });
}

#[test]
fn passed_checks_alone_have_a_tick() {
    let mut comparison = fixture::healthy();
    for one in &mut comparison.scenarios {
        (one.stop, one.outcome) = (pgduel::record::StopReason::ChecksOnly, Outcome::Passed);
        one.metrics.clear();
    }
    (comparison.outcome, comparison.gated_metrics) = (Outcome::Passed, 0);
    with_run(comparison, |run| {
        let text = report::terminal(run, &style(100, false));
        assert!(text.contains("✓ checks passed") && !text.contains('▲'), "{text}");
    });
}

/// A recall check of one arm, whose findings read as those of a run.
fn recall_check(arm: pgduel::record::Arm, shares: &str) -> pgduel::record::CheckRecord {
    use pgduel::record::{CheckKind, CheckOutcome, CheckRecord};
    CheckRecord {
        scenario: "omniops/messages-policy".into(),
        kind: CheckKind::Recall,
        subject: "fetch/history".into(),
        arm: Some(arm),
        cases: 60,
        outcome: CheckOutcome::Passed,
        findings: vec![format!("share of the exact nearest found: {shares}")],
    }
}

#[test]
fn a_search_that_finds_too_little_is_not_told_as_a_leak() {
    use pgduel::record::{Arm, CheckOutcome};
    let mut comparison = fixture::healthy();
    let mut check = recall_check(Arm::at(1), "middle 0.180, tail 0.395");
    check.outcome = CheckOutcome::Failed;
    comparison.scenarios[1].checks = vec![check];
    comparison.scenarios[1].outcome = Outcome::WrongAnswers;
    comparison.outcome = Outcome::WrongAnswers;
    with_run(comparison, |run| {
        for text in [report::terminal(run, &style(400, false)), report::html(run).expect("it renders").replace("&#x2f;", "/")] {
            assert!(text.contains("A search finds less than it must in omniops/messages-policy.") && !text.contains("or a leak"), "{text}");
        }
    });
}

#[test]
fn arms_are_told_where_their_names_do_not_tell() {
    let mut comparison = fixture::healthy();
    comparison.scenarios.truncate(1);
    let told = |comparison: &Comparison| {
        with_run(comparison.clone(), |run| [report::terminal(run, &style(400, false)), report::markdown(run).expect("it renders")])
    };
    let name = comparison.scenarios[0].scenario.arms.others[0].name.clone();
    assert!(told(&comparison).iter().all(|text| !text.contains("(on ")), "its name is the variant's");
    comparison.scenarios[0].scenario.arms.others[0].settings.insert("work_mem".into(), "64kB".into());
    let said = format!("{name} (work_mem = 64kB)");
    assert!(told(&comparison).iter().all(|text| text.replace('\\', "").contains(&said)), "{:?}", told(&comparison));
}

#[test]
fn what_a_search_finds_stands_beside_its_speed() {
    use pgduel::record::Arm;
    let with_recall = |after: &str| {
        let mut comparison = fixture::healthy();
        let checks = [(Arm::BASELINE, "middle 0.950, tail 0.184"), (Arm::at(1), after)];
        comparison.scenarios[1].checks.extend(checks.map(|(arm, shares)| recall_check(arm, shares)));
        comparison
    };
    with_run(with_recall("middle 0.998, tail 1.000"), |run| {
        let (terminal, markdown) = (report::terminal(run, &style(400, false)), report::markdown(run).unwrap());
        let html = report::html(run).unwrap();
        let said =
            "omniops/messages-policy is 1.3× slower (fetch/history p50) and finds 1.00 of the nearest instead of 0.18 for tail tenants.";
        assert!(terminal.contains(said) && html.contains("and finds 1.00 of the nearest instead of 0.18"), "{terminal}");
        assert!(markdown.contains("**1.3× slower** \\[1.2, 1.4\\], recall 0.18 → 1.00 |"), "{markdown}");
        assert!(html.contains("<span class=\"why\">recall 0.18 → 1.00</span>"));
        assert_eq!(html.matches("recall 0.18 → 1.00").count(), 3, "the table, and the forest plot in both widths");
        assert!(markdown.contains("· shown<br>") && !markdown.contains("✓ passed<br>"), "{markdown}");
    });
    with_run(with_recall("middle 0.955, tail 0.190"), |run| {
        let all = [report::terminal(run, &style(400, false)), report::markdown(run).unwrap(), report::html(run).unwrap()];
        assert!(all.iter().all(|text| !text.contains("of the nearest instead") && !text.contains("recall 0.")), "nothing differs");
    });
}

#[test]
fn a_surprise_says_what_it_finds_once() {
    use pgduel::record::Arm;
    let mut comparison = fixture::healthy();
    let one = &mut comparison.scenarios[1];
    one.outcome = Outcome::Surprise;
    one.expectations.clear();
    one.metrics.iter_mut().for_each(|metric| (metric.expectation, metric.standing) = (None, Some(Standing::Surprise)));
    one.checks.extend([(Arm::BASELINE, "tail 1.000"), (Arm::at(1), "tail 0.180")].map(|(arm, shares)| recall_check(arm, shares)));
    comparison.outcome = Outcome::Surprise;
    with_run(comparison, |run| {
        let text = report::terminal(run, &style(400, false));
        assert!(text.contains("slower (fetch/history p50) and finds 0.18 of the nearest instead of 1.00."), "{text}");
        assert_eq!(text.matches("of the nearest instead").count(), 1, "{text}");
    });
}

#[test]
fn leaks_are_summed_up_and_not_repeated() {
    let mut comparison = fixture::comparison();
    let leaking = comparison.scenarios.iter_mut().find(|one| one.outcome == Outcome::WrongAnswers).expect("one leaks");
    let findings = |table: &str| (0..8).map(|who| format!("member {who}: leak: sees 3 rows of {table} that it must not see")).collect();
    leaking.checks[0].findings = findings("conversations");
    let mut other = leaking.checks[0].clone();
    (other.subject, other.findings) = ("messages".into(), findings("messages"));
    leaking.checks.push(other);
    let mut again = leaking.clone();
    again.scenario.scenario = "omniops/again".into();
    comparison.scenarios.push(again);
    with_run(comparison, |run| {
        let text = report::terminal(run, &style(200, false));
        assert!(
            text.contains("✗ omniops/rls-select-all: isolation of conversations, messages (after) failed, for 8 identities\n"),
            "{text}"
        );
        assert!(text.contains("and 11 findings more, in the report"), "{text}");
        assert_eq!(text.matches(": leak: sees").count(), 5, "{text}");
        assert!(text.contains("✗ omniops/again: isolation") && text.contains("16 findings, all of which are told above"), "{text}");
        assert!(!text.contains("0 pairs") && !report::markdown(run).unwrap().contains("· 0 pairs"), "{text}");
        assert!(!report::html(run).unwrap().contains("· 0 pairs"));
    });
}

#[test]
fn a_margin_is_told_as_the_rule_that_sets_it() {
    let mut comparison = fixture::healthy();
    comparison.scenarios[0].metrics[0].margin = 1.36;
    with_run(comparison, |run| {
        let text = report::markdown(run).unwrap();
        assert!(text.contains("| ±20 µs |") && text.contains("| ±10% |") && !text.contains("±36%"), "{text}");
    });
}

#[test]
fn one_metric_is_undecided() {
    let mut comparison = fixture::healthy();
    comparison.scenarios.truncate(3);
    comparison.scenarios.drain(..2);
    comparison.scenarios[0].metrics.drain(..2);
    with_run(comparison, |run| {
        let text = report::terminal(run, &style(200, false));
        assert!(text.contains("but 1 of 1 gated metric is undecided."), "{text}");
    });
}
