//! `/proc/PID/mountinfo` (proc(5)): what is mounted where.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// A mount. Names are as the kernel has them: whoever mounts chooses them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount<'a> {
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
    let mut words = line.split(|byte| *byte == b' ').skip(2);
    let (number, root, path) = (words.next()?, words.next()?, words.next()?);
    let mut tail = words.skip_while(|word| *word != b"-").skip(1);
    let (kind, source) = (tail.next()?, tail.next()?);
    let options = tail.next().unwrap_or_default();
    Some(Mount {
        number,
        root,
        path: unescaped(path),
        kind: OsStr::from_bytes(kind),
        source: unescaped(source),
        options,
    })
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
}
