//! How much storage is in use: file systems on local devices, each once.
//!
//! Left out: what has no device (`proc`, `tmpfs`, `overlay`, …), what lies on another machine, images that are mounted
//! read-only (`squashfs`, `iso9660`) or are files of a file system that counts (loop devices), and every further mount of
//! one that was counted (bind mounts, subvolumes). Members of a RAID and physical volumes of LVM hold no file system of
//! their own. A mount of a part, as containers have them, tells of the whole file system.
//!
//! What can't be seen is not metered: a file system whose mounts are all covered by others, and, where nothing that
//! counts is mounted at all (a chroot), all of them.
//!
//! Where mounts or devices are asked for, these count and no others, of whatever kind they are. Those whose code is not
//! the kernel's own or that lie on another machine, and those behind one, are each asked in a thread of their own: one
//! that does not answer would hold everything up. It leaves out itself alone, which is logged. What a program answers
//! for (FUSE) counts only where it is asked for, since it may answer anything.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::clock::Monotonic;
use crate::collect::guard::{Answer, Guarded};
use crate::collect::kernel_file::KernelFile;
use crate::collect::once::Once;
use crate::collect::spelling::spelled;
use crate::collect::{CollectError, NamePattern, ScopeOptions, mountinfo};

/// File systems that only ever hold an image.
const IMAGES: [&str; 4] = ["squashfs", "iso9660", "udf", "erofs"];
/// File systems whose subvolumes look like bind mounts.
const WITH_SUBVOLUMES: [&str; 2] = ["btrfs", "bcachefs"];
/// File systems that the kernel answers for by itself; any other one may not answer.
const ANSWERED_BY_THE_KERNEL: [&str; 24] = [
    "bcachefs", "btrfs", "cgroup", "cgroup2", "devpts", "devtmpfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs",
    "iso9660", "overlay", "proc", "ramfs", "reiserfs", "squashfs", "sysfs", "tmpfs", "udf", "vfat", "xfs", "zfs",
];

/// A file system to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) device: OsString,
    pub(super) path: OsString,
    /// It may not answer.
    pub(super) remote: bool,
}

/// The file systems that count, as far as they can be seen.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Picked {
    pub(super) mounts: Vec<Mount>,
    /// The devices of those that no path leads to, and a path that did.
    pub(super) covered: Vec<(OsString, OsString)>,
}

/// Asks them.
#[derive(Debug)]
pub(super) struct Storage {
    root: PathBuf,
    mountinfo: KernelFile,
    wanted: Wanted,
    known: Option<Picked>,
    /// By path.
    remote: BTreeMap<OsString, Guarded<Result<u64, Errno>>>,
}

