//! The Omniops dataset, and the properties that every dataset has by construction.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use pgduel::dataset::{Dataset, DatasetError, Model, Sizing, TableId, TenantClass, Value, digest};
use proptest::prelude::*;

const OMNIOPS: &str = include_str!("../seeds/omniops/dataset.toml");

/// SHA-256 of all rows at scale 0.05 with 200 vectors, seed 42. It changes only with the model, the generators or a dependency that
/// must not change: then the seeded templates of everyone change too, so say so in the changelog.
const GOLDEN: &str = "d3706c149fa268190583e8707e637d7d591adc3bc4c1de79099406ba7290bc6e";

fn omniops() -> Arc<Model> {
    Arc::new(Model::parse("seeds/omniops/dataset.toml", OMNIOPS).unwrap_or_else(|e| panic!("{e}")))
}

fn plan(scale: f64, vectors: Option<u64>, overlays: &[&str], seed: u64) -> Dataset {
    let overlays = overlays.iter().map(|o| o.to_string()).collect();
    Dataset::plan(omniops(), Sizing { scale, vectors, overlays }, seed).unwrap()
}

fn table(d: &Dataset, name: &str) -> TableId {
    d.table(name).unwrap_or_else(|| panic!("no table {name}"))
}

fn values(d: &Dataset, table_name: &str, column: &str) -> Vec<Value> {
    let t = table(d, table_name);
    let c = d.column(t, column).unwrap();
    (0..d.rows(t)).map(|row| d.value(t, row, c)).collect()
}

fn uuids(d: &Dataset, table: &str, column: &str) -> HashSet<[u8; 16]> {
    values(d, table, column).into_iter().filter_map(|v| if let Value::Uuid(id) = v { Some(id) } else { None }).collect()
}

#[test]
fn the_golden_digest_is_the_same_with_any_number_of_threads() {
    let d = plan(0.05, Some(200), &[], 42);
    let hex = |bytes: [u8; 32]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let one = hex(digest(&d, 1));
    assert_eq!(one, hex(digest(&d, 4)));
    assert_eq!(one, GOLDEN);
    assert_ne!(one, hex(digest(&plan(0.05, Some(200), &[], 43), 4)));
}

#[test]
fn scale_one_has_the_documents_counts() {
    let d = plan(1.0, None, &[], 1);
    let expected = [
        ("organizations", 40),
        ("customers", 40),
        ("conversations", 2_132),
        ("messages", 5_998),
        ("chat_telemetry", 894),
        ("scraped_pages", 4_491),
        ("page_embeddings", 20_229),
    ];
    for (name, rows) in expected {
        assert_eq!(d.rows(table(&d, name)), rows, "{name}");
    }
}

#[test]
fn vectors_are_sized_on_their_own() {
    let d = plan(0.5, Some(5_000), &[], 1);
    assert_eq!(d.rows(table(&d, "page_embeddings")), 5_000);
    assert_eq!(d.rows(table(&d, "messages")), 2_999);
}

#[test]
fn impossible_sizes_are_refused_with_what_is_allowed() {
    let refused = |sizing: Sizing| match Dataset::plan(omniops(), sizing, 1) {
        Err(DatasetError::Sizing { message, help }) => format!("{message}: {help}"),
        other => panic!("{other:?}"),
    };
    let sizing = |scale, vectors, overlay: &str| Sizing { scale, vectors, overlays: vec![overlay.to_owned()] };
    assert!(refused(sizing(0.001, None, "lengths")).contains("0.01 to 1000"));
    assert!(refused(sizing(f64::NAN, None, "lengths")).contains("0.01 to 1000"));
    assert!(refused(sizing(1.0, Some(0), "lengths")).contains("vectors"));
    assert!(refused(sizing(1.0, None, "widths")).contains("overlays: lengths"));
}

