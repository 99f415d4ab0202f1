//! What an arrival makes of a script before anything is sent: values, branches, sleeps. No database is needed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use pgduel::dataset::{Dataset, Sizing};
use pgduel::load::bind::{Arrival, Bound, Mix};
use pgduel::record::{Arrivals, BlockLoad};
use pgduel::{scenario, suite};

/// Arrivals of a transaction with this script, on a pool of three, with `:key` drawn as 5 and `:scale` given as 10.
fn arrivals(script: &str, count: u64) -> Vec<Arrival> {
    let mix = mix(script);
    (0..count).map(|sequence| mix.arrival(sequence)).collect()
}

fn mix(script: &str) -> Mix {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("made.sql"), script).expect("a script");
    let text = "title = 't'\nduel = ['before', 'after']\n[load]\nconnections = 3\n[[transaction]]\nname = 'made'\nscript = 'made.sql'\n\
                variables = { scale = 10 }\ndraw.key = { int = [5, 5] }\n";
    let scenario = scenario::parse("notes", "made", &folder.path().join("made.toml"), text);
    let scenario = scenario.unwrap_or_else(|found| panic!("{}", found.iter().map(|one| one.plain() + "\n").collect::<String>()));
    let notes = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/notes/seeds/notes");
    let model = suite::load(&notes).expect("the example's suite").model;
    let dataset = Dataset::plan(model, Sizing { scale: 0.1, vectors: None, overlays: Vec::new() }, 1).expect("the data");
    Mix::new(Arc::new(dataset), &scenario, 1).expect("it can be bound")
}

/// What the script gives to parameters, in order; the draw stands before them.
fn given(arrival: &Arrival) -> Vec<String> {
    let text = |bound: &Bound| match bound {
        Bound::Text(text) => text.to_string(),
        Bound::One(value) => format!("{value:?}"),
        Bound::Rows(_) => panic!("no rows are drawn"),
    };
    arrival.values[1..].iter().map(text).collect()
}

#[test]
fn values_are_reckoned_from_the_arrivals_own_numbers() {
    let script = "\\set a random(1, 1000 * :scale)\n\\set d :key * 2\nselect :a, :d, :key, :client_id;\n\\set a :a + 1\nselect :a;\n";
    let (once, again) = (arrivals(script, 50), arrivals(script, 50));
    for (one, other) in once.iter().zip(&again) {
        assert_eq!(one.values, other.values, "a pure function of seed and number");
        let [a, d, client, next] = &given(one)[..] else { panic!("{:?}", one.values) };
        let number: i64 = a.parse().expect("a number");
        assert!((1..=10_000).contains(&number) && *next == (number + 1).to_string(), "{a}, then {next}");
        assert_eq!(d, "10", "a draw can be reckoned with");
        assert!(["0", "1", "2"].contains(&client.as_str()), "{client} is none of three clients");
    }
    let different: std::collections::BTreeSet<_> = once.iter().map(given).collect();
    assert!(different.len() > 40, "{} of 50", different.len());
}

#[test]
fn the_load_says_what_is_drawn() {
    let mix = mix("\\set a random(1, 1000000)\nselect :a, :key;\n");
    let load = |seed, weights: &[f64]| BlockLoad {
        seed,
        mix: weights.to_vec(),
        ..BlockLoad::new(Arrivals::Closed, Duration::ZERO, Duration::ZERO)
    };
    let drawn = |mix: &Mix| (0..20).map(|sequence| mix.arrival(sequence).values).collect::<Vec<_>>();
    let under = |load: BlockLoad| mix.under(&load).map(|mix| drawn(&mix));
    assert_eq!(under(load(1, &[1.0])).as_ref(), Some(&drawn(&mix)));
    assert_eq!(under(load(1, &[0.5])).as_ref(), Some(&drawn(&mix)), "the share of all is the same");
    assert!(under(load(2, &[1.0])).is_some_and(|other| other != drawn(&mix)));
    for other in [&[][..], &[1.0, 1.0], &[0.0], &[-1.0], &[f64::NAN], &[f64::INFINITY]] {
        assert_eq!(under(load(1, other)), None, "{other:?}");
    }
}

#[test]
fn branches_are_taken_and_sleeps_stand_before_what_they_delay() {
    let script =
        "\\set n random(1, 2)\n\\sleep 3 ms\n\\if :n = 1\nselect :n, :key;\n\\else\n\\sleep :n ms\nselect -:n;\n\\endif\n\\sleep 7 us\n";
    let ms = Duration::from_millis;
    let mut seen = [0, 0];
    for arrival in arrivals(script, 40) {
        let course = arrival.course.as_ref().expect("a script has a course");
        assert_eq!(course.fault, None);
        let first = given(&arrival)[0] == "1";
        assert_eq!(course.sends, [first, !first]);
        let before = if first { [ms(3), ms(0)] } else { [ms(0), ms(5)] };
        assert_eq!(course.sleeps, [before[0], before[1], Duration::from_micros(7)]);
        seen[usize::from(first)] += 1;
    }
    assert!(seen[0] > 5 && seen[1] > 5, "{seen:?}");
}

#[test]
fn a_value_that_cannot_be_had_is_told_with_its_line() {
    let script = "select :key;\n\\set n random(0, 1)\n\\set half 1 / :n\nselect :half;\n";
    let found = arrivals(script, 40);
    let faults: Vec<_> = found.iter().filter_map(|arrival| arrival.course.as_ref()?.fault.clone()).collect();
    assert!(!faults.is_empty() && faults.len() < found.len());
    assert!(faults.iter().all(|(line, error)| *line == 3 && error.0 == "division by zero"), "{faults:?}");
}
