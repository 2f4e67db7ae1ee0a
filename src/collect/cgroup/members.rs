//! The processes of a control group and of those below it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::Monotonic;
use crate::collect::kernel_file::KernelFile;

/// Groups below a container's are made when it starts.
const REFRESHED: Duration = Duration::from_secs(10);

/// Knows the groups below one, and lists the processes of all.
#[derive(Debug, Default)]
pub(super) struct Members {
    folders: Vec<PathBuf>,
    listed: Option<Monotonic>,
    processes: Vec<u32>,
}

impl Members {
    /// The processes as of now. Those of another PID namespace have no number here, and are left out.
    pub(super) fn processes(&mut self, folder: &Path, at: Monotonic, buffer: &mut Vec<u8>) -> &[u32] {
        if self.listed.is_none_or(|when| at >= when.saturating_add(REFRESHED)) {
            self.folders.clear();
            list(folder.to_owned(), &mut self.folders);
            self.listed = Some(at);
        }
        self.processes.clear();
        for folder in &self.folders {
            // A group that is no more has none; a threaded one has those of its root.
            let mut file = KernelFile::reopened(folder.join("cgroup.procs"));
            let text = file.read(buffer).unwrap_or_default();
            self.processes
                .extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|number| *number > 0));
        }
        &self.processes
    }
}

fn list(folder: PathBuf, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        list(entry.path(), found);
    }
    found.push(folder);
}
