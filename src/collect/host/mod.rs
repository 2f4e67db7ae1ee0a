//! The host scope: this machine as a whole.
//!
//! On Linux from the kernel's own counters ([`LinuxHost`]); elsewhere through `sysinfo` (`PortableHost`), whose CPU
//! figures are averages since the last look. GPUs through `sysinfo` everywhere: NVML is loaded at run time, and a
//! machine without a GPU gives 0.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(any(test, not(target_os = "linux")))]
mod portable;

#[cfg(target_os = "linux")]
pub use linux::LinuxHost;
#[cfg(all(target_os = "linux", any(fuzzing, all(test, feature = "cli"))))]
pub(super) use linux::fuzz_files;
#[cfg(any(test, not(target_os = "linux")))]
pub use portable::PortableHost;

use super::{CollectError, Scope, ScopeOptions};

/// This machine, or the one that `options` have the files of.
///
/// # Errors
/// When nothing of it can be read.
pub(super) fn open(options: &ScopeOptions) -> Result<Box<dyn Scope>, CollectError> {
    #[cfg(target_os = "linux")]
    return Ok(Box::new(LinuxHost::open(options)?));
    #[cfg(not(target_os = "linux"))]
    return Ok(Box::new(PortableHost::open(options)?));
}

/// This machine.
///
/// # Errors
/// When nothing of it can be read.
pub fn this_host() -> Result<Box<dyn Scope>, CollectError> {
    open(&ScopeOptions::default())
}

/// The host's name, where it has one.
#[must_use]
pub fn host_name() -> Option<String> {
    sysinfo::System::host_name().ok().filter(|name| !name.is_empty())
}

/// The name of the user that this process runs as: its login name, else its number.
#[must_use]
pub fn user_name() -> Option<String> {
    let variable = |name| std::env::var(name).ok().filter(|name| !name.is_empty());
    // A service or a cron job has neither variable.
    variable("USER").or_else(|| variable("LOGNAME")).or_else(own_name)
}

#[cfg(target_os = "linux")]
fn own_name() -> Option<String> {
    let id = rustix::process::getuid().as_raw();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let own = users.lines().find(|line| line.split(':').nth(2).and_then(|field| field.parse().ok()) == Some(id));
    own.and_then(|line| line.split(':').next()).map(str::to_owned).or_else(|| Some(id.to_string()))
}

#[cfg(not(target_os = "linux"))]
fn own_name() -> Option<String> {
    std::env::var("USERNAME").ok().filter(|name| !name.is_empty())
}
