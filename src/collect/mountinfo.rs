//! `/proc/PID/mountinfo` (proc(5)): what is mounted where.

/// A mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount<'a> {
    /// `MAJOR:MINOR` of the file system.
    pub(super) number: &'a str,
    /// Which part of the file system is mounted; `/` is all of it.
    pub(super) root: &'a str,
    /// Where it is mounted.
    pub(super) path: String,
    /// The kind of file system.
    pub(super) kind: &'a str,
    /// The device, or whatever else it is of.
    pub(super) source: String,
    /// Options of the file system, separated by commas.
    pub(super) options: &'a str,
}

/// The mounts of a text, in the order in which they were made.
pub(super) fn mounts(text: &str) -> impl Iterator<Item = Mount<'_>> {
    text.lines().filter_map(line)
}

/// `36 35 98:0 /root /mount options … - type source options`
fn line(line: &str) -> Option<Mount<'_>> {
    let (head, tail) = line.split_once(" - ")?;
    let mut head = head.split(' ').skip(2);
    let (number, root, path) = (head.next()?, head.next()?, head.next()?);
    let mut tail = tail.split(' ');
    let (kind, source) = (tail.next()?, tail.next()?);
    let options = tail.next().unwrap_or_default();
    Some(Mount { number, root, path: unescaped(path), kind, source: unescaped(source), options })
}

/// Spaces and the like stand as three octal digits behind a backslash.
fn unescaped(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_with_spaces() {
        let text = r"36 35 98:0 /@ /srv/big\040disk rw,noatime master:1 - btrfs /dev/mapper/a\134b rw,subvol=/@
nonsense
31 23 0:28 / /x rw - tmpfs  rw";
        let found: Vec<Mount<'_>> = mounts(text).collect();
        assert_eq!(found.len(), 2);
        let mount = &found[0];
        assert_eq!((mount.number, mount.root, mount.path.as_str()), ("98:0", "/@", "/srv/big disk"));
        assert_eq!((mount.kind, mount.source.as_str(), mount.options), ("btrfs", r"/dev/mapper/a\b", "rw,subvol=/@"));
        assert_eq!(found[1].source, "");
    }
}
