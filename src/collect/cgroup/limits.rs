//! What a control group may use: the tightest limit of it and of those above it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::hierarchy::Hierarchy;
use crate::clock::Monotonic;
use crate::collect::kernel_file::{read_once, read_text_once};
use crate::collect::machine::Machine;
use crate::collect::spelling::spelled;

/// Limits change when somebody changes them: seldom.
const REFRESHED: Duration = Duration::from_secs(10);

/// What a group may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Limits {
    /// CPUs: a quota of 150 ms in each 100 ms makes 1.5.
    pub(super) cpus: f64,
    /// Bytes of memory.
    pub(super) memory: u64,
}

impl Limits {
    fn and(self, other: Self) -> Self {
        Self { cpus: self.cpus.min(other.cpus), memory: self.memory.min(other.memory) }
    }
}

/// The limits of the group that a process is in.
#[derive(Debug)]
pub(in crate::collect) struct GroupLimits {
    folder: PathBuf,
    root: PathBuf,
}

impl GroupLimits {
    /// `process` is its folder in `/proc`. `None` where there are no control groups of version 2.
    pub(in crate::collect) fn of_process(root: &Path, process: &Path) -> Option<Self> {
        let hierarchy = Hierarchy::find(root).ok()?;
        let text = read_once(process.join("cgroup")).ok()?;
        let path = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::/"))?;
        Some(Self { folder: hierarchy.folder.join(OsStr::from_bytes(path)), root: hierarchy.folder })
    }

    /// The group's path from the root of the hierarchy.
    pub(in crate::collect) fn path(&self) -> Option<Cow<'_, str>> {
        Some(spelled(self.folder.strip_prefix(&self.root).ok()?.as_os_str().as_bytes()))
    }

    /// CPUs, and bytes of memory.
    pub(in crate::collect) fn look(&self, machine: &mut Machine, at: Monotonic) -> (f64, u64) {
        let limits = LimitCache::default().of(&self.folder, &self.root, machine, at);
        (limits.cpus, limits.memory)
    }
}

/// The limits of folders that were looked at lately, so that a hundred groups under one folder read it once.
#[derive(Debug, Default)]
pub(super) struct LimitCache {
    above: HashMap<PathBuf, (Monotonic, Limits)>,
}

impl LimitCache {
    /// The limits of the group in `folder`, which is `root` or below it.
    pub(super) fn of(&mut self, folder: &Path, root: &Path, machine: &mut Machine, at: Monotonic) -> Limits {
        let own = Limits { cpus: cpuset(folder).unwrap_or(f64::INFINITY), memory: u64::MAX };
        self.chain(folder, root, machine, at, false).and(own)
    }

    fn chain(&mut self, folder: &Path, root: &Path, machine: &mut Machine, at: Monotonic, keep: bool) -> Limits {
        if let Some((when, limits)) = self.above.get(folder)
            && is_fresh(*when, at)
        {
            return *limits;
        }
        let above = match folder.parent() {
            Some(parent) if folder != root && parent.starts_with(root) => self.chain(parent, root, machine, at, true),
            _ => {
                let whole = machine.look(at);
                Limits { cpus: whole.cpus, memory: whole.memory }
            }
        };
        let limits = above.and(Limits {
            cpus: quota(folder).unwrap_or(f64::INFINITY),
            memory: memory_max(folder).unwrap_or(u64::MAX),
        });
        if keep {
            self.above.retain(|_, (when, _)| is_fresh(*when, at));
            self.above.insert(folder.to_owned(), (at, limits));
        }
        limits
    }
}

/// Whether what was read at `when` holds at `at`.
pub(super) fn is_fresh(when: Monotonic, at: Monotonic) -> bool {
    at < when.saturating_add(REFRESHED)
}

/// `cpu.max`: `QUOTA PERIOD` in microseconds, or `max PERIOD`.
fn quota(folder: &Path) -> Option<f64> {
    let text = read_text_once(folder.join("cpu.max")).ok()?;
    let mut words = text.split_ascii_whitespace();
    let (quota, period): (f64, f64) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (quota > 0.0 && period > 0.0).then_some(quota / period)
}

/// `memory.max`: bytes, or `max`.
fn memory_max(folder: &Path) -> Option<u64> {
    read_text_once(folder.join("memory.max")).ok()?.trim().parse().ok()
}

/// `cpuset.cpus.effective`: what is left by those above and by the machine.
fn cpuset(folder: &Path) -> Option<f64> {
    let text = read_text_once(folder.join("cpuset.cpus.effective")).ok()?;
    crate::collect::machine::count_of(&text)
}
