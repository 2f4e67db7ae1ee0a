//! Which control groups a pattern names.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::collect::CollectError;
use crate::collect::kernel_file::is_gone;
use crate::collect::pattern::{is_glob, unreadable};

/// A path below the root of the hierarchy, level by level.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Levels(Vec<Level>);

#[derive(Debug, Clone, PartialEq)]
enum Level {
    Literal(String),
    Pattern(glob::Pattern),
    /// `**`: any number of levels, none too.
    Any,
}

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The groups that match, by their path from the root of the hierarchy, with the inode of their folder.
    pub(super) groups: BTreeMap<String, u64>,
    /// A folder that could not be listed: groups below it may be missing from `groups`.
    pub(super) failure: Option<io::Error>,
}

impl Levels {
    pub(super) fn new(levels: &[&str]) -> Result<Self, CollectError> {
        let level = |text: &&str| match *text {
            "**" => Ok(Level::Any),
            text if is_glob(text) => glob::Pattern::new(text).map(Level::Pattern),
            text => Ok(Level::Literal(text.to_owned())),
        };
        let refuse = |text: &&str, error: &glob::PatternError| CollectError(unreadable(text, error));
        let levels: Result<Vec<Level>, CollectError> =
            levels.iter().map(|text| level(text).map_err(|error| refuse(text, &error))).collect();
        Ok(Self(levels?))
    }

    /// Names that are taken as they are.
    pub(super) fn literal(levels: &[&str]) -> Self {
        Self(levels.iter().map(|text| Level::Literal((*text).to_owned())).collect())
    }

    /// Whether it may name several groups.
    pub(super) fn is_pattern(&self) -> bool {
        self.0.iter().any(|level| !matches!(level, Level::Literal(_)))
    }

    /// `name`, as it is, at any depth.
    pub(super) fn any_then(name: &str) -> Self {
        Self(vec![Level::Any, Level::Literal(name.to_owned())])
    }

    /// The groups under `root` that match. `watch` hears of every folder in which a match may appear, before that is
    /// listed.
    pub(super) fn walk(&self, root: &Path, watch: &mut dyn FnMut(&Path)) -> Found {
        let mut walk = Walk { found: Found::default(), watch };
        let inode = fs::metadata(root).map_or(0, |data| data.ino());
        walk.step(&self.0, &mut root.to_owned(), &mut String::new(), inode);
        walk.found
    }
}

struct Walk<'w> {
    found: Found,
    watch: &'w mut dyn FnMut(&Path),
}

impl Walk<'_> {
    fn step(&mut self, levels: &[Level], folder: &mut PathBuf, path: &mut String, inode: u64) {
        let Some((level, rest)) = levels.split_first() else {
            self.found.groups.insert(path.clone(), inode);
            return;
        };
        if *level == Level::Any {
            self.step(rest, folder, path, inode);
        }
        (self.watch)(folder);
        match level {
            Level::Literal(name) => match fs::metadata(folder.join(name)) {
                Ok(data) if data.is_dir() => self.enter(rest, folder, path, name, data.ino()),
                Ok(_) => {}
                Err(error) => self.failed(error),
            },
            Level::Pattern(pattern) => {
                for (name, inode) in self.list(folder) {
                    if pattern.matches(&name) {
                        self.enter(rest, folder, path, &name, inode);
                    }
                }
            }
            Level::Any => {
                for (name, inode) in self.list(folder) {
                    self.enter(levels, folder, path, &name, inode);
                }
            }
        }
    }

    fn enter(&mut self, levels: &[Level], folder: &mut PathBuf, path: &mut String, name: &str, inode: u64) {
        let length = path.len();
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(name);
        folder.push(name);
        self.step(levels, folder, path, inode);
        folder.pop();
        path.truncate(length);
    }

    /// The folders in `folder`. A name that is not UTF-8 can't be an id, and nothing makes such groups.
    fn list(&mut self, folder: &Path) -> Vec<(String, u64)> {
        let mut found = Vec::new();
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.failed(error);
                return found;
            }
        };
        for entry in entries {
            match entry {
                Ok(entry) if entry.file_type().is_ok_and(|kind| kind.is_dir()) => {
                    if let Ok(name) = entry.file_name().into_string() {
                        found.push((name, entry.ino()));
                    }
                }
                Ok(_) => {}
                Err(error) => self.failed(error),
            }
        }
        found
    }

    fn failed(&mut self, error: io::Error) {
        if !is_gone(&error) {
            self.found.failure.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pattern: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        for path in ["a.slice/x.service", "a.slice/y.service", "a.slice/z.scope", "b.slice/sub/x.service", "c"] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        fs::write(root.path().join("cpu.stat"), "").unwrap();
        let levels: Vec<&str> = pattern.split('/').filter(|level| !level.is_empty()).collect();
        let found = Levels::new(&levels).unwrap().walk(root.path(), &mut |_| {});
        assert!(found.failure.is_none());
        found.groups.into_keys().collect()
    }

    #[test]
    fn patterns_name_folders() {
        assert_eq!(found("a.slice/*.service"), ["a.slice/x.service", "a.slice/y.service"]);
        assert_eq!(found("*/z.scope"), ["a.slice/z.scope"]);
        assert_eq!(found("**/x.service"), ["a.slice/x.service", "b.slice/sub/x.service"]);
        assert_eq!(found("b.slice/**"), ["b.slice", "b.slice/sub", "b.slice/sub/x.service"]);
        assert_eq!(found("[bc]*"), ["b.slice", "c"]);
        assert_eq!(found("a.slice"), ["a.slice"]);
        assert_eq!(found("a.slice/none"), [""; 0]);
        assert_eq!(found(""), [""]);
    }

    #[test]
    fn a_pattern_that_can_not_be_read_is_told() {
        let error = Levels::new(&["a", "x["]).unwrap_err().to_string();
        assert!(error.contains("\"x[\"") && error.contains("column 2"), "{error}");
    }
}
