//! Scenario and suite files: what is read from good ones, and what is said of bad ones.

use std::collections::BTreeSet;
use std::path::Path;

use pgduel::cli::lint::{self, Colour, Outcome, Style};
use pgduel::cli::list;
use pgduel::diagnostic::Diagnostic;
use pgduel::record::{Arm, Arms, Arrivals, Expect, Expectation, QuantityExpectations};
use pgduel::scenario::{self, AnswerRule, Catalog, Draw, Identity, Pick, Rate, Within, schema};
use pgduel::shown::steers;
use pgduel::suite;
use proptest::prelude::*;

fn data(file: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/lint").join(file)
}

#[test]
fn every_key_is_read() {
    let text = std::fs::read_to_string(data("good/every-key.toml")).unwrap();
    let read = scenario::parse("omniops", "every-key", Path::new("every-key.toml"), &text);
    let read = read.unwrap_or_else(|errors| panic!("{}", errors.iter().map(|e| e.plain() + "\n").collect::<String>()));
    assert_eq!(read.path(), "omniops/every-key");
    assert_eq!((&read.load.rate, read.load.connections), (&Rate::Stated(Arrivals::Work { transactions: 200 }), 1));
    assert_eq!(read.load.rtt.as_micros(), 1500);
    assert_eq!((read.load.max_tries, read.load.acquire_timeout.map(|limit| limit.as_secs())), (1, Some(5)));
    assert_eq!(read.analysis, "Why *this* exists.");
    let [fetch, ingest, count, look] = &read.transactions[..] else { panic!() };
    let draws: Vec<&str> = fetch.draws.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(draws[..4], ["conversation", "message", "anywhere", "session"], "draws keep file order");
    let draw = |name: &str| &fetch.draws.iter().find(|(other, _)| other == name).unwrap().1;
    assert_eq!(
        *draw("message"),
        Draw::Row {
            from: "messages".into(),
            column: Some("id".into()),
            within: Within::Parameter("conversation".into()),
            pick: Pick::Zipf(1.1)
        }
    );
    assert_eq!(*draw("org2"), Draw::Tenant(None));
    assert_eq!(fetch.answers.rule, AnswerRule::Recall(0.95));
    let history = &fetch.statements.others[0][0];
    assert_eq!(history.settings, [("hnsw.ef_search".to_owned(), "100".to_owned()), ("enable_seqscan".into(), "off".into())]);
    assert_eq!(history.parameters.1[..2], ["conversation", "now"]);
    assert!(history.parameters.0.contains("conversation_id = $1 and created_at < $2"));
    assert_eq!(history.plan_lacks, ["Seq Scan"]);
    assert!(fetch.statements.baseline[0].plan_lacks.is_empty(), "a plain list is not about the baseline");
    assert_eq!(fetch.statements.baseline[0].plan_has, ["Seq Scan"]);
    assert_eq!(ingest.statements.get(Arm::BASELINE)[0].each.as_ref().unwrap().chunk, 1);
    assert_eq!(ingest.statements.others[0][0].name, "at-once");
    let expected = |expected: &Option<scenario::Expected>| expected.clone().map(|stated| (stated.expect, stated.why));
    assert_eq!(expected(&read.expected), Some((Expect::Verdict(Expectation::Improved), "X-45: the index fits".into())));
    assert_eq!(expected(&ingest.expected), Some((Expect::Verdict(Expectation::Regressed), "X-12: a trigger fills the tenant in".into())));
    let of_p50 = Expect::Quantities(QuantityExpectations { p50: Some(Expectation::Unchanged), ..Default::default() });
    for side in [Arm::BASELINE, Arm::at(1)] {
        assert_eq!(expected(&count.statements.get(side)[0].expected), Some((of_p50.clone(), "both read one page".into())));
    }
    assert!(fetch.expected.is_none() && history.expected.is_none());
    assert!(!ingest.comparable_by_statement(Arm::at(1)) && count.comparable_by_statement(Arm::at(1)) && read.writes());
    assert_eq!(look.identity, Identity::None, "a script is about the login role");
    assert_eq!(look.commits(Arm::at(1)), 4, "with a branch nobody knows what stands between begin and end");
    let names = look.statements.baseline.iter().map(|statement| statement.name.as_str());
    assert_eq!(names.collect::<Vec<_>>(), ["begin-2", "select-3", "update-6", "end-8"]);
    assert!(look.statements.others[0][1].parameters.0.contains("conversation_id = $1 AND created_at < $2 LIMIT $3"));
}

