//! Where the control groups are: the mount of version 2, found in `mountinfo`.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::collect::CollectError;
use crate::collect::kernel_file::read_once;
use crate::collect::mountinfo::mounts;
use crate::collect::spelling::spelled;

/// The tree of control groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// Where it is mounted, as seen by this process (with the root of a test before it).
    pub(super) folder: PathBuf,
    /// Where it is mounted, as people write it.
    mount: String,
    /// Mounts of version 1 beside it.
    old: Vec<String>,
    /// That of them which has the memory controller.
    pub(super) old_memory: Option<String>,
    /// Memory of groups includes their huge pages (a mount option).
    pub(super) counts_huge_pages: bool,
}

impl Hierarchy {
    pub(super) fn find(root: &Path) -> Result<Self, CollectError> {
        let file = root.join("proc/self/mountinfo");
        let text = read_once(file.clone()).map_err(|error| {
            CollectError(format!("can't meter control groups: {}: {error}; is /proc mounted?", file.display()))
        })?;
        Self::of(&text, root)
    }

    fn of(mountinfo: &[u8], root: &Path) -> Result<Self, CollectError> {
        let (mut found, mut old, mut old_memory) = (None, Vec::new(), None);
        let has = |options: &[u8], name: &str| options.split(|byte| *byte == b',').any(|it| it == name.as_bytes());
        for mount in mounts(mountinfo) {
            if mount.kind == "cgroup2" && found.is_none() {
                found = Some((mount.path, has(mount.options, "memory_hugetlb_accounting")));
            } else if mount.kind == "cgroup" {
                let path = spelled(mount.path.as_bytes()).into_owned();
                if has(mount.options, "memory") {
                    old_memory = Some(path.clone());
                }
                old.push(path);
            }
        }
        let Some((mount, counts_huge_pages)) = found else {
            let what = if old.is_empty() {
                "no control groups are mounted here; mount them with: mount -t cgroup2 none /sys/fs/cgroup".to_owned()
            } else {
                format!(
                    "this host has control groups of version 1 only (at {}), whose figures can't be read as one; \
                     boot with systemd.unified_cgroup_hierarchy=1, or meter processes with pid:N",
                    old[0]
                )
            };
            return Err(CollectError(format!("can't meter control groups: {what}")));
        };
        let folder = root.join(Path::new(&mount).strip_prefix("/").unwrap_or(Path::new(&mount)));
        Ok(Self { folder, mount: spelled(mount.as_bytes()).into_owned(), old, old_memory, counts_huge_pages })
    }

    /// A path or a pattern as people write it (absolute, or from the root of the hierarchy), as levels below the root.
    pub(super) fn levels<'p>(&self, path: &'p str) -> Result<Vec<&'p str>, CollectError> {
        let below = |mount: &str| {
            path.strip_prefix(mount.trim_end_matches('/')).filter(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        // Version 2 may be mounted below the mounts of version 1, or above them.
        let rest = below(&self.mount).filter(|_| self.mount != "/");
        if let Some(old) =
            self.old.iter().find(|old| below(old).is_some()).filter(|_| rest.is_none() || self.is_above_old(path))
        {
            return Err(CollectError(format!(
                "can't meter {path:?}: {old} is a hierarchy of version 1; the control groups of version 2 are under {}",
                self.mount
            )));
        }
        let levels: Vec<&str> =
            rest.unwrap_or(path).split('/').filter(|level| !level.is_empty() && *level != ".").collect();
        if levels.contains(&"..") {
            return Err(CollectError(format!("can't meter {path:?}: write the path without \"..\"")));
        }
        Ok(levels)
    }

    fn is_above_old(&self, path: &str) -> bool {
        self.old
            .iter()
            .any(|old| old.len() > self.mount.len() && old.starts_with(&self.mount) && path.starts_with(old.as_str()))
    }

    /// Where it is mounted, for people.
    pub(super) fn mount(&self) -> &str {
        &self.mount
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIFIED: &str = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate";
    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw";

    fn of(text: &str) -> Result<Hierarchy, CollectError> {
        Hierarchy::of(text.as_bytes(), Path::new("/r"))
    }

    #[test]
    fn paths_are_absolute_or_from_the_root() {
        let unified = of(UNIFIED).unwrap();
        assert_eq!(unified.folder, Path::new("/r/sys/fs/cgroup"));
        for path in ["/sys/fs/cgroup/a.slice/b", "/a.slice/b", "a.slice/b/", "a.slice//./b"] {
            assert_eq!(unified.levels(path).unwrap(), ["a.slice", "b"], "{path}");
        }
        assert!(unified.levels("/sys/fs/cgroup").unwrap().is_empty());
        let hybrid = of(HYBRID).unwrap();
        assert_eq!(hybrid.levels("/sys/fs/cgroup/unified/x").unwrap(), ["x"]);
        let error = hybrid.levels("/sys/fs/cgroup/cpu/x").unwrap_err().to_string();
        assert!(error.contains("version 1") && error.contains("/sys/fs/cgroup/unified"), "{error}");
        assert!(hybrid.levels("a/../b").unwrap_err().to_string().contains("without \"..\""));
    }

    #[test]
    fn a_host_without_version_2_is_told_what_to_do() {
        let error = of("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu").unwrap_err().to_string();
        assert!(error.contains("version 1 only") && error.contains("systemd.unified_cgroup_hierarchy=1"), "{error}");
        assert!(of("").unwrap_err().to_string().contains("mount -t cgroup2"));
    }
}
