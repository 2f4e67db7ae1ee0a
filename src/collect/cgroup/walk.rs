//! Which control groups a pattern names.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::io::Errno;

use super::listing::Listing;
use super::watch::{GroupWatch, Listener, Names};
use crate::collect::CollectError;
use crate::collect::kernel_file::is_gone;
use crate::collect::pattern::{is_glob, unreadable};
use crate::collect::spelling::{spelled, unspelled};

/// A path below the root of the hierarchy, level by level.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Levels(Vec<Level>);

#[derive(Debug, Clone, PartialEq)]
enum Level {
    Literal(String),
    Pattern(Rc<glob::Pattern>),
    /// `**`: any number of levels, none too.
    Any,
}

/// Levels that `**` stands for at most. Whoever owns a group decides on what is below it, and each level is in the figures
/// of all above it.
pub(super) const MAX_NESTED: usize = 32;

/// What a walk found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The groups that match, by their path from the root of the hierarchy as it is spelled, with the inode of their
    /// folder.
    pub(super) groups: BTreeMap<String, u64>,
    /// A folder that could not be listed: groups below it may be missing from `groups`.
    pub(super) failure: Option<io::Error>,
    /// There are groups below [`MAX_NESTED`] levels.
    pub(super) is_too_deep: bool,
}

/// The folders of control groups as a walk needs them.
pub(super) trait Folders {
    /// Listens to groups of these names that come and go in `folder`.
    fn watch(&mut self, folder: &Path, names: Names<'_>);
    /// What is in `folder`.
    fn list(&mut self, folder: &Path) -> Rc<Listing>;
}

/// The folders as one scope watches them.
#[derive(Debug)]
pub(super) struct WatchedFolders<'w> {
    pub(super) watch: &'w mut GroupWatch,
    pub(super) listener: Listener,
}

impl Folders for WatchedFolders<'_> {
    fn watch(&mut self, folder: &Path, names: Names<'_>) {
        self.watch.folder(self.listener, folder, names);
    }

    fn list(&mut self, folder: &Path) -> Rc<Listing> {
        self.watch.list(folder)
    }
}

impl Levels {
    pub(super) fn new(levels: &[&str]) -> Result<Self, CollectError> {
        let level = |text: &&str| match *text {
            "**" => Ok(Level::Any),
            text if is_glob(text) => glob::Pattern::new(text).map(|pattern| Level::Pattern(Rc::new(pattern))),
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

    /// Whether all groups under one match where one of them does.
    pub(super) fn takes_all(&self) -> bool {
        self.0.last().is_some_and(|level| match level {
            Level::Literal(_) => false,
            Level::Pattern(pattern) => pattern.as_str() == "*",
            Level::Any => true,
        })
    }

    /// The groups under `root` that match. Every folder in which a match may appear is watched before it is listed.
    pub(super) fn walk(&self, root: &Path, folders: &mut dyn Folders) -> Found {
        let mut walk = Walk { found: Found::default(), folders, nested: 0 };
        let inode = fs::metadata(root).map_or(0, |data| data.ino());
        walk.step(&self.0, &mut root.to_owned(), &mut String::new(), inode);
        walk.found
    }
}

struct Walk<'w> {
    found: Found,
    folders: &'w mut dyn Folders,
    /// Levels that `**` stands for where the walk is.
    nested: usize,
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
        match level {
            Level::Literal(name) => {
                // As it stands, or as ids and messages spell it.
                let names = [OsString::from(name), OsString::from_vec(unspelled(name))];
                for name in names.iter().take(if names[0] == names[1] { 1 } else { 2 }) {
                    self.folders.watch(folder, Names::Named(name));
                    match fs::metadata(folder.join(name)) {
                        Ok(data) if data.is_dir() => {
                            self.enter(rest, folder, path, name, data.ino());
                            break;
                        }
                        Ok(_) => {}
                        Err(error) => self.failed(error),
                    }
                }
            }
            Level::Pattern(pattern) => {
                self.folders.watch(folder, Names::Matching(pattern));
                let text = pattern.as_str();
                let prefix = text.split(['*', '?', '[']).next().unwrap_or_default();
                for listed in self.list(folder).with_prefix(prefix) {
                    if pattern.matches(&listed.spelled) {
                        self.enter(rest, folder, path, &listed.name, listed.inode);
                    }
                }
            }
            Level::Any if self.nested == MAX_NESTED => {
                // The kernel counts folders as links.
                self.found.is_too_deep |= fs::metadata(&*folder).is_ok_and(|data| data.nlink() > 2);
            }
            Level::Any => {
                self.nested += 1;
                self.folders.watch(folder, Names::Any);
                for listed in self.list(folder).with_prefix("") {
                    self.enter(levels, folder, path, &listed.name, listed.inode);
                }
                self.nested -= 1;
            }
        }
    }