/// Compares with a checked-in file, or writes it where `PGDUEL_BLESS` is set.
fn golden(file: &Path, found: &str) -> Result<(), String> {
    if std::env::var_os("PGDUEL_BLESS").is_some() {
        std::fs::write(file, found).unwrap();
        return Ok(());
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    if expected == found {
        return Ok(());
    }
    let file = file.display();
    Err(format!("{file} differs. If it should, run PGDUEL_BLESS=1 cargo test --test lint and look at the diff.\n--- found\n{found}"))
}

/// A dataset of the tests' own.
struct Tables;

impl Catalog for Tables {
    fn tables(&self) -> Vec<String> {
        ["organizations", "conversations", "messages", "scraped_pages", "page_embeddings", "plans"].map(str::to_owned).to_vec()
    }
    fn columns(&self, table: &str) -> Vec<String> {
        let columns: &[&str] = match table {
            "organizations" => &["id", "name"],
            "conversations" => &["id", "session_id", "created_at"],
            "page_embeddings" => &["id", "embedding"],
            "messages" | "scraped_pages" | "plans" => &["id", "content"],
            _ => &[],
        };
        columns.iter().map(|column| column.to_string()).collect()
    }
    fn vector_columns(&self, table: &str) -> Vec<String> {
        if table == "page_embeddings" { vec!["embedding".into()] } else { Vec::new() }
    }
    fn parent(&self, table: &str) -> Option<String> {
        let parent = match table {
            "conversations" | "scraped_pages" => "organizations",
            "messages" => "conversations",
            "page_embeddings" => "scraped_pages",
            _ => return None,
        };
        Some(parent.into())
    }
    fn tenants_table(&self) -> String {
        "organizations".into()
    }
    fn has_tenant(&self, table: &str) -> bool {
        table != "plans"
    }
    fn roles(&self) -> Vec<String> {
        ["owner", "admin", "member"].map(str::to_owned).to_vec()
    }
    fn overlays(&self) -> Vec<String> {
        vec!["lengths".into()]
    }
    fn overlay(&self, name: &str) -> Option<(String, Vec<u64>)> {
        (name == "lengths").then(|| ("conversations".into(), vec![100, 1000, 10_000]))
    }
}

const VARIANTS: [&str; 3] = ["before-domain", "before-customer", "after"];

fn findings(name: &str, text: &str) -> Vec<Diagnostic> {
    match scenario::parse("omniops", name, Path::new(&format!("{name}.toml")), text) {
        Ok(scenario) => scenario::check_names(&scenario, &VARIANTS.map(str::to_owned), &Tables),
        Err(errors) => errors,
    }
}

/// Each finding as one line; then the first of them as a terminal shows it.
fn printed(found: Vec<Diagnostic>) -> String {
    let outcome = Outcome { files: 1, found };
    let mut out = Vec::new();
    lint::print(&outcome, Style::Plain, &mut out).unwrap();
    let graphical = outcome.found.first().map(|first| lint::graphical(first, 100, Colour::Off)).unwrap_or_default();
    let graphical: String = graphical.lines().map(|line| format!("{}\n", line.trim_end())).collect();
    format!("{}\n{graphical}", String::from_utf8(out).unwrap())
}

fn toml_files(folder: &str) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(data(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|found| found == "toml")).collect();
    files.sort();
    files
}

