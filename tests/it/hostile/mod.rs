//! Tenants, servers, clients and files that want to do harm: what each of them can't do.

#[cfg(target_os = "linux")]
mod capabilities;
#[cfg(target_os = "linux")]
mod files;
mod ids;
#[cfg(target_os = "linux")]
mod large_configuration;
#[cfg(target_os = "linux")]
mod metering;
#[cfg(target_os = "linux")]
mod network;
mod queue;
mod servers;
mod waits;