#[test]
fn tenants_are_skewed_and_small_tables_reach_the_tail() {
    let d = plan(1.0, None, &[], 42);
    let conversations = table(&d, "conversations");
    let of = |tenant| d.rows_of_tenant(conversations, tenant).iter().map(|r| r.end - r.start).sum::<u64>();
    let sizes: Vec<u64> = (0..d.tenants()).map(of).collect();
    assert!(sizes[0] > 2_132 / 5, "the whale has {}", sizes[0]);
    assert!(sizes[0] > sizes[1] && sizes[1] > sizes[20], "{sizes:?}");
    assert!(sizes.iter().all(|n| *n > 0), "{sizes:?}");
    let telemetry = table(&d, "chat_telemetry");
    let late = (20..40).filter(|t| !d.rows_of_tenant(telemetry, *t).is_empty()).count();
    assert!(late >= 15, "only {late} of the 20 smallest tenants have telemetry");
    let classes: Vec<TenantClass> = (0..40).map(|t| d.class(t)).collect();
    assert_eq!(classes.iter().filter(|c| **c == TenantClass::Whale).count(), 1);
    assert_eq!(classes.iter().filter(|c| **c == TenantClass::Middle).count(), 19);
    assert!((d.tenant_weights().iter().sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn conversations_differ_in_length() {
    let d = plan(1.0, None, &[], 42);
    let (conversations, messages) = (table(&d, "conversations"), table(&d, "messages"));
    let mut lengths: Vec<u64> =
        (0..d.rows(conversations)).map(|c| d.children_of(conversations, c, messages)).map(|r| r.end - r.start).collect();
    lengths.sort_unstable();
    assert_eq!(lengths[0], 1);
    assert!(lengths[lengths.len() - 1] >= 12, "{:?}", lengths.last());
}

#[test]
fn owners_have_one_tenant_and_some_members_two() {
    let d = plan(1.0, None, &[], 42);
    let users = table(&d, "auth.users");
    let mut two = 0;
    for row in 0..d.rows(users) {
        let user = d.user(row);
        assert!(!user.memberships.is_empty());
        if user.memberships.iter().any(|m| &*m.role == "owner") {
            assert_eq!(user.memberships.len(), 1);
        }
        if user.memberships.len() == 2 {
            two += 1;
            assert_ne!(user.memberships[0].tenant, user.memberships[1].tenant);
            assert_eq!(&*user.memberships[1].role, "member");
        }
        for m in &user.memberships {
            assert!(d.members(m.tenant, Some(&m.role)).contains(&row));
        }
    }
    assert!((5..60).contains(&two), "{two} users have two tenants");
    for tenant in 0..d.tenants() {
        assert_eq!(d.members(tenant, Some("owner")).len(), 1, "tenant {tenant}");
        let by_role: usize = d.roles().iter().map(|role| d.members(tenant, Some(role)).len()).sum();
        assert_eq!(by_role, d.members(tenant, None).len());
    }
    assert!(!d.members(0, Some("admin")).is_empty());
}

#[test]
fn the_membership_table_says_the_same_as_the_users() {
    let d = plan(1.0, None, &[], 42);
    let mut said: HashMap<[u8; 16], Vec<([u8; 16], String)>> = HashMap::new();
    let (user, tenant, role) = (
        values(&d, "organization_members", "user_id"),
        values(&d, "organization_members", "organization_id"),
        values(&d, "organization_members", "role"),
    );
    for ((user, tenant), role) in user.into_iter().zip(tenant).zip(role) {
        let (Value::Uuid(user), Value::Uuid(tenant), Value::Text(role)) = (user, tenant, role) else { panic!("types") };
        said.entry(user).or_default().push((tenant, role.to_string()));
    }
    let organizations = table(&d, "organizations");
    let id = |tenant: u32| match d.value(organizations, u64::from(tenant), d.key(organizations)) {
        Value::Uuid(id) => id,
        other => panic!("{other:?}"),
    };
    for row in 0..d.rows(table(&d, "auth.users")) {
        let user = d.user(row);
        let expected: Vec<_> = user.memberships.iter().map(|m| (id(m.tenant), m.role.to_string())).collect();
        assert_eq!(said.get(&user.id), Some(&expected), "user {row}");
    }
    let members = table(&d, "organization_members");
    let seen: u64 = (0..d.tenants()).flat_map(|t| d.rows_of_tenant(members, t)).map(|r| r.end - r.start).sum();
    assert_eq!(seen, d.rows(members));
}

#[test]
fn each_organization_has_its_owners_customers_row() {
    let d = plan(1.0, None, &[], 42);
    let owners = values(&d, "customers", "auth_user_id");
    assert_eq!(owners.len(), d.tenants() as usize);
    for (tenant, owner) in owners.into_iter().enumerate() {
        let expected = d.user(d.members(tenant as u32, Some("owner"))[0]).id;
        assert_eq!(owner, Value::Uuid(expected));
    }
}

#[test]
fn overlays_add_rows_and_change_none() {
    let (without, with) = (plan(0.05, Some(50), &[], 7), plan(0.05, Some(50), &["lengths"], 7));
    let (conversations, messages) = (table(&with, "conversations"), table(&with, "messages"));
    for t in with.tables() {
        for row in (0..without.rows(t)).step_by(7) {
            assert_eq!(with.row(t, row), without.row(t, row), "{} {row}", with.table_name(t));
        }
    }
    let long = with.overlay_rows("lengths");
    assert_eq!(long.iter().map(|(size, _)| *size).collect::<Vec<_>>(), [[100; 4], [1_000; 4], [10_000; 4]].concat());
    assert_eq!(with.rows(conversations), without.rows(conversations) + 12);
    assert_eq!(with.rows(messages), without.rows(messages) + 44_400);
    for (size, row) in long {
        let children = with.children_of(conversations, row, messages);
        assert_eq!(children.end - children.start, size);
        assert!(children.clone().step_by(97).all(|m| with.parent_of(messages, m) == Some(row)));
        assert_eq!(with.tenant_of(messages, children.start), Some(0));
        assert_eq!(with.parent_of(conversations, row), Some(0));
        rising(&with, children);
    }
    assert!(without.overlay_rows("lengths").is_empty());
    assert_eq!(with.rows_of_tenant(messages, 0).len(), 2);
}

/// Times of these messages rise strictly and lie before now.
fn rising(d: &Dataset, messages: std::ops::Range<u64>) {
    let t = table(d, "messages");
    let at = d.column(t, "created_at").unwrap();
    let mut last = i64::MIN;
    for row in messages {
        let Value::Timestamp(us) = d.value(t, row, at) else { panic!("no time") };
        assert!(us > last, "message {row}: {us} after {last}");
        assert!(us <= d.now());
        last = us;
    }
}

#[test]
fn times_rise_within_a_conversation() {
    let d = plan(0.2, Some(50), &[], 42);
    let (conversations, messages) = (table(&d, "conversations"), table(&d, "messages"));
    for row in 0..d.rows(conversations) {
        rising(&d, d.children_of(conversations, row, messages));
    }
}

#[test]
fn load_order_is_a_permutation_by_time_or_by_the_seed() {
    let d = plan(0.1, Some(300), &[], 42);
    for t in d.tables() {
        let mut order = d.load_order(t);
        if d.table_name(t) == "messages" {
            let at = d.column(t, "created_at").unwrap();
            let times: Vec<i64> =
                order.iter().map(|r| if let Value::Timestamp(us) = d.value(t, *r, at) { us } else { panic!("no time") }).collect();
            assert!(times.is_sorted());
            assert!(!order.is_sorted());
        }
        if d.table_name(t) == "page_embeddings" {
            assert!(!order.is_sorted());
            assert_ne!(order, plan(0.1, Some(300), &[], 43).load_order(t));
        }
        order.sort_unstable();
        assert_eq!(order, (0..d.rows(t)).collect::<Vec<_>>());
    }
}

#[test]
fn fresh_rows_are_new_and_owned() {
    let d = plan(0.1, Some(300), &[], 42);
    let (pages, chunks) = (table(&d, "scraped_pages"), table(&d, "page_embeddings"));
    let known = uuids(&d, "page_embeddings", "id");
    let page = d.column(chunks, "page_id").unwrap();
    let mut seen = HashSet::new();
    for number in 0..50 {
        let row = d.fresh_row(chunks, number, 3);
        assert_eq!(row.len(), d.columns(chunks).len());
        assert_eq!(row[usize::from(page.0)], d.value(pages, 3, d.key(pages)));
        let Value::Uuid(id) = row[usize::from(d.key(chunks).0)] else { panic!("no uuid") };
        assert!(!known.contains(&id) && seen.insert(id));
        assert_eq!(row, d.fresh_row(chunks, number, 3));
    }
    // Past the end: of an arbitrary, existing parent.
    let past = d.rows(chunks) + 5;
    let parent = d.parent_of(chunks, past).unwrap();
    assert!(parent < d.rows(pages));
    assert_eq!(d.value(chunks, past, page), d.value(pages, parent, d.key(pages)));
}

#[test]
fn query_vectors_are_held_out() {
    let d = plan(0.05, Some(100), &[], 42);
    let t = table(&d, "page_embeddings");
    let c = d.column(t, "embedding").unwrap();
    let q = d.query_vector(t, c, 0, 0).unwrap();
    assert_eq!(q.len(), 1536);
    assert!(values(&d, "page_embeddings", "embedding").iter().all(|v| *v != Value::Vector(q.clone())));
    assert_eq!(d.query_vector(t, d.key(t), 0, 0), None);
}

#[test]
fn the_size_estimate_grows_with_the_data() {
    let small = plan(0.1, Some(500), &[], 1).estimated_bytes();
    let large = plan(10.0, Some(500), &[], 1).estimated_bytes();
    let vectors = plan(0.1, Some(50_000), &[], 1).estimated_bytes();
    assert!(large > 20 * small / 2 && vectors > 50_000 * 12_000, "{small} {large} {vectors}");
    assert!(small < 40_000_000, "{small}");
}

/// (child, column, parent, column): every foreign key of the suite.
const KEYS: [(&str, &str, &str, &str); 19] = [
    ("organization_members", "user_id", "auth.users", "id"),
    ("organization_members", "organization_id", "organizations", "id"),
    ("customers", "auth_user_id", "auth.users", "id"),
    ("customer_configs", "organization_id", "organizations", "id"),
    ("widget_configs", "customer_config_id", "customer_configs", "id"),
    ("domains", "organization_id", "organizations", "id"),
    ("domains", "customer_config_id", "customer_configs", "id"),
    ("conversations", "customer_id", "customers", "id"),
    ("conversations", "organization_id", "organizations", "id"),
    ("conversations", "domain_id", "domains", "id"),
    ("messages", "conversation_id", "conversations", "id"),
    ("chat_telemetry", "conversation_id", "conversations", "id"),
    ("chat_telemetry", "domain", "domains", "domain"),
    ("scraped_pages", "domain_id", "domains", "id"),
    ("page_embeddings", "page_id", "scraped_pages", "id"),
    ("page_embeddings", "domain_id", "domains", "id"),
    ("query_cache", "organization_id", "organizations", "id"),
    ("error_logs", "organization_id", "organizations", "id"),
    ("scrape_jobs", "domain_id", "domains", "id"),
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn references_hold_at_every_size(scale in 0.01f64..0.3, vectors in 1u64..400, seed: u64, long: bool) {
        let overlays: &[&str] = if long { &["lengths"] } else { &[] };
        let d = plan(scale, Some(vectors), overlays, seed);
        let mut known: HashMap<(&str, &str), HashSet<String>> = HashMap::new();
        for (child, column, parent, key) in KEYS {
            let keys = known
                .entry((parent, key))
                .or_insert_with(|| values(&d, parent, key).iter().map(|v| v.to_json().to_string()).collect());
            prop_assert_eq!(keys.len() as u64, d.rows(table(&d, parent)), "{}.{} is not unique", parent, key);
            let (t, step) = (table(&d, child), if long { 13 } else { 1 });
            let c = d.column(t, column).unwrap();
            for row in (0..d.rows(t)).step_by(step) {
                prop_assert!(keys.contains(&*d.value(t, row, c).to_json()), "{}.{} of row {}", child, column, row);
            }
        }
    }

    #[test]
    fn owners_partition_every_table(scale in 0.01f64..2.0, vectors in 1u64..3_000, seed: u64, long: bool) {
        let overlays: &[&str] = if long { &["lengths"] } else { &[] };
        let d = plan(scale, Some(vectors), overlays, seed);
        for t in d.tables() {
            let mut covered = vec![false; d.rows(t) as usize];
            for tenant in 0..d.tenants() {
                let ranges = d.rows_of_tenant(t, tenant);
                prop_assert!(ranges.len() <= 2 && ranges.iter().all(|r| !r.is_empty()));
                for range in ranges {
                    prop_assert_eq!(d.tenant_of(t, range.start), Some(tenant));
                    prop_assert_eq!(d.tenant_of(t, range.end - 1), Some(tenant));
                    for row in range {
                        prop_assert!(!std::mem::replace(&mut covered[row as usize], true), "row {} twice", row);
                    }
                }
            }
            prop_assert!(covered.iter().all(|c| *c), "{} has rows of nobody", d.table_name(t));
            let Some(parent) = d.parent_table(t) else { continue };
            let mut children = 0;
            for row in 0..d.rows(parent) {
                let range = d.children_of(parent, row, t);
                children += range.end - range.start;
                for child in range {
                    prop_assert_eq!(d.parent_of(t, child), Some(row));
                }
            }
            let own: u64 = if d.table_name(t) == "conversations" { d.overlay_rows("lengths").len() as u64 } else { 0 };
            prop_assert_eq!(children + own, d.rows(t), "{}", d.table_name(t));
        }
    }
}

/// The mistakes people make in a dataset file, and where and how they are told.
#[test]
fn mistakes_are_told_with_file_line_key_and_what_is_allowed() {
    let cases = [
        ("now   = \"2025-11-07T12:00:00Z\"", "now   = \"yesterday\"", "d.toml:6: now: `yesterday` is no point in time"),
        ("zipf  = 1.1", "zifp  = 1.1", "d.toml:10: tenants.zifp: `zifp` is not known here|allowed: table, zipf"),
        (
            "parent   = \"conversations\"",
            "parent   = \"conversation\"",
            "table[8].parent: there is no table `conversation`|tables: organizations",
        ),
        ("rows   = 2132", "rows   = -1", "table[7].rows: -1 is out of range|1 to"),
        ("skew   = { zipf = 0.8 }", "skew   = \"odd\"", "table[7].skew: `odd` is not known here|allowed: even"),
        (
            "columns.domain_id       = { parent = \"id\" }",
            "columns.domain_id       = { parent = \"uid\" }",
            "columns.domain_id.parent: table `domains` has no column `uid`|its columns: id, domain",
        ),
        (
            "{ step = \"45s\", after-parent = \"created_at\", jitter = 0.8 }",
            "{ step = \"45 parsecs\", after-parent = \"created_at\" }",
            "columns.created_at.step: `45 parsecs` is no duration|us, ms, s, m, h or d",
        ),
        ("columns.started_at      = { same = \"created_at\" }", "columns.started_at = { same = \"started_at\" }", "depends on itself"),
        ("{ cycle = [\"user\", \"assistant\"] }", "{ cyclic = [\"user\"] }", "columns.role: is no generator|cycle, choice"),
        ("chunk_index = \"position\"", "chunk_index = \"positron\"", "chunk_index: `positron` is no generator|uuid, serial"),
        ("{ ancestor = \"domains\", column = \"domain\" }", "{ ancestor = \"messages\", column = \"role\" }", "`messages` is no ancestor"),
        ("{ template = \"{hex32}\" }", "{ template = \"{sex32}\" }", "`{sex32}` is no placeholder|{hex16}"),
        ("order    = \"created_at\"", "order    = \"role\"", "table[8].order: the column gives no timestamps"),
        ("{ name = \"member\" }]", "{ name = \"member\", first = 2 }]", "the last role has a number of users"),
        ("child  = \"messages\"", "child  = \"domains\"", "overlay.lengths.child: is no child of the overlay's table"),
        (
            "columns.is_active          = { bool = 0.95 }",
            "columns.is_active = { bool = 1.5 }",
            "columns.is_active.bool: is out of range|0 to 1",
        ),
        ("title = \"Omniops", "title = Omniops", "d.toml:5: (file):"),
    ];
    for (right, wrong, expected) in cases {
        assert!(OMNIOPS.contains(right), "{right}");
        let text = OMNIOPS.replacen(right, wrong, 1);
        let DatasetError::File(error) = Model::parse("d.toml", &text).expect_err(wrong) else { panic!("{wrong}") };
        let (message, help) = expected.split_once('|').unwrap_or((expected, ""));
        assert!(error.to_string().contains(message), "{error}\nexpected {message}");
        assert!(error.to_string().starts_with("d.toml:"), "{error}");
        assert!(error.help.contains(help), "{}\nexpected {help}", error.help);
        assert!(!error.help.is_empty());
        // The line that is named is the line that is wrong.
        let line = text.lines().nth(error.line - 1).unwrap_or("");
        assert!(line.contains(wrong.split_whitespace().next().unwrap_or("")) || line.starts_with('['), "{error}: {line}");
    }
}

/// Values are generated one inside the other, on a thread's stack.
#[test]
fn what_is_nested_or_chained_too_deep_is_refused_and_the_rest_is_generated() {
    let head = "title = 'x'\nnow = '2025-11-07T12:00:00Z'\ntenants.table = 't'\n[[table]]\nname = 't'\nrows = 3\ncolumns.id = 'uuid'\n";
    let chain = |length: usize| {
        let links = (1..length).map(|link| format!("columns.c{link} = {{ same = 'c{}' }}\n", link - 1));
        format!("{head}columns.c0 = 'serial'\n{}", links.collect::<String>())
    };
    let nested = |depth: usize| format!("{head}columns.c0 = {{ {}const = 1{} }}\n", "json = { a = { ".repeat(depth), " } }".repeat(depth));
    let points = |depth: usize| format!("{head}columns.c0.{}const = 1\n", "json.a.".repeat(depth));
    for text in [chain(100), nested(10), points(10)] {
        let model = Model::parse("d.toml", &text).expect("not too deep");
        let d = Dataset::plan(Arc::new(model), Sizing { scale: 1.0, vectors: None, overlays: Vec::new() }, 1).unwrap();
        let table = d.tables()[0];
        assert_eq!(d.row(table, 0).len(), text.matches("columns.").count());
    }
    for (text, message) in [
        (chain(101), "d.toml:108: table[0].columns.c100: is the end of a chain of more than 100 columns"),
        (chain(900), "d.toml:108: table[0].columns.c100: is the end of a chain of more than 100 columns"),
        (nested(30), "is nested too deep"),
        (points(30), "is nested too deep"),
    ] {
        let DatasetError::File(error) = Model::parse("d.toml", &text).expect_err(message) else { panic!("{message}") };
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[test]
fn no_text_makes_the_parser_panic() {
    for cut in (0..OMNIOPS.len()).step_by(37) {
        if let Some(part) = OMNIOPS.get(..cut) {
            assert!(Model::parse("d.toml", part).is_ok() || cut < OMNIOPS.len());
        }
    }
    for line in 0..OMNIOPS.lines().count() {
        let without: Vec<&str> = OMNIOPS.lines().enumerate().filter(|(i, _)| *i != line).map(|(_, l)| l).collect();
        if let Ok(model) = Model::parse("d.toml", &without.join("\n")) {
            let sizing = Sizing { scale: 0.01, vectors: Some(3), overlays: Vec::new() };
            if let Ok(d) = Dataset::plan(Arc::new(model), sizing, 1) {
                for t in d.tables().into_iter().filter(|t| d.table_name(*t) != "page_embeddings") {
                    d.row(t, 0);
                    d.row(t, u64::MAX);
                    d.fresh_row(t, u64::MAX, u64::MAX);
                }
            }
        }
    }
}
