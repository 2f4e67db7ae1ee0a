//! Tenants, servers, clients and files that want to do harm: what each of them can't do.

#[cfg(target_os = "linux")]
mod absent;
#[cfg(target_os = "linux")]
mod capabilities;
#[cfg(target_os = "linux")]
mod files;
#[cfg(target_os = "linux")]
mod hopping;
mod ids;
#[cfg(target_os = "linux")]
mod large_configuration;
#[cfg(target_os = "linux")]
mod metering;
mod nats;
#[cfg(target_os = "linux")]
mod network;
mod queue;
mod servers;
#[cfg(target_os = "linux")]
mod terminal;
mod waits;

/// The most memory that a process has held, in MiB; `None` once it has ended.
fn peak_memory(process: &std::process::Child) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10)
}
