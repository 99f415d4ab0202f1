//! What the injected round-trip time really is.

use std::time::{Duration, Instant};

use pgduel::load::network::RttProxy;
use pgduel::load::wire::{Connection, Params, Rows};

use super::arena::{Arena, median};

const RTTS_MS: [f64; 8] = [0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 100.0, 200.0];

/// Prints the table.
pub fn table(arena: &Arena, only: &str) -> anyhow::Result<()> {
    if !"rtt".contains(only) {
        return Ok(());
    }
    println!("## Injected round-trip time\n");
    println!(
        "`SELECT 1` on one connection, through the proxy and past it in turn, each sent after a pause of the same length. What the proxy adds is the \
         median through it less the median past it.\n"
    );
    println!("| asked for | added, median | off by | executions | round trips, counted |");
    println!("|---|---|---|---|---|");
    for rtt in RTTS_MS {
        let rtt = Duration::from_secs_f64(rtt / 1e3);
        let rounds = (4.0 / rtt.as_secs_f64()).clamp(20.0, 400.0) as usize;
        let proxy = RttProxy::start(&arena.target()?, rtt)?;
        let (through, past, counted) = arena.block_on(compare(arena, &proxy, rtt, rounds))?;
        let added = median(through) - median(past);
        println!(
            "| {:.1} ms | {:.3} ms | {:+.3} ms | {rounds} | {counted} |",
            rtt.as_secs_f64() * 1e3,
            added * 1e3,
            (added - rtt.as_secs_f64()) * 1e3
        );
    }
    println!();
    Ok(())
}

async fn compare(arena: &Arena, proxy: &RttProxy, rtt: Duration, rounds: usize) -> anyhow::Result<(Vec<f64>, Vec<f64>, u64)> {
    let target = arena.target()?;
    let (mut slow, mut direct) = (Connection::connect(&proxy.route(&target)).await?, Connection::connect(&target).await?);
    let sql = "SELECT 1";
    let (of_slow, of_direct) = (slow.prepare("one", sql).await?, direct.prepare("one", sql).await?);
    let before = proxy.round_trips();
    let (mut through, mut past) = (Vec::new(), Vec::new());
    let params = Params::new();
    for _ in 0..rounds {
        // Both find the server as cold as the other.
        tokio::time::sleep(rtt).await;
        let began = Instant::now();
        slow.execute(&of_slow, &params, Rows::Discard).await?;
        through.push(began.elapsed().as_secs_f64());
        tokio::time::sleep(rtt).await;
        let began = Instant::now();
        direct.execute(&of_direct, &params, Rows::Discard).await?;
        past.push(began.elapsed().as_secs_f64());
    }
    let counted = proxy.round_trips() - before;
    slow.close().await;
    direct.close().await;
    Ok((through, past, counted))
}
