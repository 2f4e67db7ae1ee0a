//! GPU time of processes, from the kernel's own counters.
//!
//! A driver of the kernel's DRM (amdgpu, i915, xe, msm, panfrost and others) says for every file of a GPU that a process
//! has open how long each kind of engine worked for it (`/proc/PID/fdinfo`). An instance has used what its processes'
//! clients have, each once however many descriptors lead to it, and all its engines together: who computes and copies
//! at the same time has both.
//!
//! **What it costs.** Nothing without a GPU. With one, descriptors are listed for a process that is new, and again for
//! one without a GPU's file after a pause that grows to a minute; a client that was found late loses nothing, since it
//! counts from zero. At other looks only the files of GPUs are read. What can't be known: what a client used between the
//! last look and its end, and one that was opened and closed between two lists.
//!
//! Which file a descriptor has is up to its process, also between the list and the reading, and what some files tell of
//! themselves waits for whoever works with them. So the files of a process are read with a limit of time, and an
//! instance of which one does not answer has its GPU time named as not metered until it does.

mod account;
mod fdinfo;

#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(super) use fdinfo::fuzz_client;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use self::account::Account;
use super::GpuTime;
use super::kernel_file::{KernelFile, is_gone, read_once};
use super::process::stat;
use super::timed_call::{LateCall, TimedCalls, TimedResult};
use crate::clock::Monotonic;

/// Drivers are loaded seldom.
const REFRESHED: Duration = Duration::from_secs(60);
/// Pauses between two lists of the descriptors of one process.
const FIRST_PAUSE: Duration = Duration::from_secs(2);
const LAST_PAUSE: Duration = Duration::from_secs(60);
/// How long a client that nobody has open is remembered: a descriptor may be on its way to another process.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Descriptors that are listed in one sample: of one instance, and of all together. Beyond that each instance has a few,
/// so that nobody's table keeps the others from being metered.
const MAX_OF_INSTANCE: usize = 1 << 15;
const MAX_OF_ALL: usize = 1 << 17;
const ALWAYS: usize = 512;
/// Starts of processes are told in ticks.
const TICK: Duration = Duration::from_millis(10);

/// What the instances of a scope share.
#[derive(Debug)]
pub(super) struct Drm {
    proc: PathBuf,
    class: PathBuf,
    present: Option<(Monotonic, bool)>,
    /// It was said that descriptors can't be listed.
    denied: bool,
    /// Reads the files of one process.
    calls: TimedCalls<Vec<io::Result<Vec<u8>>>>,
    /// Lists the descriptors of one process.
    lists: TimedCalls<io::Result<GpuFiles>>,
    /// When descriptors were listed last, and how many in that sample.
    listed: (Monotonic, usize),
    /// It was said that files do not answer.
    silent: bool,
}

impl Drm {
    pub(super) fn new(root: &Path) -> Self {
        Self {
            proc: root.join("proc"),
            class: root.join("sys/class/drm"),
            present: None,
            denied: false,
            calls: TimedCalls::default(),
            lists: TimedCalls::default(),
            listed: Default::default(),
            silent: false,
        }
    }

    /// What the files say; `None`, with a word of it, where they do not answer in time.
    fn read(&mut self, files: Vec<PathBuf>) -> Result<Vec<io::Result<Vec<u8>>>, Option<LateCall>> {
        let folder = files.first().and_then(|file| file.parent()).map(Path::to_owned).unwrap_or_default();
        match self.calls.call(move || files.into_iter().map(read_once).collect()) {
            TimedResult::InTime(texts) => Ok(texts),
            late => {
                if !std::mem::replace(&mut self.silent, true) {
                    let folder = folder.display();
                    tracing::warn!(
                        "the GPU time of an instance is NOT metered: {folder} does not answer. It is metered again once that \
                         does; other instances are not concerned"
                    );
                }
                Err(if let TimedResult::Late(late) = late { Some(late) } else { None })
            }
        }
    }

    /// How many descriptors an instance may have listed now.
    fn most(&mut self, at: Monotonic) -> usize {
        if self.listed.0 != at {
            self.listed = (at, 0);
        }
        MAX_OF_ALL.saturating_sub(self.listed.1).clamp(ALWAYS, MAX_OF_INSTANCE)
    }

