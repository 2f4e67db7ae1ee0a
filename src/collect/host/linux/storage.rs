//! How much storage is in use: file systems on local devices, each once.
//!
//! Left out: what has no device (`proc`, `tmpfs`, `overlay`, …), what lies on another machine, images that are mounted
//! read-only (`squashfs`, `iso9660`), and every further mount of a device that was counted (bind mounts, subvolumes).

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use crate::collect::mountinfo;

/// File systems that only ever hold an image.
const IMAGES: [&str; 4] = ["squashfs", "iso9660", "udf", "erofs"];

/// A file system to ask.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) device: String,
    pub(super) path: String,
}

/// Used bytes of the file systems in the text of `/proc/self/mountinfo`, whose paths stand under `root`.
pub(super) fn used(text: &str, root: &Path) -> io::Result<u64> {
    let mut sum = 0u64;
    for mount in mounts(text) {
        // One that can't be asked (no permission, just unmounted) does not hide the others.
        if let Ok(stats) = rustix::fs::statvfs(root.join(mount.path.trim_start_matches('/'))) {
            sum = sum.saturating_add(stats.f_blocks.saturating_sub(stats.f_bfree).saturating_mul(stats.f_frsize));
        }
    }
    Ok(sum)
}

/// The file systems that count (proc(5), `/proc/pid/mountinfo`).
pub(super) fn mounts(text: &str) -> Vec<Mount> {
    let mut seen = BTreeSet::new();
    mountinfo::mounts(text).filter_map(local).filter(|mount| seen.insert(mount.device.clone())).collect()
}

fn local(mount: mountinfo::Mount<'_>) -> Option<Mount> {
    // A pool of ZFS has no device file of its own.
    let on_device = mount.source.starts_with("/dev/") || mount.kind == "zfs";
    if !on_device || IMAGES.contains(&mount.kind) || mount.kind.starts_with("fuse.") {
        return None;
    }
    Some(Mount { device: mount.source, path: mount.path })
}
