//! Files beside a log that hold its earlier lines: what they are called, and which of them are new.

use std::cmp::Reverse;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};

/// The ends of compressed files' names.
const COMPRESSED: [&str; 5] = [".gz", ".xz", ".bz2", ".zst", ".lz4"];

/// Tells a file from every other, under whatever name it stands. The time of birth tells it from one that had the inode
/// before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
    born: Option<SystemTime>,
}

impl FileId {
    /// `None` where the system has no such numbers, and for what is no regular file.
    #[cfg(unix)]
    pub(super) fn of(metadata: &Metadata) -> Option<Self> {
        use std::os::unix::fs::MetadataExt as _;
        let id = Self { device: metadata.dev(), inode: metadata.ino(), born: metadata.created().ok() };
        metadata.is_file().then_some(id)
    }

    #[cfg(not(unix))]
    pub(super) fn of(_: &Metadata) -> Option<Self> {
        None
    }
}

/// A file that log rotation has left beside the log.
#[derive(Debug)]
pub(super) struct Rotated {
    pub(super) path: PathBuf,
    pub(super) id: FileId,
    pub(super) modified: SystemTime,
    pub(super) is_compressed: bool,
}

/// How often a folder is listed at most until two listings are the same.
const MOST_LISTINGS: u32 = 50;

/// The rotated files of the log at `path`, the one written longest ago first. A rotation that is under way while the folder
/// is listed could hide a file, so it is listed again until nothing has changed.
pub(super) fn rotated_files(path: &Path) -> io::Result<Vec<Rotated>> {
    let mut found = listed(path)?;
    for _ in 1..MOST_LISTINGS {
        let again = listed(path)?;
        let names = |files: &[Rotated]| files.iter().map(|file| (file.path.clone(), file.id)).collect::<Vec<_>>();
        if names(&again) == names(&found) {
            break;
        }
        found = again;
    }
    Ok(found)
}

fn listed(path: &Path) -> io::Result<Vec<Rotated>> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(log) = path.file_name() else { return Ok(Vec::new()) };
    let log = log.to_string_lossy();
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let Some(is_compressed) = rotated_name(&log, &name.to_string_lossy()) else { continue };
        // One that goes away meanwhile is none.
        let Ok(metadata) = entry.metadata() else { continue };
        if let (Some(id), Ok(modified)) = (FileId::of(&metadata), metadata.modified()) {
            found.push(Rotated { path: entry.path(), id, modified, is_compressed });
        }
    }
    found.sort_by_cached_key(|file| (file.modified, Reverse(count(&file.path)), file.path.clone()));
    Ok(found)
}

/// How often a file was rotated (3 for `log.3.gz`), where its name counts that: of two files written within one tick of
/// the clock the larger number is the older one.
fn count(path: &Path) -> u32 {
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let plain = COMPRESSED.iter().find_map(|compressed| name.strip_suffix(compressed)).unwrap_or(&name);
    let number = plain.rsplit_once('.').map_or("", |(_, number)| number);
    // A longer number is a date.
    number.parse().ok().filter(|_| number.len() <= 4).unwrap_or(0)
}

/// Whether `name` is what a rotated file of `log` is called (`log.1`, `log-20261128`, `log.2.gz`, `log.old`), and if so,
/// whether it is compressed.
fn rotated_name(log: &str, name: &str) -> Option<bool> {
    let end = name.strip_prefix(log)?;
    let plain = COMPRESSED.iter().find_map(|compressed| end.strip_suffix(compressed));
    let numbered = |end: &str| {
        end.starts_with(['.', '-', '_'])
            && end.contains(|c: char| c.is_ascii_digit())
            && end.chars().all(|c| c.is_ascii_digit() || "._-:TZ+".contains(c))
    };
    let text = plain.unwrap_or(end);
    (text == ".old" || numbered(text)).then_some(plain.is_some())
}

#[cfg(test)]
mod tests {
    use super::rotated_name;

    #[test]
    fn only_numbered_and_old_names_are_rotated_files() {
        for (name, expected) in [
            ("u.log.1", Some(false)),
            ("u.log-20261128", Some(false)),
            ("u.log.2026-11-28T05:00:00Z", Some(false)),
            ("u.log.old", Some(false)),
            ("u.log.2.gz", Some(true)),
            ("u.log-20261128.zst", Some(true)),
            ("u.log", None),
            ("u.log.gz", None),
            ("u.log.swp", None),
            ("u.log.lock", None),
            ("u.logs.1", None),
            ("other.1", None),
        ] {
            assert_eq!(rotated_name("u.log", name), expected, "{name}");
        }
    }
}
