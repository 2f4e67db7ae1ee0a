//! Why control groups have no memory figure.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::collect::kernel_file::read_text_once;

/// Hierarchies of which it was said: it is a fact of the host, and no scope's, nor that of a configuration that is read
/// again.
static SAID: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// Why the group in `folder` has none, and what to do; once for a hierarchy. `old` is where version 1 has the controller.
pub(super) fn once(folder: &Path, root: &Path, old: Option<&str>) -> Option<String> {
    let is_new = SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(root.to_owned());
    is_new.then(|| why(folder, root, old))
}

fn why(folder: &Path, root: &Path, old: Option<&str>) -> String {
    let known = read_text_once(root.join("cgroup.controllers"));
    // Where that can't be read, the usual case is taken for granted.
    let is_there = known.is_ok_and(|text| text.split_ascii_whitespace().any(|name| name == "memory"));
    match old {
        Some(mount) if !is_there => format!(
            "the memory of control groups is not metered: version 1 (at {mount}) has the memory controller on this host; \
             boot with systemd.unified_cgroup_hierarchy=1 to have it in version 2"
        ),
        None if !is_there && root.join("cgroup.controllers").exists() => format!(
            "the memory of control groups is not metered: {} names no memory controller; boot with cgroup_enable=memory, \
             and without cgroup_disable=memory",
            root.join("cgroup.controllers").display()
        ),
        _ => format!(
            "the memory of the control group {} is not metered, and maybe that of others: the memory controller is off \
             for it; switch it on with: echo +memory > cgroup.subtree_control, in each folder above",
            folder.strip_prefix(root).unwrap_or(folder).display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_reason_is_the_hosts() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("a/b");
        let controllers = |text: &str| fs::write(root.path().join("cgroup.controllers"), text).unwrap();
        controllers("cpu memory\n");
        assert!(why(&group, root.path(), None).contains("control group a/b is not metered"));
        assert!(why(&group, root.path(), None).contains("echo +memory"));
        controllers("hugetlb memory_x\n");
        let hybrid = why(&group, root.path(), Some("/sys/fs/cgroup/memory"));
        assert!(hybrid.contains("(at /sys/fs/cgroup/memory)") && hybrid.contains("systemd.unified"), "{hybrid}");
        assert!(!hybrid.contains("subtree_control"), "{hybrid}");
        assert!(why(&group, root.path(), None).contains("cgroup_enable=memory"));
    }

    #[test]
    fn it_is_said_once_for_a_host_whichever_scopes_it_has() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert!(once(&one.path().join("a"), one.path(), None).is_some());
        assert_eq!(once(&one.path().join("b"), one.path(), None), None);
        assert!(once(&other.path().join("a"), other.path(), None).is_some());
    }
}
