//! Control groups of the machine that the tests run on.

use crate::support::{RunningProcess, SpawnGuarded as _, not_run};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Where a limit of CPU time stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    /// In the group itself.
    Here,
    /// In a hierarchy of version 1 beside it, which has the controller.
    Beside,
    /// Nowhere: there is no controller to be had.
    None,
}

/// A control group of a test's own, emptied and removed at its end.
pub(crate) struct ControlGroup {
    folder: PathBuf,
    /// The group of version 1 that limits it.
    beside: std::cell::RefCell<Option<PathBuf>>,
    /// From the root of the hierarchy.
    path: String,
}

/// Where version 2 is mounted, where it is.
fn mount() -> Option<PathBuf> {
    let text = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let line = text.lines().find(|line| line.contains(" - cgroup2 "))?;
    line.split(' ').nth(4).map(PathBuf::from)
}

impl ControlGroup {
    /// A new one; `None`, with a word of it, where this machine or user has none to give.
    pub(crate) fn new(name: &str) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = format!("formusage-{name}-{}-{number}", std::process::id());
        let made = mount().ok_or_else(|| "no cgroup2 is mounted".to_owned()).and_then(|mount| {
            let folder = mount.join(&path);
            fs::create_dir(&folder).map_err(|error| format!("{}: {error}", folder.display())).map(|()| folder)
        });
        match made {
            Ok(folder) => Some(Self { folder, path, beside: None.into() }),
            Err(why) => {
                not_run(format!("no control group can be made: {why}"));
                None
            }
        }
    }

    /// A new one in this one.
    pub(crate) fn child(&self, name: &str) -> Self {
        let folder = self.folder.join(name);
        fs::create_dir(&folder).unwrap();
        Self { folder, path: format!("{}/{name}", self.path), beside: None.into() }
    }

    /// The same, with a name of any bytes.
    pub(crate) fn child_of_bytes(&self, name: &std::ffi::OsStr) -> Self {
        let folder = self.folder.join(name);
        fs::create_dir(&folder).unwrap();
        let path = format!("{}/{}", self.path, name.display());
        Self { folder, path, beside: None.into() }
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Lets what will be started in it use so many CPUs, where that can be said.
    pub(crate) fn limit(&self, cpus: f64) -> Limit {
        #[allow(clippy::cast_possible_truncation)]
        let quota = (cpus * 100_000.0) as i64;
        for above in self.folder.ancestors().skip(1).take(2).collect::<Vec<_>>().into_iter().rev() {
            let _ = fs::write(above.join("cgroup.subtree_control"), "+cpu");
        }
        if fs::write(self.folder.join("cpu.max"), format!("{quota} 100000")).is_ok() {
            return Limit::Here;
        }
        let folder = PathBuf::from("/sys/fs/cgroup/cpu").join(self.path.replace('/', "-"));
        if fs::create_dir(&folder).is_ok() {
            *self.beside.borrow_mut() = Some(folder.clone());
            if fs::write(folder.join("cpu.cfs_quota_us"), quota.to_string()).is_ok() {
                return Limit::Beside;
            }
        }
        Limit::None
    }

    /// Runs a shell script in it.
    pub(crate) fn run(&self, script: &str) -> RunningProcess {
        self.command(script).spawn_guarded()
    }

    /// A shell script that will run in it.
    pub(crate) fn command(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        let beside = self.beside.borrow().as_ref().map_or("/dev/null".into(), |folder| folder.join("cgroup.procs"));
        command.arg("-c").arg(format!("echo $$ >\"$0\" && echo $$ >\"$1\" && {script}"));
        command.arg(self.folder.join("cgroup.procs")).arg(beside);
        command.stdin(Stdio::null());
        command
    }

    /// What the kernel says was used.
    pub(crate) fn used(&self) -> Duration {
        let text = fs::read_to_string(self.folder.join("cpu.stat")).unwrap();
        let micros = text.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap();
        Duration::from_micros(micros.parse().unwrap())
    }

    /// Removes it, once it is empty.
    pub(crate) fn remove(&self) -> std::io::Result<()> {
        fs::remove_dir(&self.folder)
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        self.empty();
        if let Some(folder) = self.beside.take() {
            let _ = fs::remove_dir(folder);
        }
    }
}

impl ControlGroup {
    fn empty(&self) {
        if self.folder.exists() {
            let _ = fs::write(self.folder.join("cgroup.kill"), "1");
            // The kernel takes a moment to empty it.
            for _ in 0..1000 {
                if self.remove().is_ok() {
                    break;
                }
                std::thread::yield_now();
            }
        }
    }
}
