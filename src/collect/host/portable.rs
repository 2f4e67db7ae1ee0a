//! A host of any kind, through `sysinfo`.
//!
//! `sysinfo` gives no cumulative CPU time here, only the average load since its last look; the time used is that
//! average over the time between two looks.

use std::time::Duration;

use sysinfo::{Disks, MemoryRefreshKind, Networks, System};

use crate::clock::Monotonic;
use crate::collect::gpu::GpuLoad;
use crate::collect::template::{Names, Naming};
use crate::collect::{CollectError, NamePattern, Observed, Place, Reading, Scope, ScopeOptions, Traffic};
use crate::events::MetricSet;

/// A host that `sysinfo` knows.
pub struct PortableHost {
    names: Names,
    interfaces: Vec<NamePattern>,
    mounts: Vec<NamePattern>,
    devices: Vec<NamePattern>,
    system: System,
    networks: Networks,
    disks: Disks,
    gpus: GpuLoad,
    cpu: Duration,
    last: Option<Monotonic>,
}

impl std::fmt::Debug for PortableHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PortableHost").field("cpu", &self.cpu).finish_non_exhaustive()
    }
}

impl PortableHost {
    /// This host, with the interfaces and file systems that `options` pick.
    ///
    /// # Errors
    /// When `sysinfo` does not know this kind of system.
    pub fn open(options: &ScopeOptions) -> Result<Self, CollectError> {
        let name = super::host_name().unwrap_or_default();
        let refuse = |error: sysinfo::Error| CollectError(format!("can't meter this host: {error:?}"));
        Ok(Self {
            names: Naming::new(options, name.into()).of_host(),
            interfaces: options.interfaces.clone(),
            mounts: options.mounts.clone(),
            devices: options.devices.clone(),
            system: System::new().map_err(refuse)?,
            networks: Networks::new_with_refreshed_list().map_err(refuse)?,
            disks: Disks::new_with_refreshed_list().map_err(refuse)?,
            gpus: GpuLoad::find(true),
            cpu: Duration::ZERO,
            last: None,
        })
    }
}

impl Scope for PortableHost {
    fn instances(&self) -> Vec<(String, Place)> {
        vec![(self.names.instance.clone(), Place::Host)]
    }

    fn read(&mut self, at: Monotonic) -> Result<Vec<Observed>, CollectError> {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        self.networks.refresh(true);
        self.disks.refresh(true);
        let cpus = f64::from(u32::try_from(self.system.cpus().len()).unwrap_or(u32::MAX).max(1));
        let passed = self.last.and_then(|last| at.checked_sub(last)).unwrap_or_default();
        let load = f64::from(self.system.global_cpu_usage()).clamp(0.0, 100.0) / 100.0;
        self.cpu += Duration::try_from_secs_f64(load * cpus * passed.as_secs_f64()).unwrap_or_default();
        self.last = Some(at);
        let traffic =
            |data: &sysinfo::NetworkData| Traffic { sent: data.total_transmitted(), received: data.total_received() };
        let network = self.networks.iter().map(|(name, data)| (name.to_string_lossy().into_owned(), traffic(data)));
        let any = |patterns: &[NamePattern], name: &str| patterns.iter().any(|pattern| pattern.matches(name));
        let counts =
            |name: &str| if self.interfaces.is_empty() { !name.starts_with("lo") } else { any(&self.interfaces, name) };
        let all = self.mounts.is_empty() && self.devices.is_empty();
        let asked = |disk: &&sysinfo::Disk| {
            all || any(&self.mounts, &disk.mount_point().to_string_lossy())
                || any(&self.devices, &disk.name().to_string_lossy())
        };
        let used = |disk: &sysinfo::Disk| disk.total_space().saturating_sub(disk.available_space());
        let reading = Reading {
            at,
            cpu: Some(self.cpu),
            cpus,
            network: Some(network.filter(|(name, _)| counts(name)).collect()),
            memory_used: Some(self.system.used_memory()),
            memory_total: self.system.total_memory(),
            storage_used: Some(self.disks.iter().filter(asked).map(used).sum()),
            gpus_busy: self.gpus.busy(at),
            not_metered: MetricSet::GPU.only_if(self.gpus.is_stuck()),
            ..Reading::default()
        };
        let life = System::boot_time().map(|time| time.to_string()).unwrap_or_default();
        let Names { instance, user, org, .. } = self.names.clone();
        Ok(vec![Observed { instance, life, born: false, user, org, place: Place::Host, reading }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_machine() {
        let reading = PortableHost::open(&ScopeOptions::default())
            .unwrap()
            .read(Duration::from_secs(1))
            .unwrap()
            .remove(0)
            .reading;
        assert!(reading.cpus >= 1.0 && reading.memory_total > 0);
        assert_eq!(reading.cpu, Some(Duration::ZERO), "nothing is known before the second look");
    }
}
