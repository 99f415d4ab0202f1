//! Scenario and suite files: what is read from good ones, and what is said of bad ones.

use std::path::Path;

use pgduel::record::Side;
use pgduel::scenario::{self, AnswerRule, Arrival, Draw, Pick, Within};

fn data(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lint").join(file)
}

#[test]
fn every_key_is_read() {
    let text = std::fs::read_to_string(data("good/every-key.toml")).unwrap();
    let read = scenario::parse("omniops", "every-key", Path::new("every-key.toml"), &text);
    let read = read.unwrap_or_else(|errors| panic!("{}", errors.iter().map(|e| e.plain() + "\n").collect::<String>()));
    assert_eq!(read.path(), "omniops/every-key");
    assert_eq!(read.load.arrival, Arrival::Work { sessions: 1, transactions: Some(200) });
    assert_eq!(read.load.rtt.as_micros(), 1500);
    assert_eq!(read.analysis, "Why *this* exists.");
    let [fetch, ingest, count] = &read.transactions[..] else { panic!() };
    let draws: Vec<&str> = fetch.draws.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(draws[..4], ["conversation", "message", "anywhere", "session"], "draws keep file order");
    let draw = |name: &str| &fetch.draws.iter().find(|(other, _)| other == name).unwrap().1;
    assert_eq!(
        *draw("message"),
        Draw::Row {
            from: "messages".into(),
            column: Some("id".into()),
            within: Within::Parameter("conversation".into()),
            pick: Pick::Recent(4.0)
        }
    );
    assert_eq!(*draw("org2"), Draw::Tenant(None));
    assert_eq!(fetch.answers.rule, AnswerRule::Recall(0.95));
    let history = &fetch.statements.after[0];
    assert_eq!(history.settings, [("hnsw.ef_search".to_owned(), "100".to_owned()), ("enable_seqscan".into(), "off".into())]);
    assert_eq!(history.parameters.1[..2], ["conversation", "now"]);
    assert!(history.parameters.0.contains("conversation_id = $1 and created_at < $2"));
    assert_eq!(history.plan_lacks, ["Seq Scan"]);
    assert!(fetch.statements.before[0].plan_lacks.is_empty(), "a plain list is about the after side");
    assert_eq!(fetch.statements.before[0].plan_has, ["Seq Scan"]);
    assert_eq!(ingest.statements.get(Side::Before)[0].each.as_ref().unwrap().chunk, 1);
    assert_eq!(ingest.statements.after[0].name, "at-once");
    assert!(!ingest.comparable_by_statement() && count.comparable_by_statement() && read.writes());
}
