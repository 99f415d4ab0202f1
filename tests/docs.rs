//! The examples in the documents of the formats are what they are said to be. Each TOML block has its place in a file here, so one that
//! nobody looks at cannot stand in them.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::isolate;
use tempfile::TempDir;

const HEAD: &str = "title = 'T'\nduel = ['before-domain', 'after']\n";
const TRANSACTION: &str = "[[transaction]]\nname = 't'\nidentity = 'member'\n";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The TOML blocks of a document, in its order.
fn blocks(document: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join("docs").join(document)).expect("the document");
    let parts = text.split("```toml\n").skip(1);
    parts.map(|part| part.split("```").next().unwrap_or_default().to_owned()).collect()
}

/// The blocks under the names that the test gives them, in the document's order; the parts say which is which.
fn named<const N: usize>(document: &str, parts: [&str; N]) -> [String; N] {
    let found = blocks(document);
    assert_eq!(found.len(), N, "docs/{document} has other blocks than this test knows; each needs its place here");
    for (block, part) in found.iter().zip(parts) {
        assert!(block.contains(part), "docs/{document}: {part:?} is not in\n{block}");
    }
    found.try_into().expect("counted above")
}

/// A project folder; `pgduel lint` must find nothing wrong in it.
struct Project(TempDir);

impl Project {
    fn new() -> Project {
        Project(tempfile::tempdir().expect("a temporary folder"))
    }

    fn write(&self, file: &str, text: &str) {
        let file = self.0.path().join(file);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder is made");
        std::fs::write(file, text).expect("a file is written");
    }

