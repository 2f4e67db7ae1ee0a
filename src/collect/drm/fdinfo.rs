//! `/proc/PID/fdinfo/FD` of a GPU's file, as the kernel's documentation of DRM client usage stats has it
//! (`Documentation/gpu/drm-usage-stats.rst`). Pure.

use std::collections::BTreeMap;

/// What the kernel says of one client: what opened a GPU's file once, however many descriptors lead to it now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Client<'t> {
    /// The device: its PCI slot, or the driver where there is no slot.
    pub(super) device: &'t str,
    /// Unique on its device at least.
    pub(super) id: u64,
    /// By name.
    pub(super) engines: BTreeMap<&'t str, Engine>,
}

/// What a client has used of one kind of engine.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Engine {
    /// Nanoseconds in which it worked for the client.
    pub(super) busy: Option<u64>,
    /// The same in cycles of the GPU.
    pub(super) cycles: Option<u64>,
    /// Cycles that have passed, as a clock.
    pub(super) total_cycles: Option<u64>,
    /// How many engines of this kind there are, where that is not one.
    capacity: Option<u64>,
}

impl Engine {
    /// How many engines of this kind there are.
    pub(super) fn capacity(&self) -> u64 {
        self.capacity.unwrap_or(1).max(1)
    }
}

/// `None` where `text` is not that of a GPU's file, or of a driver that does not number its clients.
pub(super) fn client(text: &str) -> Option<Client<'_>> {
    let (mut slot, mut driver, mut id) = (None, None, None);
    let mut engines: BTreeMap<&str, Engine> = BTreeMap::new();
    for line in text.lines() {
        let Some((key, value)) = line.strip_prefix("drm-").and_then(|line| line.split_once(':')) else { continue };
        let value = value.trim();
        let number = || value.parse::<u64>().ok();
        match key {
            "pdev" => slot = Some(value),
            "driver" => driver = Some(value),
            "client-id" => id = number(),
            _ => {
                if let Some(name) = key.strip_prefix("engine-capacity-") {
                    engines.entry(name).or_default().capacity = number();
                } else if let Some(name) = key.strip_prefix("engine-") {
                    // A unit that nobody has heard of is not guessed at.
                    let busy = value.strip_suffix("ns").and_then(|digits| digits.trim_end().parse().ok());
                    engines.entry(name).or_default().busy = busy;
                } else if let Some(name) = key.strip_prefix("total-cycles-") {
                    engines.entry(name).or_default().total_cycles = number();
                } else if let Some(name) = key.strip_prefix("cycles-") {
                    engines.entry(name).or_default().cycles = number();
                }
            }
        }
    }
    Some(Client { device: slot.or(driver).unwrap_or_default(), id: id?, engines })
}

/// Reads `text` as what the kernel says of a client.
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(in crate::collect) fn fuzz_client(text: &str) {
    if let Some(client) = client(text) {
        assert!(client.engines.values().all(|engine| engine.capacity() > 0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_and_capacities() {
        let text = "pos:\t0\nflags:\t02100002\nmnt_id:\t24\nino:\t1102\ndrm-driver:\ti915\ndrm-client-id:\t7\n\
            drm-pdev:\t0000:00:02.0\ndrm-total-system0:\t12 MiB\ndrm-engine-render:\t25662044495 ns\n\
            drm-engine-video:\t5 ns\ndrm-engine-capacity-video:\t2\ndrm-engine-odd:\t3 hours\n";
        let client = client(text).unwrap();
        assert_eq!((client.device, client.id), ("0000:00:02.0", 7));
        assert_eq!(client.engines["render"].busy, Some(25_662_044_495));
        assert_eq!((client.engines["render"].capacity(), client.engines["video"].capacity()), (1, 2));
        assert_eq!(client.engines["odd"].busy, None);
    }

    #[test]
    fn cycles() {
        let text = "drm-driver: xe\ndrm-client-id: 9\ndrm-cycles-rcs: 28257900\ndrm-total-cycles-rcs: 7655183225\n";
        let client = client(text).unwrap();
        assert_eq!(client.device, "xe");
        let rcs = client.engines["rcs"];
        assert_eq!((rcs.cycles, rcs.total_cycles, rcs.busy), (Some(28_257_900), Some(7_655_183_225), None));
    }

    #[test]
    fn what_is_no_client() {
        for text in ["", "pos:\t0\nflags:\t02\n", "drm-driver:\tnvidia-drm\n", "drm-client-id:\tx\n"] {
            assert_eq!(client(text), None, "{text:?}");
        }
    }
}
