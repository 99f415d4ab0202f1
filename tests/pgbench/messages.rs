//! What goes to the server is what pgbench sends: as many statements, and as many Syncs, each of which is a round trip.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::{BOTH, Bench, text};

/// A way to a server that counts messages of clients by their type, over all connections.
struct Counting {
    port: u16,
    counts: Arc<Mutex<BTreeMap<char, u64>>>,
}

impl Counting {
    fn start(server: u16) -> Counting {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let counts = Arc::new(Mutex::new(BTreeMap::new()));
        let shared = counts.clone();
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (client, counts) = (client.expect("a client"), shared.clone());
                let server = TcpStream::connect(("127.0.0.1", server)).expect("the server");
                let answers = (server.try_clone().expect("a copy"), client.try_clone().expect("a copy"));
                std::thread::spawn(move || pass_on(answers.0, answers.1, |_| ()));
                let mut messages = Messages::default();
                std::thread::spawn(move || pass_on(client, server, |bytes| messages.read(bytes, &counts)));
            }
        });
        Counting { port, counts }
    }

    /// Counts so far, which begin anew.
    fn take(&self) -> BTreeMap<char, u64> {
        std::mem::take(&mut *self.counts.lock().expect("no thread fails"))
    }
}

fn pass_on(mut from: TcpStream, mut to: TcpStream, mut look: impl FnMut(&[u8])) {
    let mut buffer = [0; 8192];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        look(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// The messages of one client. The first has no type.
#[derive(Default)]
struct Messages {
    begun: bool,
    rest: Vec<u8>,
}

impl Messages {
    fn read(&mut self, bytes: &[u8], counts: &Mutex<BTreeMap<char, u64>>) {
        self.rest.extend_from_slice(bytes);
        loop {
            let typed = usize::from(self.begun);
            let Some(length) = self.rest.get(typed..typed + 4) else { return };
            let length = typed + u32::from_be_bytes(length.try_into().expect("four bytes")) as usize;
            if self.rest.len() < length {
                return;
            }
            if self.begun {
                *counts.lock().expect("no thread fails").entry(char::from(self.rest[0])).or_default() += 1;
            }
            self.begun = true;
            self.rest.drain(..length);
        }
    }
}

#[tokio::test]
async fn as_many_statements_and_syncs_are_sent_as_by_pgbench() {
    let bench = Bench::initialized().await;
    let counting = Counting::start(bench.port());
    let port = counting.port.to_string();
    let identity = bench.script(
        "identity.sql",
        "\\set aid random(1, 100000)\nbegin;\nselect set_config('app.user', :aid::text, true);\n\
         select abalance from pgbench_accounts where aid = :aid;\ncommit;\n",
    );
    let scripts: [&[&str]; 3] = [&["-S"], &["-b", "tpcb-like"], &["-f", &identity]];
    for script in scripts {
        for mode in ["simple", "extended", "prepared"] {
            let arguments = [&["-n", "-M", mode, "-c", "2", "-j", "2", "-t", "25"], script].concat();
            let [theirs, ours] = BOTH.map(|who| {
                let found = bench.of(who, &[("PGPORT", &port), ("PGSSLMODE", "disable")], &arguments);
                assert!(found.status.success(), "{who:?} {arguments:?}: {}", text(&found.stderr));
                counting.take()
            });
            let of = |counts: &BTreeMap<char, u64>, kind: char| counts.get(&kind).copied().unwrap_or(0);
            // Executions and Syncs; and in simple mode queries, where those around the run are not the same: who asks for the scale, and how.
            for kind in ['P', 'B', 'E', 'S'] {
                assert_eq!(of(&ours, kind), of(&theirs, kind), "{kind} of {arguments:?}: {ours:?}, and pgbench {theirs:?}");
            }
            let statements = if mode == "simple" { 'Q' } else { 'S' };
            let least = 2 * 25 * if script == ["-S"] { 1 } else { 4 };
            assert!(of(&ours, statements) >= least && of(&ours, 'Q').abs_diff(of(&theirs, 'Q')) <= 4, "{ours:?}, and pgbench {theirs:?}");
            // What libpq asks for each time, the description of the rows, is asked for once here.
            assert!(of(&ours, 'D') <= of(&theirs, 'D'), "{ours:?}, and pgbench {theirs:?}");
        }
    }
}
