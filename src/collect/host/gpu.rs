//! How busy the GPUs are.

use sysinfo::Gpus;

/// The GPUs that tell how busy they are; none costs nothing.
#[derive(Default)]
pub(super) struct GpuLoad {
    gpus: Option<Gpus>,
}

impl std::fmt::Debug for GpuLoad {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("GpuLoad").field("present", &self.gpus.is_some()).finish()
    }
}

impl GpuLoad {
    /// Looks for GPUs once. Drivers that tell nothing are left alone from then on.
    pub(super) fn find() -> Self {
        let gpus = Gpus::new_with_refreshed_list().ok();
        Self { gpus: gpus.filter(|gpus| gpus.iter().any(|gpu| gpu.usage().is_some())) }
    }

    /// How many GPUs are busy: 0.5 for one at half load.
    pub(super) fn busy(&mut self) -> f64 {
        let Some(gpus) = &mut self.gpus else { return 0.0 };
        gpus.refresh(true);
        gpus.iter().filter_map(sysinfo::Gpu::usage).map(|percent| f64::from(percent).clamp(0.0, 100.0) / 100.0).sum()
    }
}
