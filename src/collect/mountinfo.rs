//! `/proc/PID/mountinfo` (proc(5)): what is mounted where.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// A mount. Names are as the kernel has them: whoever mounts chooses them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount<'a> {
    /// The number of the mount.
    pub(super) id: u32,
    /// The number of the mount that it lies on, which may be one that is not listed.
    pub(super) parent: u32,
    /// `MAJOR:MINOR` of the file system.
    pub(super) number: &'a [u8],
    /// Which part of the file system is mounted; `/` is all of it.
    pub(super) root: &'a [u8],
    /// Where it is mounted.
    pub(super) path: OsString,
    /// The kind of file system.
    pub(super) kind: &'a OsStr,
    /// The device, or whatever else it is of.
    pub(super) source: OsString,
    /// Options of the file system, separated by commas.
    pub(super) options: &'a [u8],
}

/// The mounts of a text, in the order in which they were made.
pub(super) fn mounts(text: &[u8]) -> impl Iterator<Item = Mount<'_>> {
    text.split(|byte| *byte == b'\n').filter_map(line)
}

/// `36 35 98:0 /root /mount options … - type source options`
fn line(line: &[u8]) -> Option<Mount<'_>> {
    // No name holds a blank, which the kernel escapes.
    let mut words = line.split(|byte| *byte == b' ');
    let mut id = || words.next().and_then(|word| std::str::from_utf8(word).ok()).and_then(|word| word.parse().ok());
    let (id, parent) = (id()?, id()?);
    let (number, root, path) = (words.next()?, words.next()?, words.next()?);
    let mut tail = words.skip_while(|word| *word != b"-").skip(1);
    let (kind, source) = (tail.next()?, tail.next()?);
    let options = tail.next().unwrap_or_default();
    Some(Mount {
        id,
        parent,
        number,
        root,
        path: unescaped(path),
        kind: OsStr::from_bytes(kind),
        source: unescaped(source),
        options,
    })
}

/// Which mount each path leads to: a later one covers what lies below its own path.
#[derive(Debug)]
pub(super) struct View {
    /// The mount that lies on a mount, if on any that is listed, at a path.
    above: HashMap<(Option<u32>, OsString), u32>,
}

impl View {
    pub(super) fn new(mounts: &[Mount<'_>]) -> Self {
        let listed: HashSet<u32> = mounts.iter().map(|mount| mount.id).collect();
        let parent = |mount: &Mount<'_>| Some(mount.parent).filter(|id| *id != mount.id && listed.contains(id));
        Self { above: mounts.iter().map(|mount| ((parent(mount), mount.path.clone()), mount.id)).collect() }
    }

    /// Whether the path of `mount` leads to it.
    pub(super) fn shows(&self, mount: &Mount<'_>) -> bool {
        let mut at = None;
        let mut path = PathBuf::new();
        for part in Path::new(&mount.path) {
            path.push(part);
            let mut key = (at, path.into_os_string());
            while let Some(above) = self.above.get(&key) {
                key.0 = Some(*above);
            }
            (at, path) = (key.0, key.1.into());
        }
        at == Some(mount.id)
    }
}

/// Blanks and the like stand as three octal digits behind a backslash.
fn unescaped(text: &[u8]) -> OsString {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
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
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_with_blanks_and_of_any_bytes() {
        let text = b"36 35 98:0 /@ /srv/big\\040disk rw,noatime master:1 - btrfs /dev/mapper/a\\134b rw,subvol=/@
nonsense
31 23 0:28 / /x\xff rw - tmpfs  rw";
        let found: Vec<Mount<'_>> = mounts(text).collect();
        assert_eq!(found.len(), 2);
        let mount = &found[0];
        assert_eq!(
            (mount.number, mount.root, mount.path.as_bytes()),
            (&b"98:0"[..], &b"/@"[..], &b"/srv/big disk"[..])
        );
        assert_eq!((mount.kind.as_bytes(), mount.options), (&b"btrfs"[..], &b"rw,subvol=/@"[..]));
        assert_eq!(mount.source.as_bytes(), br"/dev/mapper/a\b");
        assert_eq!((found[1].source.as_bytes(), found[1].path.as_bytes()), (&b""[..], &b"/x\xff"[..]));
    }
    #[test]
    fn a_mount_that_another_one_covers_is_not_shown() {
        let text = b"20 1 8:1 / / rw - ext4 /dev/sda1 rw
21 20 8:2 / /data rw - ext4 /dev/sda2 rw
22 21 8:3 / /data/deep rw - ext4 /dev/sda3 rw
23 21 0:30 / /data rw - tmpfs tmpfs rw
24 23 8:4 / /data/deep rw - ext4 /dev/sda4 rw
25 20 8:5 / /a rw - ext4 /dev/sda5 rw
26 25 8:6 / /a rw - ext4 /dev/sda6 rw";
        let all: Vec<Mount<'_>> = mounts(text).collect();
        let view = View::new(&all);
        let shown: Vec<u32> = all.iter().filter(|mount| view.shows(mount)).map(|mount| mount.id).collect();
        assert_eq!(shown, [20, 23, 24, 26]);
        // In a chroot the mount that everything lies on is not listed; nor is it of a mount that lies on itself.
        for text in [&b"40 39 8:1 / /proc rw - proc proc rw"[..], b"1 1 8:1 / / rw - ext4 /dev/sda1 rw"] {
            let all: Vec<Mount<'_>> = mounts(text).collect();
            assert!(View::new(&all).shows(&all[0]));
        }
    }
}
