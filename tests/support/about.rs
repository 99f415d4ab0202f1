//! Where numbers in the docs were measured.

use pgduel::target::Server;

/// Server, machine and program in a line.
pub async fn about(server: &Server) -> anyhow::Result<String> {
    let server = server.describe().await?;
    let machine = pgduel::experiment::machine();
    let setting = |name: &str| server.settings.get(name).cloned().unwrap_or_default();
    Ok(format!(
        "{} · {} with {} cores, server and client on the same · fsync {}, shared_buffers {} · pgduel {}",
        server.version.split(" on ").next().unwrap_or_default(),
        machine.cpu,
        machine.cores,
        setting("fsync"),
        setting("shared_buffers"),
        env!("CARGO_PKG_VERSION")
    ))
}
