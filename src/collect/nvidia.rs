//! How busy each process keeps the GPUs of NVIDIA's driver.
//!
//! Its files say nothing in `fdinfo`; its library (NVML, loaded at run time) tells for each process the share of time
//! since the last question in which the processors of a GPU worked for it. The meter takes shares to run straight between
//! two looks, as it does for the host. Cards before Maxwell, and cards split into instances (MIG), tell nothing: 0.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use nvml_wrapper::Nvml;

use super::guard::{Answer, Guarded};
use crate::clock::Monotonic;

/// Shares of GPUs by process: 0.5 for half of one.
pub(super) type Shares = Arc<HashMap<u32, f64>>;

/// The GPUs of NVIDIA's driver; none costs nothing.
#[derive(Debug)]
pub(super) struct NvidiaShares {
    guarded: Option<Guarded<Shares>>,
    /// It was said that there is no answer.
    stuck: bool,
}

impl NvidiaShares {
    /// Where `root` is this machine's and the driver is loaded.
    pub(super) fn find(root: &Path) -> Self {
        let wanted = root == Path::new("/") && Path::new("/proc/driver/nvidia").exists();
        Self { guarded: wanted.then(|| Guarded::new("nvidia", reader)), stuck: false }
    }

    /// Whether the driver gave no answer at the last look.
    pub(super) const fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// Who keeps GPUs busy; `None` where nobody does, or nobody knows.
    pub(super) fn look(&mut self, at: Monotonic) -> Option<Shares> {
        let guarded = self.guarded.as_mut()?;
        match guarded.ask(at) {
            Answer::Known(shares) => {
                if std::mem::take(&mut self.stuck) {
                    tracing::info!("NVIDIA's driver answers again");
                }
                (!shares.is_empty()).then_some(shares)
            }
            Answer::Waiting => None,
            Answer::Stuck => {
                if !std::mem::replace(&mut self.stuck, true) {
                    tracing::warn!(
                        "NVIDIA's driver does not answer; no GPU seconds of processes are metered until it does"
                    );
                }
                None
            }
            Answer::Never => {
                self.guarded = None;
                None
            }
        }
    }
}

/// The share of those of `processes`.
pub(super) fn share_of(shares: Option<&Shares>, processes: &[u32]) -> f64 {
    shares.map_or(0.0, |shares| processes.iter().filter_map(|number| shares.get(number)).sum())
}

/// Runs in the thread.
fn reader() -> Option<impl FnMut() -> Shares> {
    let nvml = match Nvml::init() {
        Ok(nvml) => nvml,
        Err(error) => {
            tracing::debug!(%error, "no NVML");
            return None;
        }
    };
    // What is older than the first question is not asked for.
    let mut asked: HashMap<u32, u64> = HashMap::new();
    Some(move || {
        let mut shares: HashMap<u32, f64> = HashMap::new();
        for index in 0..nvml.device_count().unwrap_or(0) {
            let Ok(gpu) = nvml.device_by_index(index) else { continue };
            let since = asked.get(&index).copied();
            // An error is also how the driver says that nobody did anything.
            let samples = gpu.process_utilization_stats(since).unwrap_or_default();
            let newest = samples.iter().map(|sample| sample.timestamp).max();
            let mut latest: HashMap<u32, (u64, u32)> = HashMap::new();
            for sample in samples {
                let known = latest.entry(sample.pid).or_insert((sample.timestamp, sample.sm_util));
                if sample.timestamp > known.0 {
                    *known = (sample.timestamp, sample.sm_util);
                }
            }
            // Where there was nothing at the first question, all that comes is newer.
            asked.insert(index, newest.or(since).unwrap_or(1));
            if since.is_some() {
                for (process, (_, percent)) in latest {
                    *shares.entry(process).or_default() += f64::from(percent.min(100)) / 100.0;
                }
            }
        }
        Arc::new(shares)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_several_processes_add_up() {
        let shares: Shares = Arc::new(HashMap::from([(1, 0.5), (2, 0.25), (3, 1.0)]));
        assert!((share_of(Some(&shares), &[1, 2, 9]) - 0.75).abs() < 1e-12);
        assert!(share_of(None, &[1]).abs() < 1e-12);
    }

    #[test]
    fn a_machine_without_the_driver_has_none() {
        assert!(NvidiaShares::find(Path::new("/nowhere")).look(std::time::Duration::ZERO).is_none());
    }
}