/// What was found of storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Used {
    /// Bytes in use on the file systems that answered.
    pub(super) used: u64,
    /// A file system is left out that could not be asked, or that has not answered.
    pub(super) is_partial: bool,
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
        let text = self.mountinfo.read_bytes(buffer).map_err(refuse)?;
        self.wanted.check(text)
    }

    /// Used bytes. A file system that can't be asked is left out and logged; only where nothing can be read at all it is
    /// an error.
    pub(super) fn used(
        &mut self,
        at: Monotonic,
        instance: &str,
        once: &mut Once,
        buffer: &mut Vec<u8>,
    ) -> io::Result<Used> {
        if self.known.is_none() || self.changed() {
            let picked = self.wanted.pick(self.mountinfo.read_bytes(buffer)?);
            self.remote.retain(|path, _| picked.mounts.iter().any(|mount| mount.remote && mount.path == *path));
            once.part(instance, "storage of all that is mounted", picked.check());
            self.known = Some(picked);
        }
        let is_partial = self.known.as_ref().is_some_and(|picked| picked.check().is_err());
        let (mut found, mut stuck, mut refused) = (Used { used: 0, is_partial }, None, None);
        for mount in self.known.iter().flat_map(|picked| &picked.mounts) {
            let path = self.root.join(Path::new(&mount.path).strip_prefix("/").unwrap_or(Path::new(&mount.path)));
            let used = if mount.remote {
                let guarded = self
                    .remote
                    .entry(mount.path.clone())
                    .or_insert_with(|| Guarded::new("statvfs", move || Some(move || used_of(&path))));
                match guarded.ask(at) {
                    Answer::Known(used) => used,
                    // It may answer yet; what the others hold does not wait for it.
                    Answer::Waiting => {
                        found.is_partial = true;
                        continue;
                    }
                    Answer::Stuck | Answer::Never => {
                        found.is_partial = true;
                        stuck = stuck.or(Some(&mount.path));
                        continue;
                    }
                }
            } else {
                used_of(&path)
            };
            match used {
                Ok(used) => found.used = found.used.saturating_add(used),
                // It was unmounted since it was listed.
                Err(Errno::NOENT) => {}
                Err(error) => {
                    found.is_partial = true;
                    refused = refused.or(Some((&mount.path, error)));
                }
            }
        }
        let silent = |path: &OsString| {
            let path = spelled(path.as_bytes());
            io::Error::other(format!(
                "the file system at {path} does not answer and is NOT metered; is its server gone?"
            ))
        };
        once.part(instance, "storage of a file system", stuck.map_or(Ok(()), |path| Err(silent(path))));
        let denied = |(path, error): (&OsString, Errno)| {
            let (path, error) = (spelled(path.as_bytes()), io::Error::from(error));
            io::Error::other(format!(
                "the file system at {path} can't be asked: {error}; run as root or with CAP_DAC_READ_SEARCH (systemd: \
                 private-mounts.conf)"
            ))
        };
        once.part(instance, "storage behind a private folder", refused.map_or(Ok(()), |it| Err(denied(it))));
        Ok(found)
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
fn used_of(path: &Path) -> Result<u64, Errno> {
    let stats = rustix::fs::statvfs(path)?;
    Ok(stats.f_blocks.saturating_sub(stats.f_bfree).saturating_mul(stats.f_frsize))
}

impl Picked {
    /// Refuses what can't be seen.
    fn check(&self) -> io::Result<()> {
        if let Some((device, path)) = self.covered.first() {
            let (device, path) = (spelled(device.as_bytes()), spelled(path.as_bytes()));
            return Err(io::Error::other(format!(
                "what is mounted at {path} covers the file system of {device}; mount that elsewhere too, or leave it out \
                 by naming what counts with --mount or --device"
            )));
        }
        if self.mounts.is_empty() {
            return Err(io::Error::other(
                "no file system of a local device is mounted here, as in a chroot; name what counts with --mount (see findmnt)",
            ));
        }
        Ok(())
    }
}

impl Wanted {
    fn is_everything(&self) -> bool {
        self.mounts.is_empty() && self.devices.is_empty()
    }

    fn matches(&self, mount: &mountinfo::Mount<'_>) -> bool {
        self.mounts.iter().any(|pattern| pattern.matches(&spelled(mount.path.as_bytes())))
            || self.devices.iter().any(|pattern| pattern.matches(&spelled(mount.source.as_bytes())))
    }

    /// The file systems that count in the text of `mountinfo`, each once.
    pub(super) fn pick(&self, text: &[u8]) -> Picked {
        let all: Vec<mountinfo::Mount<'_>> = mountinfo::mounts(text).collect();
        let view = mountinfo::View::new(&all);
        let behind: Vec<OsString> =
            all.iter().filter(|mount| is_remote(mount)).map(|mount| mount.path.clone()).collect();
        let counts =
            |mount: &mountinfo::Mount<'_>| if self.is_everything() { is_local(mount) } else { self.matches(mount) };
        let (mut shown, mut covered): (Vec<_>, Vec<_>) =
            all.into_iter().filter(counts).partition(|mount| view.shows(mount));
        // The whole of a file system says more to people than a part of it.
        shown.sort_by_key(is_part);
        let mut seen: Vec<(Vec<u8>, OsString)> = Vec::new();
        let mut is_new = |mount: &mountinfo::Mount<'_>| {
            let on_device = mount.source.as_bytes().starts_with(b"/");
            let again =
                |(number, device): &(Vec<u8>, OsString)| number == mount.number || on_device && *device == mount.source;
            let is_new = !seen.iter().any(again);
            if is_new {
                seen.push((mount.number.to_owned(), mount.source.clone()));
            }
            is_new
        };
        shown.retain(&mut is_new);
        covered.retain(is_new);
        let mount = |mount: mountinfo::Mount<'_>| {
            let remote = is_remote(&mount)
                || behind.iter().any(|above| *above != mount.path && Path::new(&mount.path).starts_with(above));
            Mount { device: mount.source, path: mount.path, remote }
        };
        Picked {
            mounts: shown.into_iter().map(mount).collect(),
            covered: covered.into_iter().map(|mount| (mount.source, mount.path)).collect(),
        }
    }

    fn check(&self, text: &[u8]) -> Result<(), CollectError> {
        let all: Vec<mountinfo::Mount<'_>> = mountinfo::mounts(text).collect();
        let none = |pattern: &&NamePattern, of: for<'m> fn(&'m mountinfo::Mount<'_>) -> &'m OsStr| {
            !all.iter().any(|mount| pattern.matches(&spelled(of(mount).as_bytes())))
        };
        if let Some(pattern) = self.mounts.iter().find(|pattern| none(pattern, |mount| &mount.path)) {
            let paths = all.iter().map(|mount| spelled(mount.path.as_bytes()));
            let above = |path: &Cow<'_, str>| pattern.as_str().starts_with(&format!("{}/", path.trim_end_matches('/')));
            let near = paths.filter(above).max_by_key(|path| path.len()).unwrap_or(Cow::Borrowed("/"));
            return Err(CollectError(format!(
                "nothing is mounted at {pattern}; it lies on the file system that is mounted at {near}: --mount {near}"
            )));
        }
        if let Some(pattern) = self.devices.iter().find(|pattern| none(pattern, |mount| &mount.source)) {
            let mut local = Self::default().pick(text).mounts;
            local.truncate(8);
            let names: Vec<Cow<'_, str>> = local.iter().map(|mount| spelled(mount.device.as_bytes())).collect();
            return Err(CollectError(format!(
                "no file system of the device {pattern} is mounted; there are {}; see findmnt",
                names.join(", ")
            )));
        }
        Ok(())
    }
}

fn is_local(mount: &mountinfo::Mount<'_>) -> bool {
    let source = mount.source.as_bytes();
    // A pool of ZFS has no device file of its own.
    let on_device = source.starts_with(b"/dev/") || mount.kind == "zfs";
    let is_top = mount.path == "/";
    on_device
        && !IMAGES.iter().any(|kind| mount.kind == *kind)
        // Whoever mounts one says what its device is called. `fuseblk` is for root, who has the device.
        && mount.kind != "fuse"
        && !mount.kind.as_bytes().starts_with(b"fuse.")
        && (is_top || !source.starts_with(b"/dev/loop"))
}

/// Whether only a part of the file system is mounted there.
fn is_part(mount: &mountinfo::Mount<'_>) -> bool {
    mount.root != b"/" && !WITH_SUBVOLUMES.iter().any(|kind| mount.kind == *kind)
}

fn is_remote(mount: &mountinfo::Mount<'_>) -> bool {
    !ANSWERED_BY_THE_KERNEL.iter().any(|kind| mount.kind == *kind)
}
