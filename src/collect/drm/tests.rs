//! Clients of processes in a root of the test's own.

use std::os::unix::fs::symlink;

use super::*;

struct Proc(tempfile::TempDir);

impl Proc {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("sys/class/drm/renderD128")).unwrap();
        Self(root)
    }

    fn folder(&self, process: u32) -> PathBuf {
        self.0.path().join(format!("proc/{process}"))
    }

    /// A process that began so many seconds after the boot, with nothing open but its terminal.
    fn process(&self, process: u32, began: u64) {
        let folder = self.folder(process);
        fs::create_dir_all(folder.join("fd")).unwrap();
        fs::create_dir_all(folder.join("fdinfo")).unwrap();
        let ticks = began * rustix::param::clock_ticks_per_second();
        fs::write(folder.join("stat"), format!("{process} (x) S 1 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 {ticks} 1 2"))
            .unwrap();
        symlink("/dev/pts/0", folder.join("fd/0")).unwrap();
        fs::write(folder.join("fdinfo/0"), "pos:\t0\nflags:\t02\n").unwrap();
    }

    /// Opens a GPU's file, or says what the client has used by now.
    fn client(&self, process: u32, descriptor: u32, client: u32, render: u64, copy: u64) {
        let folder = self.folder(process);
        let _ = symlink("/dev/dri/renderD128", folder.join(format!("fd/{descriptor}")));
        let text = format!(
            "pos:\t0\ndrm-driver:\tamdgpu\ndrm-client-id:\t{client}\ndrm-pdev:\t0000:03:00.0\n\
             drm-engine-gfx:\t{render} ns\ndrm-engine-dma:\t{copy} ns\n"
        );
        fs::write(folder.join(format!("fdinfo/{descriptor}")), text).unwrap();
    }

    fn close(&self, process: u32, descriptor: u32) {
        fs::remove_file(self.folder(process).join(format!("fd/{descriptor}"))).unwrap();
        fs::remove_file(self.folder(process).join(format!("fdinfo/{descriptor}"))).unwrap();
    }
}

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Client, used, before.
fn look(shared: &mut Drm, clients: &mut DrmClients, at: u64, processes: &[u32]) -> Vec<(String, u128, u128)> {
    let seen = clients.read(shared, seconds(at), None, processes, &mut Vec::new());
    seen.into_iter().map(|(name, time)| (name, time.used.as_nanos(), time.before.as_nanos())).collect()
}

fn one(client: u32, used: u128, before: u128) -> (String, u128, u128) {
    (format!("0000:03:00.0/{client}"), used, before)
}

#[test]
fn a_client_counts_once_and_stays_when_it_is_closed() {
    let proc = Proc::new();
    proc.process(10, 1);
    proc.process(11, 1);
    proc.client(10, 5, 7, 1000, 50);
    // The same client, duplicated and inherited.
    proc.client(10, 6, 7, 1000, 50);
    proc.client(11, 5, 7, 1000, 50);
    proc.client(11, 9, 8, 3, 0);
    let (mut shared, mut clients) = (Drm::new(proc.0.path()), DrmClients::default());
    assert!(shared.is_present(seconds(0)));
    assert_eq!(look(&mut shared, &mut clients, 100, &[10, 11]), [one(7, 1050, 0), one(8, 3, 0)]);
    proc.client(10, 5, 7, 2000, 50);
    proc.close(11, 9);
    assert_eq!(look(&mut shared, &mut clients, 101, &[10, 11]), [one(7, 2050, 0), one(8, 3, 0)]);
    // All ended; the last readings stay for a while.
    assert_eq!(look(&mut shared, &mut clients, 102, &[]), [one(7, 2050, 0), one(8, 3, 0)]);
    assert_eq!(look(&mut shared, &mut clients, 700, &[]), [one(7, 2050, 0)], "8 was last seen at 100");
}

/// The first thread of a process may end before the others, and has nothing open then.
#[test]
fn a_client_of_a_process_whose_first_thread_ended_counts() {
    let proc = Proc::new();
    proc.process(10, 1);
    fs::remove_file(proc.folder(10).join("fd/0")).unwrap();
    let thread = proc.folder(10).join("task/11");
    for folder in ["fd", "fdinfo"] {
        fs::create_dir_all(thread.join(folder)).unwrap();
    }
    proc.process(12, 1);
    proc.client(12, 5, 7, 1000, 50);
    for file in ["fd/5", "fdinfo/5"] {
        fs::rename(proc.folder(12).join(file), thread.join(file)).unwrap();
    }
    let (mut shared, mut clients) = (Drm::new(proc.0.path()), DrmClients::default());
    assert_eq!(look(&mut shared, &mut clients, 100, &[10]), [one(7, 1050, 0)]);
}