#[test]
fn each_bad_scenario_is_told_what_is_wrong() {
    let files = toml_files("bad");
    assert!(files.len() >= 25);
    let mut wrong = Vec::new();
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let found = findings(&name, &std::fs::read_to_string(&file).unwrap());
        assert!(!found.is_empty(), "{name} is taken for good");
        wrong.extend(golden(&file.with_extension("txt"), &printed(found)).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_bad_suite_is_told_what_is_wrong() {
    let mut wrong = Vec::new();
    for name in ["from", "keys", "no-variant", "shared", "visible"] {
        let folder = data("suites").join(name);
        let found = suite::load(&folder).expect_err(name);
        // Where the tests run is not part of the message.
        let text = printed(found).replace(&format!("{}/", data("suites").display()), "");
        wrong.extend(golden(&folder.join("errors.txt"), &text).err());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_good_scenario_fits_its_suite_and_its_schema() {
    let text = std::fs::read_to_string(data("good/every-key.toml")).unwrap();
    let found = findings("every-key", &text);
    assert!(found.is_empty(), "{}", printed(found));
    toml::from_str::<schema::ScenarioFile>(&text).unwrap();
}

#[test]
fn the_checked_in_schemas_are_the_generated_ones() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/schema");
    let schemas = [("scenario.schema.json", schema::scenario_schema()), ("run.schema.json", schema::run_schema())];
    for (file, generated) in schemas {
        golden(&folder.join(file), &generated).unwrap();
    }
}

/// What the reader asks for in a table, by its message for a key that it does not know.
fn keys_read(text: &str) -> BTreeSet<String> {
    let found = findings("keys", text);
    let help =
        found.iter().filter(|diagnostic| diagnostic.message.starts_with("is not a key")).find_map(|diagnostic| diagnostic.help.clone());
    let help = help.unwrap_or_else(|| panic!("no unknown key in {text}"));
    help.trim_start_matches("allowed: ").split(", ").map(str::to_owned).collect()
}

#[test]
fn arms_are_read_with_what_they_change() {
    let text = std::fs::read_to_string(data("good/arms.toml")).unwrap();
    let read = scenario::parse("omniops", "arms", Path::new("arms.toml"), &text);
    let read = read.unwrap_or_else(|errors| panic!("{}", errors.iter().map(|e| e.plain() + "\n").collect::<String>()));
    let names: Vec<&str> = read.arms.values().map(|arm| arm.name.as_str()).collect();
    assert_eq!(names, ["one-by-one", "at-once", "tuned", "before-domain"]);
    let (at_once, tuned, last) = (Arm::at(1), Arm::at(2), Arm::at(3));
    assert_eq!((read.connections(at_once), read.connections(tuned), read.sessions()), (4, 8, 8));
    assert_eq!((read.rtt(at_once).as_micros(), read.rtt(tuned).as_micros()), (0, 2_000));
    assert_eq!(read.arms.get(tuned).settings, [("work_mem".to_owned(), "64MB".to_owned()), ("hnsw.ef_search".into(), "100".into())]);
    let statements = |arm: Arm| read.transactions[0].statements.get(arm).iter().map(|one| one.sql.as_str()).collect::<Vec<_>>();
    assert_eq!(statements(Arm::BASELINE), ["select 1 where :c is not null", "select 1"]);
    assert_eq!((statements(at_once), statements(last)), (vec!["select 2"], vec!["select 2 where :c is not null", "select 1"]));
    assert_eq!(read.transactions[0].statements.get(tuned)[0].settings, [("enable_sort".to_owned(), "off".to_owned())]);
    // Three arms share a variant, and so have three databases of it.
    assert_eq!(read.databases().map(|database| database.copy).collect::<Vec<_>>(), [0, 1, 2, 0]);
    let expected = &read.expected.as_ref().unwrap().expect;
    assert_eq!(expected.of("at-once"), Some(&Expect::Verdict(Expectation::Improved)));
    assert!(expected.of("tuned").is_some() && expected.of("before-domain").is_none());

    let other =
        read.clone().with_arms(&Arms::two((read.arms.baseline.clone(), Arm::BASELINE), (scenario::ArmSpec::of("after-repaired"), at_once)));
    assert_eq!(other.expected.unwrap().expect.of("after-repaired"), None, "nothing was stated of it");
    assert_eq!(other.transactions[0].statements.get(at_once)[0].sql, "select 2");
    let itself = read.against_itself();
    assert_eq!(
        itself.arms.values().map(|arm| arm.name.as_str()).collect::<Vec<_>>(),
        ["one-by-one", "one-by-one-2", "one-by-one-3", "one-by-one-4"]
    );
    assert!(itself.transactions[0].statements.values().all(|of_arm| of_arm.len() == 2));
}

#[test]
fn a_sweep_makes_an_arm_of_each_value() {
    let text = std::fs::read_to_string(data("good/sweep.toml")).unwrap();
    let found = findings("sweep", &text);
    assert!(found.is_empty(), "{}", printed(found));
    toml::from_str::<schema::ScenarioFile>(&text).unwrap();
    let read = scenario::parse("omniops", "sweep", Path::new("sweep.toml"), &text).unwrap();
    let arms: Vec<_> = read.arms.values().map(|arm| (arm.name.as_str(), arm.variant.as_str(), arm.settings[0].1.as_str())).collect();
    assert_eq!(arms, [("batch-1", "after", "1MB"), ("batch-10.5", "after", "10.5MB"), ("batch-all", "after", "allMB")]);
    let last = &read.transactions[0].statements.get(Arm::at(2))[0];
    assert_eq!(last.sql, "select 'all' || '{{other}}'", "other names are left alone");
    assert_eq!(last.settings, [("enable_sort".to_owned(), "all".to_owned())]);
    assert_eq!(read.expected.as_ref().unwrap().expect.of("batch-all"), Some(&Expect::Verdict(Expectation::Improved)));
    // Each has a database of its own, which its value makes; against itself the baseline has copies of one.
    let databases = |read: &scenario::Scenario| {
        read.databases().map(|database| (database.factor.map(|factor| factor.value), database.copy)).collect::<Vec<_>>()
    };
    assert_eq!(databases(&read), [(Some("1".to_owned()), 0), (Some("10.5".to_owned()), 0), (Some("all".to_owned()), 0)]);
    assert_eq!(databases(&read.against_itself()), [0, 1, 2].map(|copy| (Some("1".to_owned()), copy)));
}

#[test]
fn a_sweep_says_how_many_rows_a_statement_takes() {
    let each = |values: &str| {
        format!(
            "title = 'T'\nduel = ['after']\nsweep.batch = {values}\n[[transaction]]\nname = 'ingest'\nidentity = 'member'\nwrites = true\n\
             draw.rows = {{ rows = 'page_embeddings', count = 100 }}\n[[transaction.statement]]\nname = 'insert'\n\
             each = {{ rows = '{{{{batch}}}}' }}\n\
             sql = 'insert into page_embeddings select * from json_populate_recordset(null::page_embeddings, :rows)'\n"
        )
    };
    let text = each("[1, 10, 100]");
    let found = findings("batches", &text);
    assert!(found.is_empty(), "{}", printed(found));
    toml::from_str::<schema::ScenarioFile>(&text).unwrap();
    let read = scenario::parse("omniops", "batches", Path::new("batches.toml"), &text).unwrap();
    let chunk = |of_arm: &Vec<scenario::Statement>| of_arm[0].each.as_ref().map(|each| each.chunk);
    assert_eq!(read.transactions[0].statements.values().map(chunk).collect::<Vec<_>>(), [Some(1), Some(10), Some(100)]);
}

#[test]
fn the_schema_describes_just_the_keys_that_are_read() {
    let json: serde_json::Value = serde_json::from_str(&schema::scenario_schema()).unwrap();
    let described = |name: &str| -> BTreeSet<String> {
        let table = if name.is_empty() { &json } else { &json["definitions"][name] };
        table["properties"].as_object().unwrap_or_else(|| panic!("{name}")).keys().cloned().collect()
    };
    let draw = |draw: &str| format!("[[transaction]]\ndraw.x = {{ {draw}, zzz = 1 }}");
    let tables = [
        ("", "zzz = 1".to_owned()),
        ("Quantities", "expect = { p50 = 'improved', zzz = 1 }".to_owned()),
        ("Arm", "[[arm]]\nzzz = 1\n[[arm]]".to_owned()),
        ("Margins", "[margins]\nzzz = 1".to_owned()),
        ("Load", "[load]\nzzz = 1".to_owned()),
        ("Transaction", "[[transaction]]\nzzz = 1".to_owned()),
        ("Statement", "[[transaction]]\n[[transaction.statement]]\nzzz = 1".to_owned()),
        ("Row", draw("from = 't'")),
        ("Row", draw("from = 't', overlay = 'o'")),
        ("Of", draw("of = 'x'")),
        ("Tenant", draw("tenant = 'x'")),
        ("Int", draw("int = [1, 2]")),
        ("Choice", draw("choice = ['x']")),
        ("Ago", draw("ago = '1d'")),
        ("Words", draw("words = 1")),
        ("QueryVector", draw("query-vector = 'a.b'")),
        ("Rows", draw("rows = 't'")),
        ("Const", draw("const = 1")),
    ];
    for (name, text) in tables {
        let mut described = described(name);
        if name == "Row" && !text.contains("overlay") {
            // Only an overlay has a size.
            described.remove("size");
        }
        assert_eq!(keys_read(&text), described, "{name}");
    }
}

#[test]
fn projects_are_walked_listed_and_counted() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("scenarios/shop");
    std::fs::create_dir_all(folder.join("deep")).unwrap();
    let good = "title = 'Cart'\nduel = ['a', 'b']\nclaims = ['S-1']\n[[transaction]]\nname = 't'\nidentity = 'anon'\n\
                [[transaction.statement]]\nname = 's'\nsql = 'select 1'\n";
    std::fs::write(folder.join("cart.toml"), good).unwrap();
    std::fs::write(folder.join("deep/bad.toml"), "title = 1\n").unwrap();
    std::fs::write(folder.join("claims.toml"), "no scenario").unwrap();
    assert_eq!(scenario::suites(root.path()).unwrap(), ["shop"]);
    assert_eq!(scenario::discover(root.path(), "shop").unwrap(), ["shop/cart", "shop/deep/bad"]);
    assert_eq!(scenario::load(root.path(), "shop/cart").unwrap().title, "Cart");
    let missing = scenario::load(root.path(), "shop/crat").unwrap_err()[0].plain();
    assert!(missing.contains("did you mean \"shop/cart\"?") && missing.contains("shop/deep/bad"), "{missing}");
    for outside in ["../shop/cart", "shop/../../etc/passwd", "shop", "/etc/passwd", ""] {
        assert!(scenario::load(root.path(), outside).unwrap_err()[0].plain().contains("allowed: suite/scenario"), "{outside}");
    }

    let outcome = lint::lint(root.path(), &[], &|_| panic!("there is no suite"));
    assert_eq!(outcome.files, 2);
    let text = printed(outcome.found);
    assert!(text.contains("there is no suite \"shop\"") && text.contains("bad.toml:1: title: the number 1 is not allowed"), "{text}");

    // A title that would clear the screen.
    std::fs::write(folder.join("cart.toml"), good.replace("Cart'", "Cart\\u009b2J\"").replace("title = '", "title = \"")).unwrap();
    let listing = list::list(root.path());
    assert_eq!(listing.errors.len(), 2, "{:?}", listing.errors);
    let mut out = Vec::new();
    list::print(&listing, 100, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    assert!(text.lines().all(|line| line.chars().count() <= 100 && !line.contains(steers)), "{text:?}");
    let line = text.lines().find(|line| line.trim_start().starts_with("cart ")).unwrap();
    assert!(["Cart", "a / b"].iter().all(|part| line.contains(part)), "{text}");
    let mut out = Vec::new();
    list::print_json(&listing, &mut out).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json["suites"][0]["scenarios"][0]["arms"], serde_json::json!(["a", "b"]));
}

#[test]
fn no_finding_steers_the_terminal() {
    let text = "# \u{202e}\u{9b}2J\ntitle = \"\\u001b[2J\"\nduel = [\"\\u009b2J\"]\n\"\\u001b]0;x\\u0007\" = 1\n";
    let found = scenario::parse("shop", "x", Path::new("scenarios/shop/\u{1b}[2J.toml"), text).unwrap_err();
    assert!(found.iter().any(|one| one.key.contains(steers)), "no key has a control character: {found:?}");
    for one in &found {
        for shown in [one.plain(), one.to_string(), lint::graphical(one, 100, Colour::Off)] {
            assert!(shown.lines().all(|line| !line.contains(steers)), "{shown:?}");
        }
        assert_eq!(one.line(), text[..one.span.start].matches('\n').count() + 1);
    }
}

#[test]
fn a_file_that_is_too_large_or_too_deep_is_refused() {
    let large = format!("# {}", "x".repeat(1 << 20));
    assert!(findings("large", &large)[0].plain().contains("larger than 1 MiB"));
    // Many mistakes are counted, not all shown: each place costs a walk through the text.
    let head = "title = 'T'\nduel = ['a', 'b']\n[[transaction]]\nname = 't'\nidentity = 'anon'\n[[transaction.statement]]\nname = 's'";
    let found = findings("many", &format!("{head}\nsql = 'select {}1'\n", "now(), ".repeat(100_000)));
    assert_eq!((found.len(), found[100].message.as_str()), (101, "99900 more errors are not shown"));
    // Places without a value, by the ten thousand, and braces that are none.
    for places in ["{{a}}, ".repeat(100_000), "{{".repeat(200_000)] {
        let found = findings("places", &format!("{head}\nsql = 'select {places}1'\n"));
        assert_eq!(found.iter().any(|one| one.message == "{{a}} has no value"), places.starts_with("{{a}}"));
    }
    // Keys with points are tables within tables that TOML's parser does not count.
    let points = format!("{{{}a = ", "a.".repeat(70));
    for deep in ["[".repeat(5000), "a.".repeat(5000) + "a = 1", "{a=".repeat(5000), format!("{}1{}", points.repeat(70), "}".repeat(70))] {
        assert!(!findings("deep", &format!("x = {deep}\n")).is_empty());
    }
    let found = findings("deep", &format!("{}a = 1\n", "a.".repeat(40)));
    assert!(found[0].plain().contains(".a: is nested too deep"), "{}", found[0].plain());
}

/// The fenced blocks of a document that are in this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fences = text.split("\n```").skip(1).step_by(2);
    fences.filter_map(|block| Some(block.strip_prefix(language)?.strip_prefix('\n')?.to_owned() + "\n")).collect()
}

#[test]
fn the_picture_of_an_error_in_the_documentation_is_what_is_printed() {
    let text = include_str!("../docs/scenario-format.md");
    let blocks_of = blocks(text, "toml");
    let smallest = blocks_of.iter().find(|block| block.contains("title = \"Conversation history fetch\"")).unwrap();
    let slip = smallest.replace("= :conversation", "= :conversatoin");
    let name = Path::new("scenarios/omniops/history-fetch.toml");
    let found = scenario::parse("omniops", "history-fetch", name, &slip).unwrap_err();
    let picture: Vec<String> = lint::graphical(&found[1], 100, Colour::Off).lines().map(|line| line.trim_end().to_owned()).collect();
    let shown = blocks(text, "").into_iter().find(|block| block.contains("conversatoin")).unwrap();
    assert_eq!(shown.trim_end(), picture.join("\n").trim_end());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_damage_to_a_file_is_a_panic(at in 0.0f64..1.0, cut in 0usize..40, insert in "[\\[\\]{}\"'=:,.#a-z0-9\n\\\\ é-]{0,6}") {
        let text = include_str!("data/lint/good/every-key.toml");
        let start = text.char_indices().map(|(i, _)| i).nth((text.chars().count() as f64 * at) as usize).unwrap_or(0);
        let end = (start + cut..).find(|i| *i >= text.len() || text.is_char_boundary(*i)).unwrap().min(text.len());
        let damaged = format!("{}{insert}{}", &text[..start], &text[end..]);
        for diagnostic in findings("damaged", &damaged) {
            prop_assert!(diagnostic.span.start <= damaged.len() && !lint::graphical(&diagnostic, 80, Colour::Off).is_empty());
        }
    }
}
