//! Everything that pgduel sets on its own server, in one list.

use serde::{Deserialize, Serialize};

const MIB: u64 = 1024 * 1024;
/// Assumed where the machine does not tell its memory: gives 512 MB of shared buffers.
const ASSUMED_MEMORY_BYTES: u64 = 2048 * MIB;

/// A pool of 595, what looks on, and what PostgreSQL reserves for superusers. Where semaphores are files, a shell's usual limit of open ones allows fewer.
const MAX_CONNECTIONS: &str = if cfg!(target_os = "macos") { "203" } else { "603" };

/// Whether a commit waits for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// As in production: what is measured includes the flush.
    #[default]
    On,
    /// For tests: a crash of the machine may lose the cluster, which is thrown away anyway.
    Off,
}

/// The settings of an embedded server, name and value as `postgresql.conf` takes them. Port and socket directory are
/// not among them: they differ from start to start and say nothing about speed.
///
/// `shared_buffers_bytes` is `None` for "by this machine's memory": a quarter of it, between 128 MB and 4 GB.
pub fn settings(durability: Durability, shared_buffers_bytes: Option<u64>) -> Vec<(String, String)> {
    let shared_buffers = shared_buffers_bytes.unwrap_or_else(|| shared_buffers_for(memory_bytes()));
    let shared_buffers = format!("{}MB", shared_buffers / MIB);
    let durable = match durability {
        Durability::On => "on",
        Durability::Off => "off",
    };
    [
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_permissions", "0700"),
        ("password_encryption", "scram-sha-256"),
        ("max_connections", MAX_CONNECTIONS),
        ("shared_buffers", shared_buffers.as_str()),
        ("shared_preload_libraries", "pg_stat_statements"),
        ("compute_query_id", "on"),
        ("track_io_timing", "on"),
        ("fsync", durable),
        ("synchronous_commit", durable),
        ("full_page_writes", durable),
        // Checkpoints are asked for between blocks, not left to fall into one.
        ("max_wal_size", "4GB"),
        ("checkpoint_timeout", "30min"),
        // A scan that starts where another one left off returns rows in another order.
        ("synchronize_seqscans", "off"),
        ("autovacuum", "on"),
        ("timezone", "UTC"),
        ("log_timezone", "UTC"),
        // Errors are matched and shown; one language for everybody.
        ("lc_messages", "C"),
        ("cluster_name", "pgduel"),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect()
}

fn shared_buffers_for(memory_bytes: u64) -> u64 {
    (memory_bytes / 4).clamp(128 * MIB, 4096 * MIB)
}

/// The memory this process may use: the machine's, or its control group's if that is less.
fn memory_bytes() -> u64 {
    let machine = linux_memory_bytes().or_else(macos_memory_bytes);
    match (machine, control_group_limit_bytes()) {
        (Some(machine), Some(limit)) => machine.min(limit),
        (Some(bytes), None) | (None, Some(bytes)) => bytes,
        (None, None) => ASSUMED_MEMORY_BYTES,
    }
}

fn linux_memory_bytes() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}

fn macos_memory_bytes() -> Option<u64> {
    if !cfg!(target_os = "macos") {
        return None;
    }
    let output = std::process::Command::new("/usr/sbin/sysctl").args(["-n", "hw.memsize"]).output().ok()?;
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}

fn control_group_limit_bytes() -> Option<u64> {
    // "max" where there is no limit. A container sees its own group at the root.
    std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()
}

/// The list as a configuration file.
pub(super) fn configuration_file(settings: &[(String, String)]) -> String {
    let mut text = "# Written by pgduel at every start.\n".to_owned();
    for (name, value) in settings {
        text.push_str(&format!("{name} = '{}'\n", value.replace('\'', "''")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_buffers_are_a_quarter_within_bounds() {
        assert_eq!(shared_buffers_for(100 * MIB), 128 * MIB);
        assert_eq!(shared_buffers_for(8192 * MIB), 2048 * MIB);
        assert_eq!(shared_buffers_for(u64::MAX), 4096 * MIB);
    }

    #[test]
    fn durability_is_one_choice_over_three_settings() {
        let off = settings(Durability::Off, Some(256 * MIB));
        let value = |name: &str| off.iter().find(|(set, _)| set == name).map(|(_, value)| value.as_str());
        for name in ["fsync", "synchronous_commit", "full_page_writes"] {
            assert_eq!(value(name), Some("off"));
        }
        assert_eq!(value("shared_buffers"), Some("256MB"));
        assert!(settings(Durability::On, None).contains(&("fsync".to_owned(), "on".to_owned())));
    }

    #[test]
    fn values_are_quoted_in_the_file() {
        let file = configuration_file(&[("cluster_name".to_owned(), "it's".to_owned())]);
        assert!(file.contains("cluster_name = 'it''s'\n"), "{file}");
    }
}