    /// The files of GPUs of a process, of whose descriptors at most so many are listed.
    fn list(&mut self, folder: &Path, most: usize) -> Result<io::Result<GpuFiles>, Option<LateCall>> {
        let folder = folder.to_owned();
        match self.lists.call(move || gpu_files_of_process(&folder, most)) {
            TimedResult::InTime(files) => {
                self.listed.1 += files.as_ref().map_or(0, |files| files.listed);
                Ok(files)
            }
            TimedResult::Late(late) => Err(Some(late)),
            TimedResult::NotMade(_) => Err(None),
        }
    }

    /// Whether there is a GPU with such a driver.
    pub(super) fn is_present(&mut self, at: Monotonic) -> bool {
        match self.present {
            Some((when, present)) if at < when.saturating_add(REFRESHED) => present,
            _ => {
                // The folder alone says no more than that the kernel could have a driver.
                let entries = fs::read_dir(&self.class).into_iter().flatten().flatten();
                let is_gpu = |name: &str| name.starts_with("card") || name.starts_with("renderD");
                let present = entries.into_iter().any(|entry| entry.file_name().to_str().is_some_and(is_gpu));
                self.present = Some((at, present));
                present
            }
        }
    }

    fn is_denied(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.denied, true) {
            tracing::warn!(
                "the GPU time of others' processes is NOT metered: what they have open can't be listed ({error}); run as root \
                 or with CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH (systemd: tenants-gpu.conf)"
            );
        }
    }
}

/// The clients of one instance.
#[derive(Debug, Default)]
pub(super) struct DrmClients {
    processes: HashMap<u32, Process>,
    /// By device and number.
    clients: BTreeMap<String, Account>,
    looked: Option<Monotonic>,
    /// Some of what the processes have open could not be listed or read.
    is_partial: bool,
    /// Reading that has not returned: nothing more is read until it does.
    late: Option<LateCall>,
}

#[derive(Debug)]
struct Process {
    /// When its descriptors are listed again.
    list: Monotonic,
    /// What it has open could not be listed, or not all of it.
    denied: bool,
    pause: Duration,
    /// It was listed at all.
    known: bool,
    /// When the instance was looked at before it came.
    before: Option<Monotonic>,
    /// What is told of its descriptors of GPUs.
    files: Vec<PathBuf>,
    /// It was in the instance when that was last looked at, or began since.
    own: bool,
}

impl DrmClients {
    /// Whether some of the GPU time could not be read at the last look.
    pub(super) const fn is_partial(&self) -> bool {
        self.is_partial
    }

    /// What the clients of `processes` have used. `before` is when the scope was last looked at, for an instance that
    /// was made since.
    pub(super) fn read(
        &mut self,
        shared: &mut Drm,
        at: Monotonic,
        before: Option<Monotonic>,
        processes: &[u32],
        buffer: &mut Vec<u8>,
    ) -> BTreeMap<String, GpuTime> {
        let before = self.looked.or(before);
        self.late.take_if(|late| late.is_over());
        let mut is_partial = self.late.is_some();
        let mut most = shared.most(at);
        let present: HashSet<u32> = processes.iter().copied().collect();
        self.processes.retain(|number, _| present.contains(number));
        for number in processes {
            let folder = shared.proc.join(number.to_string());
            let process = self.processes.entry(*number).or_insert_with(|| Process {
                list: at,
                denied: false,
                pause: FIRST_PAUSE,
                known: false,
                before,
                files: Vec::new(),
                own: true,
            });
            let is_new = !process.known;
            let mut listed = false;
            if process.list <= at {
                // What could not be listed is at the next sample.
                if most == 0 || self.late.is_some() {
                    is_partial = true;
                    continue;
                }
                self.late = process.relist(&folder, at, &mut most, shared);
                is_partial |= self.late.is_some();
                listed = true;
            }
            if is_new && !process.files.is_empty() {
                let before = process.before;
                process.own =
                    before.is_none_or(|before| began(&folder, buffer).is_none_or(|began| began + TICK >= before));
            }
            let from_zero = process.own && if is_new { process.before.is_some() } else { before.is_some() };
            for again in [false, true] {
                if again {
                    if most == 0 {
                        is_partial = true;
                        break;
                    }
                    self.late = process.relist(&folder, at, &mut most, shared);
                    is_partial |= self.late.is_some();
                }
                if self.late.is_some() || process.files.is_empty() {
                    break;
                }
                match shared.read(process.files.clone()) {
                    Ok(texts) => {
                        if add(&mut self.clients, process.own, texts, at, from_zero) || listed {
                            break;
                        }
                    }
                    Err(late) => {
                        self.late = late;
                        is_partial = true;
                        break;
                    }
                }
            }
            process.own = true;
        }
        self.clients.retain(|_, client| at < client.seen.saturating_add(REMEMBERED));
        self.looked = Some(at);
        self.is_partial = is_partial || self.processes.values().any(|process| process.denied);
        self.clients.iter().map(|(name, client)| (name.clone(), client.time())).collect()
    }
}

