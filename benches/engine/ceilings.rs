//! What the generator could do if the server did nothing.

use super::arena::{Arena, Program, in_turn, ratio, shown};
use super::nothing::answer_at_once;

/// Prints the table.
pub fn table(arena: &Arena, pairs: usize, seconds: u32, only: &str) -> anyhow::Result<()> {
    if !"ceilings".contains(only) {
        return Ok(());
    }
    println!("## Ceilings\n");
    println!(
        "What one thread of `pgduel pgbench` could do: against a server in the same machine that answers at once and does nothing, and `SELECT 1` on \
         PostgreSQL, both as a multiple of the point selects that PostgreSQL answers. {pairs} neighbours of {seconds} s in turn, 8 clients on 1 \
         thread, `-M prepared`.\n"
    );
    println!("| against | throughput, of point selects | client CPU per transaction, of point selects |");
    println!("|---|---|---|");
    let port = answer_at_once()?;
    let one = arena.script("one.sql", "SELECT 1;\n")?;
    let usual = ["-n", "-M", "prepared", "-c8", "-j1"].map(str::to_owned);
    let timed = |script: [&str; 2]| -> Vec<String> {
        let script = script.into_iter().filter(|word| !word.is_empty()).map(str::to_owned);
        usual.iter().cloned().chain(script).chain([format!("-T{seconds}")]).collect()
    };
    let nothing: Vec<String> = timed(["-f", &one]).into_iter().chain([format!("-p{port}")]).collect();
    let arms = [("nothing", nothing), ("`SELECT 1`", timed(["-f", &one]))];
    let point = timed(["-S", ""]);
    for (name, arguments) in &arms {
        let (mut throughput, mut cpu) = (Vec::new(), Vec::new());
        for turn in 0..pairs {
            let run = |arguments: &[String]| arena.run(Program::Pgduel, arguments);
            let (this, base) = in_turn(turn, || run(arguments), || run(&point))?;
            throughput.push(this.tps / base.tps);
            cpu.push(this.cpu_per_transaction() / base.cpu_per_transaction());
        }
        println!("| {name} | {} | {} |", shown(&ratio(&throughput)), shown(&ratio(&cpu)));
    }
    println!();
    Ok(())
}
