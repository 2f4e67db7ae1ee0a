//! What a reading of this host and of control groups costs, next to reading `/proc/stat` as it is.
//!
//! `cargo bench --bench collect`. Control groups are made where this user may make them.
//!
//! For comparison with tools that are there already (Debian packages `prometheus-node-exporter` and `sysstat`), CPU time
//! of the process before and after, divided by the number of scrapes or samples:
//!
//! ```sh
//! prometheus-node-exporter --web.listen-address=127.0.0.1:9100 & pid=$!
//! for i in $(seq 100); do curl -s 127.0.0.1:9100/metrics >/dev/null; done; cut -d' ' -f14,15 /proc/$pid/stat
//! perf stat -e task-clock /usr/lib/sysstat/sadc 1 100 /dev/null
//! perf stat -e task-clock formusage collect --sample-interval 1s --duration 100s >/dev/null
//! ```
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stderr)]

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use form_usage_events::collect::{Identity, Meter, Reading, Scope, ScopeOptions, ScopeSpec, host};

fn readings(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("collect");
    group.bench_function("read /proc/stat and nothing else", |bencher| {
        bencher.iter(|| black_box(std::fs::read("/proc/stat").unwrap()));
    });
    let mut scope = host::this_host().unwrap();
    group.bench_function("a reading of the host", |bencher| {
        bencher.iter(|| black_box(scope.read(Duration::ZERO).unwrap()));
    });
    let open = |text: &str| text.parse::<ScopeSpec>().unwrap().open(&ScopeOptions::default());
    let mut process = open(&format!("pid:{}", std::process::id())).unwrap();
    group.bench_function("a reading of a process", |bencher| {
        bencher.iter(|| black_box(process.read(Duration::ZERO).unwrap()));
    });
    for count in [1, 500] {
        let Some(groups) = Groups::new(count) else { continue };
        let mut scope: Box<dyn Scope> = open(&format!("cgroup:{}/*", groups.name)).unwrap();
        let mut at = Duration::ZERO;
        group.bench_function(format!("a reading of {count} control groups"), |bencher| {
            bencher.iter(|| {
                at += Duration::from_secs(1);
                black_box(scope.read(at).unwrap())
            });
        });
    }
    let identity = Identity::new("i".into(), "u".into(), None).unwrap();
    let mut meter = Meter::new(identity, 0, Reading::default());
    let (mut at, reading) = (Duration::ZERO, scope.read(Duration::ZERO).unwrap().remove(0).reading);
    group.bench_function("metering a reading", |bencher| {
        bencher.iter(|| {
            at += Duration::from_secs(1);
            meter.add(Reading { at, ..reading.clone() });
        });
    });
}

/// Control groups, each with a process as containers have it, removed at the end.
struct Groups {
    folder: std::path::PathBuf,
    name: String,
    processes: Vec<std::process::Child>,
}

impl Groups {
    fn new(count: usize) -> Option<Self> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 ")).and_then(|line| line.split(' ').nth(4));
        let name = format!("formusage-bench-{}-{count}", std::process::id());
        let folder = std::path::Path::new(mount.unwrap_or("/nowhere")).join(&name);
        if let Err(error) = std::fs::create_dir(&folder) {
            eprintln!("no control groups are measured: {}: {error}", folder.display());
            return None;
        }
        let mut groups = Self { folder, name, processes: Vec::new() };
        for number in 0..count {
            let group = groups.folder.join(format!("group-{number}"));
            std::fs::create_dir(&group).unwrap();
            let process = std::process::Command::new("sleep").arg("600").spawn().unwrap();
            std::fs::write(group.join("cgroup.procs"), process.id().to_string()).unwrap();
            groups.processes.push(process);
        }
        Some(groups)
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        for entry in std::fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let _ = std::fs::remove_dir(entry.path());
        }
        let _ = std::fs::remove_dir(&self.folder);
    }
}

criterion_group!(benches, readings);
criterion_main!(benches);
