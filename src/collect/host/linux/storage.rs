//! How much storage is in use: file systems on local devices, each once.
//!
//! Left out: what has no device (`proc`, `tmpfs`, `overlay`, …), what lies on another machine, images that are mounted
//! read-only (`squashfs`, `iso9660`) or are files of a file system that counts (loop devices), a part of a file system
//! that is mounted elsewhere too (bind mounts), and every further mount of one that was counted (subvolumes). Members of
//! a RAID and physical volumes of LVM hold no file system of their own.
//!
//! Where mounts or devices are asked for, these count and no others, of whatever kind they are. A file system on another
//! machine, or behind one, is asked in a thread of its own: a server that is gone would hold everything up.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clock::Monotonic;
use crate::collect::guard::{Answer, Guarded};
use crate::collect::kernel_file::KernelFile;
use crate::collect::{CollectError, NamePattern, ScopeOptions, mountinfo};

/// File systems that only ever hold an image.
const IMAGES: [&str; 4] = ["squashfs", "iso9660", "udf", "erofs"];
/// File systems whose subvolumes look like bind mounts.
const WITH_SUBVOLUMES: [&str; 2] = ["btrfs", "bcachefs"];
/// File systems that somebody else answers for.
const REMOTE: [&str; 16] = [
    "9p", "acfs", "afs", "beegfs", "ceph", "cifs", "coda", "fuseblk", "gfs2", "gpfs", "lustre", "ncpfs", "nfs", "nfs4",
    "smb3", "virtiofs",
];

/// A file system to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) device: String,
    pub(super) path: String,
    /// It may not answer.
    pub(super) remote: bool,
}

/// The file systems that count.
#[derive(Debug)]
pub(super) struct Storage {
    root: PathBuf,
    mountinfo: KernelFile,
    wanted: Wanted,
    known: Option<Vec<Mount>>,
    /// By path.
    remote: BTreeMap<String, Guarded<Option<u64>>>,
}

/// What was asked for; nothing is everything local.
#[derive(Debug, Clone, Default)]
pub(super) struct Wanted {
    pub(super) mounts: Vec<NamePattern>,
    pub(super) devices: Vec<NamePattern>,
}

impl Storage {
    pub(super) fn new(options: &ScopeOptions) -> Self {
        Self {
            root: options.root.clone(),
            mountinfo: KernelFile::kept(options.root.join("proc/self/mountinfo")),
            wanted: Wanted { mounts: options.mounts.clone(), devices: options.devices.clone() },
            known: None,
            remote: BTreeMap::new(),
        }
    }

    /// Refuses what was asked for and is not mounted.
    pub(super) fn check(&mut self, buffer: &mut Vec<u8>) -> Result<(), CollectError> {
        if self.wanted.is_everything() {
            return Ok(());
        }
        let refuse = |error: io::Error| CollectError(format!("can't meter storage: {error}"));
        let text = self.mountinfo.read(buffer).map_err(refuse)?;
        self.wanted.check(text)
    }

    /// Used bytes.
    pub(super) fn used(&mut self, at: Monotonic, buffer: &mut Vec<u8>) -> io::Result<u64> {
        if self.known.is_none() || self.changed() {
            let mounts = self.wanted.pick(self.mountinfo.read(buffer)?);
            self.remote.retain(|path, _| mounts.iter().any(|mount| mount.remote && mount.path == *path));
            self.known = Some(mounts);
        }
        let mut sum = 0u64;
        for mount in self.known.iter().flatten() {
            let path = self.root.join(mount.path.trim_start_matches('/'));
            let used = if mount.remote {
                let guarded = self
                    .remote
                    .entry(mount.path.clone())
                    .or_insert_with(|| Guarded::new("statvfs", move || Some(move || used_of(&path))));
                match guarded.ask(at) {
                    Answer::Known(used) => used,
                    Answer::Waiting => return Err(io::Error::other(format!("{} has not answered yet", mount.path))),
                    Answer::Stuck | Answer::Never => {
                        return Err(io::Error::other(format!("{} does not answer; is its server gone?", mount.path)));
                    }
                }
            } else {
                used_of(&path)
            };
            // One that can't be asked (no permission, just unmounted) does not hide the others.
            sum = sum.saturating_add(used.unwrap_or(0));
        }
        Ok(sum)
    }

