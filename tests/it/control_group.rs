//! Control groups of the machine that the tests run on.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A control group of a test's own, emptied and removed at its end.
pub(crate) struct ControlGroup {
    folder: PathBuf,
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
            Ok(folder) => Some(Self { folder, path }),
            Err(why) => {
                eprintln!("skipped, since no control group can be made: {why}");
                None
            }
        }
    }

    /// A new one in this one.
    pub(crate) fn child(&self, name: &str) -> Self {
        let folder = self.folder.join(name);
        fs::create_dir(&folder).unwrap();
        Self { folder, path: format!("{}/{name}", self.path) }
    }

    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Runs a shell script in it.
    pub(crate) fn run(&self, script: &str) -> Child {
        self.command(script).spawn().unwrap()
    }

    /// A shell script that will run in it.
    pub(crate) fn command(&self, script: &str) -> Command {
        let mut command = Command::new("sh");
        command.arg("-c").arg(format!("echo $$ >\"$0\" && {script}")).arg(self.folder.join("cgroup.procs"));
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