#[test]
fn a_client_that_is_opened_later_is_found_and_loses_nothing() {
    let proc = Proc::new();
    proc.process(10, 1);
    let (mut shared, mut clients) = (Drm::new(proc.0.path()), DrmClients::default());
    assert_eq!(look(&mut shared, &mut clients, 100, &[10]), []);
    proc.client(10, 5, 7, 10, 0);
    assert_eq!(look(&mut shared, &mut clients, 101, &[10]), [], "its descriptors are not listed each time");
    assert_eq!(look(&mut shared, &mut clients, 102, &[10]), [one(7, 10, 0)]);
    // The descriptor leads elsewhere now, and another one to a new client.
    proc.close(10, 5);
    proc.client(10, 6, 8, 4, 0);
    assert_eq!(look(&mut shared, &mut clients, 103, &[10]), [one(7, 10, 0), one(8, 4, 0)]);
}

#[test]
fn what_a_process_used_elsewhere_is_not_the_instances() {
    let proc = Proc::new();
    proc.process(10, 1);
    let (mut shared, mut clients) = (Drm::new(proc.0.path()), DrmClients::default());
    look(&mut shared, &mut clients, 100, &[10]);
    // One began since the last look, one long ago: it was moved here.
    proc.process(11, 101);
    proc.client(11, 3, 1, 40, 0);
    proc.process(12, 50);
    proc.client(12, 3, 2, 900, 0);
    assert_eq!(look(&mut shared, &mut clients, 105, &[10, 11, 12]), [one(1, 40, 0), one(2, 900, 900)]);
    proc.client(12, 3, 2, 950, 0);
    // What it opens from here on is the instance's.
    proc.client(12, 4, 3, 20, 0);
    assert_eq!(look(&mut shared, &mut clients, 110, &[10, 11, 12]), [one(1, 40, 0), one(2, 950, 900), one(3, 20, 0)]);
}

#[test]
fn a_machine_without_a_gpu_is_left_alone() {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("sys/class/drm")).unwrap();
    fs::write(root.path().join("sys/class/drm/version"), "drm 1.1.0").unwrap();
    let mut shared = Drm::new(root.path());
    assert!(!shared.is_present(seconds(0)));
    fs::create_dir(root.path().join("sys/class/drm/card0")).unwrap();
    assert!(!shared.is_present(seconds(59)) && shared.is_present(seconds(60)), "a driver that is loaded is noticed");
}

/// A table of descriptors may be shared by hundreds of processes, and each of them is asked for all of it.
#[test]
fn descriptors_of_one_instance_keep_no_other_one_from_its_gpu_time() {
    let proc = Proc::new();
    for process in [10, 11, 12] {
        proc.process(process, 1);
    }
    proc.client(12, 5, 7, 1000, 50);
    let (mut shared, mut clients) = (Drm::new(proc.0.path()), DrmClients::default());
    shared.listed = (seconds(100), MAX_OF_ALL);
    assert_eq!(shared.most(seconds(100)), ALWAYS, "all others have had theirs");
    assert_eq!(look(&mut shared, &mut clients, 100, &[12]), [one(7, 1050, 0)]);
    assert!(!clients.is_partial());
    assert_eq!(shared.most(seconds(101)), MAX_OF_INSTANCE);
    // More than may be listed: what was found counts, the figure is flagged, and the rest is listed at the next sample.
    let files = gpu_files_of_process(&proc.folder(12), 1).unwrap();
    assert!(files.is_cut && files.listed == 1, "{files:?}");
    let files = gpu_files_of_process(&proc.folder(12), 2).unwrap();
    assert!(!files.is_cut && files.found.len() == 1, "{files:?}");
    for descriptor in 6..=ALWAYS {
        symlink("/dev/null", proc.folder(10).join(format!("fd/{descriptor}"))).unwrap();
        symlink("/dev/null", proc.folder(11).join(format!("fd/{descriptor}"))).unwrap();
    }
    let (mut shared, mut clients) = (Drm::new(proc.0.path()), DrmClients::default());
    let mut partial = Vec::new();
    for second in [100, 101, 102] {
        shared.listed = (seconds(second), MAX_OF_ALL);
        look(&mut shared, &mut clients, second, &[10, 11]);
        partial.push((clients.is_partial(), clients.processes.values().filter(|it| it.known).count()));
    }
    assert_eq!(partial[0], (true, 2), "the second one is cut");
    proc.client(11, 5, 8, 70, 7);
    shared.listed = (seconds(200), 0);
    assert_eq!(look(&mut shared, &mut clients, 200, &[10, 11]), [one(8, 77, 0)]);
    assert!(!clients.is_partial());
}
