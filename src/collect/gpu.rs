//! How busy the GPUs are.
//!
//! Drivers tell the share of the last moments in which a GPU was busy (NVML: of the last sixth of a second to second);
//! the meter takes it to run straight between two looks, and the shares of several GPUs add up. Drivers are asked in a
//! thread of their own, since one that hangs would hold everything up; finding them takes longer than a start should.

use sysinfo::Gpus;

use super::guard::{Answer, Guarded};
use crate::clock::Monotonic;

/// The GPUs that tell how busy they are; none costs nothing.
#[derive(Debug)]
pub(super) struct GpuLoad {
    guarded: Option<Guarded<f64>>,
    /// It was said that there is no answer.
    stuck: bool,
}

impl GpuLoad {
    /// Looks for GPUs once, where `wanted`. Drivers that tell nothing are left alone from then on.
    pub(super) fn find(wanted: bool) -> Self {
        Self { guarded: wanted.then(|| Guarded::new("gpu", reader)), stuck: false }
    }

    /// Whether there is a GPU whose driver gave no answer at the last look.
    pub(super) const fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// How many GPUs are busy: 0.5 for one at half load.
    pub(super) fn busy(&mut self, at: Monotonic) -> f64 {
        let Some(guarded) = &mut self.guarded else { return 0.0 };
        match guarded.ask(at) {
            Answer::Known(busy) => {
                if std::mem::take(&mut self.stuck) {
                    tracing::info!("the GPU driver answers again");
                }
                busy
            }
            Answer::Waiting => 0.0,
            Answer::Stuck => {
                if !std::mem::replace(&mut self.stuck, true) {
                    tracing::warn!("the GPU driver does not answer; no GPU seconds are metered until it does");
                }
                0.0
            }
            Answer::Never => {
                self.guarded = None;
                0.0
            }
        }
    }
}

/// Runs in the thread.
fn reader() -> Option<impl FnMut() -> f64> {
    let gpus = Gpus::new_with_refreshed_list().ok();
    let mut gpus = gpus.filter(|gpus| gpus.iter().any(|gpu| gpu.usage().is_some()))?;
    Some(move || {
        gpus.refresh(true);
        gpus.iter().filter_map(sysinfo::Gpu::usage).map(|percent| f64::from(percent).clamp(0.0, 100.0) / 100.0).sum()
    })
}