    fn enter(&mut self, levels: &[Level], folder: &mut PathBuf, path: &mut String, name: &OsStr, inode: u64) {
        let length = path.len();
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&spelled(name.as_bytes()));
        folder.push(name);
        self.step(levels, folder, path, inode);
        folder.pop();
        path.truncate(length);
    }

    fn list(&mut self, folder: &Path) -> Rc<Listing> {
        let listing = self.folders.list(folder);
        if let Some(error) = listing.failure() {
            let same = error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
            self.failed(same);
        }
        listing
    }

    fn failed(&mut self, error: io::Error) {
        // A group that lies deeper than a path can say is in the figures of those above it.
        let is_too_deep = error.raw_os_error() == Some(Errno::NAMETOOLONG.raw_os_error());
        if !is_gone(&error) && !is_too_deep {
            self.found.failure.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Folders that nobody watches.
    struct Unwatched;

    impl Folders for Unwatched {
        fn watch(&mut self, _: &Path, _: Names<'_>) {}

        fn list(&mut self, folder: &Path) -> Rc<Listing> {
            Rc::new(Listing::of(folder))
        }
    }

    fn found(pattern: &str) -> Vec<String> {
        let root = tempfile::tempdir().unwrap();
        for path in ["a.slice/x.service", "a.slice/y.service", "a.slice/z.scope", "b.slice/sub/x.service", "c"] {
            fs::create_dir_all(root.path().join(path)).unwrap();
        }
        fs::write(root.path().join("cpu.stat"), "").unwrap();
        let levels: Vec<&str> = pattern.split('/').filter(|level| !level.is_empty()).collect();
        let found = Levels::new(&levels).unwrap().walk(root.path(), &mut Unwatched);
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
        assert_eq!(found("a.slice/[xy].*"), ["a.slice/x.service", "a.slice/y.service"]);
        assert_eq!(found("a.slice/y.s?rvice"), ["a.slice/y.service"]);
        assert_eq!(found("a.slice"), ["a.slice"]);
        assert_eq!(found("a.slice/none"), [""; 0]);
        assert_eq!(found(""), [""]);
    }

    #[test]
    fn groups_nested_without_end_are_left_to_those_above_them() {
        let root = tempfile::tempdir().unwrap();
        let depth = |levels: usize| {
            fs::create_dir_all(root.path().join("d/".repeat(levels))).unwrap();
            let found = Levels::new(&["**"]).unwrap().walk(root.path(), &mut Unwatched);
            (found.groups.len(), found.is_too_deep)
        };
        assert_eq!(depth(MAX_NESTED), (MAX_NESTED + 1, false));
        assert_eq!(depth(MAX_NESTED + 100), (MAX_NESTED + 1, true));
    }

    #[test]
    fn names_that_are_no_text_are_found_and_spelled() {
        let root = tempfile::tempdir().unwrap();
        for name in [&b"a\xff"[..], b"a%FF", b"a\n"] {
            fs::create_dir_all(root.path().join(OsStr::from_bytes(name)).join("x")).unwrap();
        }
        let found = |levels: &[&str]| -> Vec<String> {
            Levels::new(levels).unwrap().walk(root.path(), &mut Unwatched).groups.into_keys().collect()
        };
        assert_eq!(found(&["a*", "x"]), ["a%0A/x", "a%25FF/x", "a%FF/x"]);
        assert_eq!(found(&["a%25FF"]), ["a%25FF"], "as ids spell it");
        assert_eq!(found(&["a%0A"]), ["a%0A"]);
    }

    #[test]
    fn a_pattern_that_can_not_be_read_is_told() {
        let error = Levels::new(&["a", "x["]).unwrap_err().to_string();
        assert!(error.contains("\"x[\"") && error.contains("column 2"), "{error}");
    }
}