impl Process {
    /// Lists its descriptors, `most` of them, which it takes its own from. What is left where that does not return in time.
    fn relist(&mut self, folder: &Path, at: Monotonic, most: &mut usize, shared: &mut Drm) -> Option<LateCall> {
        self.denied = false;
        let mut late = None;
        match shared.list(folder, *most) {
            Ok(Ok(files)) => {
                *most = most.saturating_sub(files.listed);
                self.denied = files.is_cut;
                self.files = files.found;
            }
            Ok(Err(error)) if is_gone(&error) => self.files.clear(),
            Ok(Err(error)) => {
                self.denied = true;
                shared.is_denied(&error);
            }
            Err(call) => {
                self.denied = true;
                late = call;
            }
        }
        self.known = true;
        self.list = at.saturating_add(self.pause);
        // Who has a GPU open may open it again.
        self.pause = if self.files.is_empty() { (2 * self.pause).min(LAST_PAUSE) } else { FIRST_PAUSE * 2 };
        late
    }
}

/// Adds what the files of a process say; `false` where one of them is no longer what it was.
fn add(
    clients: &mut BTreeMap<String, Account>,
    is_own: bool,
    texts: Vec<io::Result<Vec<u8>>>,
    at: Monotonic,
    from_zero: bool,
) -> bool {
    let mut as_known = true;
    for text in texts {
        let Ok(text) = text else {
            as_known = false;
            continue;
        };
        // Clients may name themselves; what counts is text.
        let text = &String::from_utf8_lossy(&text);
        // Drivers that tell nothing have no number for their clients; whether it is still a GPU's file can't be known.
        let Some(client) = fdinfo::client(text) else { continue };
        let key = format!("{}/{}", client.device, client.id);
        match clients.get_mut(&key) {
            Some(account) => account.look(&client, at),
            None => {
                let mut account = Account::new(from_zero);
                account.look(&client, at);
                if !is_own {
                    account.came_with();
                }
                clients.insert(key, account);
            }
        }
    }
    as_known
}

/// What is told of the descriptors of a process that lead to a GPU.
#[derive(Debug, Default)]
struct GpuFiles {
    found: Vec<PathBuf>,
    /// How many descriptors were listed.
    listed: usize,
    /// There are more.
    is_cut: bool,
}

/// The files of GPUs of a process, of whose descriptors at most so many are listed. Where its first thread ended, the
/// others have them.
fn gpu_files_of_process(folder: &Path, most: usize) -> io::Result<GpuFiles> {
    let mut files = gpu_files(folder, most)?;
    if files.listed > 0 {
        return Ok(files);
    }
    for (count, thread) in fs::read_dir(folder.join("task")).into_iter().flatten().flatten().enumerate() {
        files.listed = count;
        if count >= most {
            files.is_cut = true;
            break;
        }
        if let Ok(found) = gpu_files(&thread.path(), most)
            && found.listed > 0
        {
            return Ok(found);
        }
    }
    Ok(files)
}

/// The same of the thread in `folder`.
fn gpu_files(folder: &Path, most: usize) -> io::Result<GpuFiles> {
    let mut files = GpuFiles::default();
    for entry in fs::read_dir(folder.join("fd"))?.flatten() {
        if files.listed >= most {
            files.is_cut = true;
            break;
        }
        files.listed += 1;
        let path = match fs::read_link(entry.path()) {
            Ok(path) => path,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Err(error),
            // It was closed meanwhile.
            Err(_) => continue,
        };
        if path.starts_with("/dev/dri")
            // Descriptors are numbers.
            && let Ok(name) = entry.file_name().into_string()
        {
            files.found.push(folder.join("fdinfo").join(name));
        }
    }
    Ok(files)
}

/// When a process began, since the boot.
fn began(folder: &Path, buffer: &mut Vec<u8>) -> Option<Duration> {
    let stat = KernelFile::reopened(folder.join("stat")).read_bytes_at_once(buffer).and_then(stat::stat).ok()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let nanos = u128::from(stat.start) * 1_000_000_000 / u128::from(per_second);
    Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests;
