//! How much storage is in use: file systems on local devices, each once.
//!
//! Left out: what has no device (`proc`, `tmpfs`, `overlay`, …), what lies on another machine, images that are mounted
//! read-only (`squashfs`, `iso9660`), and every further mount of a device that was counted (bind mounts, subvolumes).

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

/// File systems that only ever hold an image.
const IMAGES: [&str; 4] = ["squashfs", "iso9660", "udf", "erofs"];

/// A file system to ask.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) device: String,
    pub(super) path: String,
}

/// Used bytes of the file systems in the text of `/proc/self/mountinfo`, whose paths stand under `root`.
pub(super) fn used(mountinfo: &str, root: &Path) -> io::Result<u64> {
    let mut sum = 0u64;
    for mount in mounts(mountinfo) {
        // One that can't be asked (no permission, just unmounted) does not hide the others.
        if let Ok(stats) = rustix::fs::statvfs(root.join(mount.path.trim_start_matches('/'))) {
            sum = sum.saturating_add(stats.f_blocks.saturating_sub(stats.f_bfree).saturating_mul(stats.f_frsize));
        }
    }
    Ok(sum)
}

/// The file systems that count (proc(5), `/proc/pid/mountinfo`).
pub(super) fn mounts(mountinfo: &str) -> Vec<Mount> {
    let mut seen = BTreeSet::new();
    mountinfo.lines().filter_map(local).filter(|mount| seen.insert(mount.device.clone())).collect()
}

/// `36 35 98:0 /root /mount options … - type source options`
fn local(line: &str) -> Option<Mount> {
    let (head, tail) = line.split_once(" - ")?;
    let mut tail = tail.split(' ');
    let (kind, source) = (tail.next()?, tail.next()?);
    // A pool of ZFS has no device file of its own.
    let on_device = source.starts_with("/dev/") || kind == "zfs";
    if !on_device || IMAGES.contains(&kind) || kind.starts_with("fuse.") {
        return None;
    }
    let path = unescaped(head.split(' ').nth(4)?);
    Some(Mount { device: source.to_owned(), path })
}

/// Spaces and the like stand as three octal digits behind a backslash.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|_| first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
