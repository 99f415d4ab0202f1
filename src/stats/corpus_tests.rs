//! Against the values of scipy, numpy and statsmodels in `tests/data/stats`, which
//! `scripts/reference-stats.py` regenerates.

use serde::Deserialize;

use super::*;

const TOLERANCE: f64 = 1e-9;

macro_rules! corpus {
    ($name:literal) => {
        serde_json::from_str(include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/stats/", $name)))
            .expect("the corpus is well-formed")
    };
}

#[track_caller]
fn assert_close(ours: f64, reference: f64, what: &str) {
    // Relative for large values; p-values of 1e-12 must agree relatively as well.
    let scale = reference.abs().max(f64::MIN_POSITIVE);
    assert!(ours == reference || (ours - reference).abs() <= TOLERANCE * scale, "{what}: ours {ours:e}, reference {reference:e}");
}

#[derive(Deserialize)]
struct Case {
    name: String,
    d: Vec<f64>,
    w_plus: f64,
    p_greater: f64,
    p_less: f64,
    hodges_lehmann: f64,
    intervals: Vec<Ends>,
}

#[derive(Deserialize)]
struct Ends {
    alpha: f64,
    lower: Option<f64>,
    lower_open: Option<bool>,
    upper: Option<f64>,
    upper_open: Option<bool>,
}

/// Open ends are one unit in the last place away from the value that is excluded.
#[track_caller]
fn assert_end(ours: f64, reference: Option<f64>, open: Option<bool>, inward: f64, what: &str) {
    let Some(reference) = reference else {
        assert_eq!(ours, -inward, "{what}");
        return;
    };
    let beyond = if inward > 0.0 { reference.next_up() } else { reference.next_down() };
    match open {
        Some(true) => assert_eq!(ours, beyond, "{what}"),
        Some(false) => assert_eq!(ours, reference, "{what}"),
        None => assert!(ours == reference || ours == beyond, "{what}: {ours:e}"),
    }
}

#[test]
fn signed_rank_and_interval() {
    let cases: Vec<Case> = corpus!("signed_rank.json");
    assert!(cases.len() >= 60);
    for case in cases {
        let name = &case.name;
        let test = signed_rank(&case.d);
        assert_close(test.w_plus, case.w_plus, &format!("{name}: w_plus"));
        assert_close(test.p_greater, case.p_greater, &format!("{name}: greater"));
        assert_close(test.p_less, case.p_less, &format!("{name}: less"));
        assert_close(hodges_lehmann(&case.d), case.hodges_lehmann, &format!("{name}: Hodges-Lehmann"));
        for ends in &case.intervals {
            let what = format!("{name} at {}", ends.alpha);
            let ours = confidence_interval(&case.d, ends.alpha);
            assert_end(ours.lower, ends.lower, ends.lower_open, f64::INFINITY, &what);
            assert_end(ours.upper, ends.upper, ends.upper_open, f64::NEG_INFINITY, &what);
        }
    }
}

#[derive(Deserialize)]
struct HolmCase {
    alpha: f64,
    p: Vec<f64>,
    adjusted: Vec<f64>,
    rejected: Vec<bool>,
}

#[test]
fn holm_step_down() {
    let cases: Vec<HolmCase> = corpus!("holm.json");
    assert!(!cases.is_empty());
    for case in cases {
        let steps = holm(&case.p, case.alpha);
        assert_eq!(steps.len(), case.p.len());
        for (i, step) in steps.iter().enumerate() {
            assert_close(step.adjusted_p, case.adjusted[i], "adjusted p");
            assert_eq!(step.rejected, case.rejected[i]);
        }
    }
}

#[derive(Deserialize)]
struct Planning {
    pairs: Vec<PairsCase>,
    minimum: Vec<MinimumCase>,
    clopper_pearson: Vec<BoundCase>,
    quantiles: Vec<QuantileCase>,
    scales: Vec<ScaleCase>,
}

#[derive(Deserialize)]
struct PairsCase {
    alpha: f64,
    power: f64,
    s_d: f64,
    delta: f64,
    pairs: usize,
    mde: f64,
}

#[derive(Deserialize)]
struct MinimumCase {
    metrics: usize,
    alpha: f64,
    pairs: usize,
}

#[derive(Debug, Deserialize)]
struct BoundCase {
    events: u64,
    trials: u64,
    confidence: f64,
    upper: f64,
}

#[derive(Deserialize)]
struct QuantileCase {
    sorted: Vec<f64>,
    q: Vec<f64>,
    values: Vec<f64>,
}

#[derive(Deserialize)]
struct ScaleCase {
    d: Vec<f64>,
    qn: f64,
}

#[test]
fn planning_bounds_and_quantiles() {
    let corpus: Planning = corpus!("planning.json");
    for case in &corpus.pairs {
        let pairs = required_pairs(case.s_d, case.delta, case.alpha, case.power);
        assert_eq!(pairs, Some(case.pairs));
        let mde = minimum_detectable_effect(case.pairs, case.s_d, case.alpha, case.power);
        assert_close(mde, case.mde, "minimum detectable effect");
    }
    for case in &corpus.minimum {
        assert_eq!(minimum_pairs(case.metrics, case.alpha), Some(case.pairs));
    }
    for case in &corpus.clopper_pearson {
        let ours = clopper_pearson_upper(case.events, case.trials, case.confidence);
        // Absolute: the incomplete beta function of statrs is good to about eight digits when
        // its parameters are in the ten thousands.
        assert!((ours - case.upper).abs() <= TOLERANCE, "{ours} {case:?}");
    }
    for case in &corpus.quantiles {
        for (&q, &value) in case.q.iter().zip(&case.values) {
            assert_close(quantile_sorted(&case.sorted, q), value, "quantile");
        }
    }
    for case in &corpus.scales {
        assert_close(robust_sd(&case.d), case.qn, "Qn");
    }
}