    /// Whether something was mounted or unmounted since the last time. The kernel tells by `poll` (proc(5)), which is
    /// cheaper than the list by far; a file of a test does not.
    fn changed(&self) -> bool {
        let Some(file) = self.mountinfo.file().filter(|_| self.root == Path::new("/")) else { return true };
        let mut polled = [PollFd::new(file, PollFlags::PRI)];
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        poll(&mut polled, Some(&now)).is_err() || polled[0].revents().intersects(PollFlags::PRI | PollFlags::ERR)
    }
}

/// Used bytes of the file system at `path`.
fn used_of(path: &Path) -> Option<u64> {
    let stats = rustix::fs::statvfs(path).ok()?;
    Some(stats.f_blocks.saturating_sub(stats.f_bfree).saturating_mul(stats.f_frsize))
}

impl Wanted {
    fn is_everything(&self) -> bool {
        self.mounts.is_empty() && self.devices.is_empty()
    }

    fn matches(&self, mount: &mountinfo::Mount<'_>) -> bool {
        self.mounts.iter().any(|pattern| pattern.matches(&mount.path))
            || self.devices.iter().any(|pattern| pattern.matches(&mount.source))
    }

    /// The file systems that count in the text of `mountinfo`, each once.
    pub(super) fn pick(&self, text: &str) -> Vec<Mount> {
        let all: Vec<mountinfo::Mount<'_>> = mountinfo::mounts(text).collect();
        let behind: Vec<String> =
            all.iter().filter(|mount| is_remote(mount)).map(|mount| format!("{}/", mount.path)).collect();
        let mut seen: Vec<(String, String)> = Vec::new();
        let mut found = Vec::new();
        for mount in all {
            let counts = if self.is_everything() { is_local(&mount) } else { self.matches(&mount) };
            let on_device = mount.source.starts_with('/');
            let again =
                |(number, device): &(String, String)| number == mount.number || on_device && *device == mount.source;
            if counts && !seen.iter().any(again) {
                seen.push((mount.number.to_owned(), mount.source.clone()));
                let remote = is_remote(&mount) || behind.iter().any(|above| mount.path.starts_with(above));
                found.push(Mount { device: mount.source, path: mount.path, remote });
            }
        }
        found
    }

    fn check(&self, text: &str) -> Result<(), CollectError> {
        let all: Vec<mountinfo::Mount<'_>> = mountinfo::mounts(text).collect();
        let none = |pattern: &&NamePattern, of: fn(&mountinfo::Mount<'_>) -> String| {
            !all.iter().any(|mount| pattern.matches(&of(mount)))
        };
        if let Some(pattern) = self.mounts.iter().find(|pattern| none(pattern, |mount| mount.path.clone())) {
            let above = |mount: &&mountinfo::Mount<'_>| {
                pattern.as_str().starts_with(&format!("{}/", mount.path.trim_end_matches('/')))
            };
            let near = all.iter().filter(above).max_by_key(|mount| mount.path.len()).map_or("/", |mount| &mount.path);
            return Err(CollectError(format!(
                "nothing is mounted at {pattern}; it lies on the file system that is mounted at {near}: --mount {near}"
            )));
        }
        if let Some(pattern) = self.devices.iter().find(|pattern| none(pattern, |mount| mount.source.clone())) {
            let mut local: Vec<Mount> = Self::default().pick(text);
            local.truncate(8);
            let names: Vec<&str> = local.iter().map(|mount| mount.device.as_str()).collect();
            return Err(CollectError(format!(
                "no file system of the device {pattern} is mounted; there are {}; see findmnt",
                names.join(", ")
            )));
        }
        Ok(())
    }
}

fn is_local(mount: &mountinfo::Mount<'_>) -> bool {
    // A pool of ZFS has no device file of its own.
    let on_device = mount.source.starts_with("/dev/") || mount.kind == "zfs";
    let is_top = mount.path == "/";
    let is_part = mount.root != "/" && !WITH_SUBVOLUMES.contains(&mount.kind);
    on_device
        && !IMAGES.contains(&mount.kind)
        && !mount.kind.starts_with("fuse.")
        && (is_top || !is_part && !mount.source.starts_with("/dev/loop"))
}

fn is_remote(mount: &mountinfo::Mount<'_>) -> bool {
    REMOTE.contains(&mount.kind) || mount.kind.starts_with("fuse.") || mount.kind == "fuse" || mount.kind == "autofs"
}