    fn lint(&self) -> (bool, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgduel"));
        let found = isolate(&mut command).arg("--project").arg(self.0.path()).arg("lint").output().expect("pgduel runs");
        let said = [found.stdout, found.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        (found.status.success(), said)
    }

    /// Fails unless so many files were looked at and nothing was found.
    fn expect_good(&self, files: usize) {
        let (good, said) = self.lint();
        assert!(good && said.contains(&format!("{files} file")), "{said}");
    }
}

/// A project with the Omniops suite and no scenario.
fn omniops() -> Project {
    let project = Project::new();
    for folder in ["seeds", "seeds/omniops"] {
        for entry in std::fs::read_dir(root().join(folder)).expect("the suite").flatten().filter(|entry| entry.path().is_file()) {
            let name = entry.file_name().into_string().expect("UTF-8");
            let text = std::fs::read_to_string(entry.path()).expect("a file of the suite");
            project.write(&format!("{folder}/{name}"), &text);
        }
    }
    project
}

/// A statement that uses all of these parameters.
fn statement(parameters: &[String]) -> String {
    let list: Vec<String> = parameters.iter().map(|name| format!(":{name}")).collect();
    format!("[[transaction.statement]]\nname = 's'\nsql = 'select {}'\n", list.join(", "))
}

/// Names of the draws in a block.
fn draws(block: &str) -> Vec<String> {
    block.lines().filter_map(|line| Some(line.strip_prefix("draw.")?.split([' ', '=']).next()?.to_owned())).collect()
}

#[test]
fn every_block_of_the_scenario_format_is_valid() {
    let parts = [
        "#:schema ",
        "title = \"Conversation history fetch\"",
        "[[arm]]",
        "sweep.batch",
        "{{batch}}",
        "[margins]",
        "= \"auto\"",
        "{ stages = [",
        "answers  = \"same\"",
        "draw.me ",
        "name = \"search\"",
        "sql = { before-domain = ",
        "json_populate_recordset",
        "expect ",
        "script ",
    ];
    let [schema, smallest, arms, sweep, batches, margins, load, stages, transaction, draw, search, apart, insert, expect, script] =
        named("scenario-format.md", parts);
    let project = omniops();
    let mut files = 0;
    let mut scenario = |name: &str, text: &str| {
        project.write(&format!("scenarios/omniops/{name}.toml"), text);
        files += 1;
    };
    let one = statement(&["now".to_owned()]);

    scenario("smallest", &format!("{schema}{smallest}"));
    scenario("settings", &format!("{HEAD}{margins}{load}{TRANSACTION}{one}"));
    scenario("stages", &format!("{HEAD}{stages}{TRANSACTION}{one}"));
    scenario("transaction", &format!("{HEAD}{transaction}{one}"));
    // The suite's conversations have no title; another column stands in for it.
    let draw = draw.replace("column = \"title\"", "column = \"session_id\"");
    scenario("draws", &format!("{HEAD}overlays = ['lengths']\n{TRANSACTION}{draw}{}", statement(&draws(&draw))));
    let query = "answers = { recall = 0.9 }\ndraw.q = { query-vector = 'page_embeddings.embedding' }\n";
    scenario("search", &format!("{HEAD}{TRANSACTION}{query}{search}"));
    let x = "draw.x = { int = [1, 2] }\n";
    scenario("apart", &format!("{HEAD}{TRANSACTION}{x}[[transaction.statement]]\nname = 's'\n{apart}"));
    let apart = "[[transaction.statement]]\nname = 's'\nsql = { one-by-one = 'select 1', at-once = 'select 2' }\n";
    scenario("arms", &format!("title = 'T'\n{arms}{TRANSACTION}{apart}"));
    let rows = "writes = true\ndraw.rows = { rows = 'page_embeddings', count = 3 }\n";
    scenario("insert", &format!("{HEAD}{TRANSACTION}{rows}{insert}"));
    let hundred = rows.replace("count = 3", "count = 100");
    scenario("sweep", &format!("title = 'T'\n{sweep}{TRANSACTION}{hundred}{batches}"));
    let text = "draw.text = { words = 3 }\n\n[[transaction.statement]]";
    scenario("expectations", &format!("{HEAD}{}", expect.replace("\n[[transaction.statement]]", text)));
    let shipped = root().join("tests/data/pgbench/tpcb-classic.sql");
    project.write("scenarios/omniops/tpcb.sql", &std::fs::read_to_string(shipped).expect("a script"));
    scenario("script", &format!("{HEAD}{script}"));
    // The suite has no statements of nobody, and so no login.
    let suite = std::fs::read_to_string(root().join("seeds/omniops/suite.toml")).expect("the suite");
    project.write("seeds/omniops/suite.toml", &format!("login = 'omniops_app'\n{suite}"));
    project.expect_good(files + 1);

    let path = schema.trim().strip_prefix("#:schema ").expect("a path to the schema");
    assert!(root().join("scenarios/omniops").join(path).is_file(), "{path} is not there");
}

#[test]
fn the_load_that_is_shown_is_the_default() {
    let [.., load, _, _, _, _, _, _, _, _] =
        named("scenario-format.md", ["", "", "", "", "", "", "[load]", "", "", "", "", "", "", "", ""]);
    let one = statement(&["now".to_owned()]);
    let read = |text: String| {
        let name = Path::new("shown.toml");
        pgduel::scenario::parse("omniops", "shown", name, &text).unwrap_or_else(|errors| panic!("{}", errors[0].plain())).load
    };
    let shown = read(format!("{HEAD}{load}{TRANSACTION}{one}"));
    assert_eq!(format!("{shown:?}"), format!("{:?}", read(format!("{HEAD}{TRANSACTION}{one}"))));
}

#[test]
fn every_block_of_the_suite_format_is_valid() {
    let [suite, dataset, overlay] = named("suite-format.md", ["[variant.before]", "[[table]]", "[overlay.lengths]"]);
    let project = Project::new();
    project.write("seeds/supabase.sql", "select 1;\n");
    let sql = suite.split('"').filter(|part| part.ends_with(".sql") && !part.starts_with(".."));
    for file in sql.collect::<Vec<_>>() {
        project.write(&format!("seeds/shop/{file}"), "select 1;\n");
    }
    project.write("seeds/shop/suite.toml", &suite);
    project.write("seeds/shop/dataset.toml", &dataset);
    let scenario = "title = 'T'\nduel = ['before', 'after']\n[[transaction]]\nname = 't'\nidentity = 'owner'\n\
                    draw.order = { from = 'orders' }\n";
    project.write("scenarios/shop/orders.toml", &format!("{scenario}{}", statement(&["order".to_owned()])));
    project.expect_good(2);
    let read = pgduel::suite::load(&project.0.path().join("seeds/shop")).unwrap_or_else(|errors| panic!("{}", errors[0].plain()));
    let after = &read.variants["after"];
    assert_eq!((after.sql.len(), after.rollback.len(), after.visible.len()), (2, 1, 1), "the files and the rule of `from` come first");

    // Its own two tables, with whom they belong to.
    let tables = "[[table]]\nname = 'conversations'\nparent = 'shops'\nrows = 50\ncolumns.id = 'uuid'\n\
                  [[table]]\nname = 'messages'\nparent = 'conversations'\nrows = 500\ncolumns.id = 'uuid'\n";
    project.write("seeds/shop/dataset.toml", &format!("{dataset}\n{tables}\n{overlay}"));
    let long = scenario.replace("from = 'orders'", "from = 'conversations', overlay = 'lengths', size = 10000");
    let long = long.replace("[[transaction]]", "overlays = ['lengths']\n[[transaction]]");
    project.write("scenarios/shop/orders.toml", &format!("{long}{}", statement(&["order".to_owned()])));
    project.expect_good(2);
}

/// Each generator that the tables of the document name makes a column.
#[test]
fn every_generator_of_the_suite_format_makes_a_column() {
    let text = std::fs::read_to_string(root().join("docs/suite-format.md")).expect("the document");
    let table = text.split("| generator | gives |").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("the table of generators");
    let mut columns = String::new();
    let mut number = 0;
    for line in table.lines().skip(2) {
        let cell = line.trim_start_matches("| ").split(" | ").next().unwrap_or_default();
        for generator in cell.split('`').skip(1).step_by(2) {
            // The example's own tables: shops above orders, customers and pages beside them.
            columns += &format!("columns.c{number} = {generator}\n");
            number += 1;
        }
    }
    assert!(number > 20, "{number}");
    let model = format!(
        "title = 'T'\nnow = '2025-11-07T12:00:00Z'\n[tenants]\ntable = 'shops'\nzipf = 1.1\n\
         [[table]]\nname = 'shops'\nrows = 4\ncolumns.id = 'uuid'\ncolumns.name = {{ fake = 'company' }}\n\
         [[table]]\nname = 'customers'\nparent = 'shops'\nrows = 9\nat-least = 1\ncolumns.id = 'uuid'\n\
         [[table]]\nname = 'pages'\nparent = 'shops'\nrows = 9\nat-least = 1\ncolumns.id = 'uuid'\n\
         [[table]]\nname = 'domains'\nparent = 'shops'\nrows = 8\ncolumns.id = 'uuid'\ncolumns.name = {{ fake = 'domain' }}\n\
         columns.created_at = {{ recent = '90d' }}\n\
         [[table]]\nname = 'things'\nparent = 'domains'\nrows = 40\ncolumns.id = 'uuid'\ncolumns.created_at = {{ recent = '90d' }}\n{columns}"
    );
    let model = pgduel::dataset::Model::parse("shown.toml", &model).unwrap_or_else(|error| panic!("{error}\n{model}"));
    let sizing = pgduel::dataset::Sizing { scale: 1.0, vectors: None, overlays: Vec::new() };
    let data = pgduel::dataset::Dataset::plan(std::sync::Arc::new(model), sizing, 1).unwrap_or_else(|error| panic!("{error}"));
    let things = data.table("things").expect("the table");
    assert_eq!(data.row(things, 7).len(), number + 2);
}
