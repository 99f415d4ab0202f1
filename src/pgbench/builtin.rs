//! The scripts that come with pgbench, on its tables. Those are made by `pgbench -i`.

use std::path::Path;

use crate::diagnostic::{Diagnostic, Source, closest, list};
use crate::script::{Script, Symbols};

/// A script that comes along.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Builtin {
    /// Its name, as `-b` takes it.
    pub name: &'static str,
    /// As the report names it.
    pub title: &'static str,
    /// The script.
    pub text: &'static str,
}

/// All of them.
pub const BUILTINS: [Builtin; 3] = [
    Builtin {
        name: "tpcb-like",
        title: "<builtin: TPC-B (sort of)>",
        text: r"\set aid random(1, 100000 * :scale)
\set bid random(1, 1 * :scale)
\set tid random(1, 10 * :scale)
\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
UPDATE pgbench_tellers SET tbalance = tbalance + :delta WHERE tid = :tid;
UPDATE pgbench_branches SET bbalance = bbalance + :delta WHERE bid = :bid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
END;
",
    },
    Builtin {
        name: "simple-update",
        title: "<builtin: simple update>",
        text: r"\set aid random(1, 100000 * :scale)
\set bid random(1, 1 * :scale)
\set tid random(1, 10 * :scale)
\set delta random(-5000, 5000)
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + :delta WHERE aid = :aid;
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (:tid, :bid, :aid, :delta, CURRENT_TIMESTAMP);
END;
",
    },
    Builtin {
        name: "select-only",
        title: "<builtin: select only>",
        text: r"\set aid random(1, 100000 * :scale)
SELECT abalance FROM pgbench_accounts WHERE aid = :aid;
",
    },
];

impl Builtin {
    /// The one whose name begins so. As in pgbench, the beginning must be that of one only.
    pub fn find(name: &str) -> Result<Builtin, String> {
        let found: Vec<Builtin> = BUILTINS.into_iter().filter(|builtin| !name.is_empty() && builtin.name.starts_with(name)).collect();
        let names = || BUILTINS.iter().map(|builtin| builtin.name);
        match found.as_slice() {
            [one] => Ok(*one),
            [] => Err(match closest(name, names()) {
                Some(close) => format!("there is no built-in script \"{name}\"; did you mean {close}?"),
                None => format!("there is no built-in script \"{name}\"; there are {}", list(names())),
            }),
            several => Err(format!("\"{name}\" could be {}", list(several.iter().map(|builtin| builtin.name)))),
        }
    }

    /// Its text.
    pub fn text(self) -> &'static str {
        self.text
    }

    /// Its commands.
    pub fn script(self, weight: u64, symbols: &mut Symbols) -> Result<Script, Vec<Diagnostic>> {
        let script = Script::read(&Source::new(Path::new(self.name), self.text), weight, symbols)?;
        Ok(Script { name: self.title.to_owned(), ..script })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_script_reads() {
        let mut symbols = Symbols::new();
        for (builtin, commands) in BUILTINS.into_iter().zip([11, 9, 2]) {
            assert_eq!(builtin.script(1, &mut symbols).expect("reads").commands.len(), commands, "{}", builtin.name);
        }
    }

    #[test]
    fn a_beginning_is_enough_if_it_is_of_one() {
        assert_eq!(Builtin::find("tpcb").map(|builtin| builtin.name), Ok("tpcb-like"));
        assert_eq!(Builtin::find("s").unwrap_err(), "\"s\" could be simple-update, select-only");
        assert_eq!(Builtin::find("select-onyl").unwrap_err(), "there is no built-in script \"select-onyl\"; did you mean select-only?");
    }
}
