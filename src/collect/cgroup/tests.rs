//! Control groups of fixture roots. Those of this machine are tested with the binary.

use super::memory::GroupMemory;
use super::*;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/cgroups");
const GB: u64 = 1 << 30;

fn options(root: &str, template: Option<&str>) -> ScopeOptions {
    ScopeOptions {
        root: format!("{FIXTURES}/{root}").into(),
        instance: template.map(|text| text.parse().unwrap()),
        ..ScopeOptions::default()
    }
}

fn open(pattern: &str, options: &ScopeOptions) -> Result<Cgroups, CollectError> {
    Cgroups::open(pattern, options, &mut GroupHosts::default())
}

fn read(pattern: &str, template: Option<&str>) -> Vec<Observed> {
    open(pattern, &options("unified", template)).unwrap().read(Duration::from_secs(7)).unwrap()
}

fn refusal(pattern: &str, template: Option<&str>) -> String {
    match open(pattern, &options("unified", template)) {
        Ok(scope) => {
            assert!(scope.is_absent());
            scope.absence()
        }
        Err(error) => error.to_string(),
    }
}

#[test]
fn containers_have_their_usage_and_the_tightest_limits() {
    let seen = read("system.slice/*", Some("{host}:{name}"));
    let ids: Vec<&str> = seen.iter().map(|seen| seen.instance.as_str()).collect();
    assert_eq!(ids, ["node1:0123456789ab", "node1:fedcba987654", "node1:nginx.service"]);
    let [first, second, third] = [0, 1, 2].map(|n: usize| &seen[n].reading);
    assert_eq!((first.at, first.cpu), (Duration::from_secs(7), Some(Duration::from_millis(1500))));
    assert_eq!((first.memory_used, first.memory_total), (Some(2 * GB), 4 * GB), "less inactive file pages");
    assert_eq!((second.memory_used, second.memory_total), (Some(0), 16 * GB), "the machine's, and never below 0");
    assert_eq!(second.cpu, Some(Duration::from_micros(2_000_001)));
    assert_eq!(third.memory_total, 16 * GB, "a limit beyond the machine is none");
    // Two CPUs of the set; four by the slice's quota; one and a half by its own.
    assert_eq!([first.cpus, second.cpus, third.cpus], [2.0, 4.0, 1.5]);
    assert!(seen.iter().all(|seen| seen.life.starts_with("b001:") && !seen.born));
    assert_ne!(seen[0].life, seen[1].life);
    assert_eq!((first.storage_used, first.network.clone()), (None, Some(BTreeMap::new())));
}

#[test]
fn without_a_template_the_path_tells_instances_apart() {
    assert_eq!(read("/sys/fs/cgroup/system.slice/nginx.service", None)[0].instance, "node1/system.slice/nginx.service");
    assert_eq!(read("*.slice/nginx*", Some("{parent}"))[0].instance, "system.slice");
}

#[test]
fn a_group_without_the_memory_controller_has_no_memory_figure() {
    let reading = &read("machine.slice", None)[0].reading;
    assert_eq!((reading.memory_used, reading.cpu), (None, Some(Duration::ZERO)));
}

#[test]
fn a_unit_is_its_group() {
    let mut unit = Cgroups::open_unit("nginx", &options("unified", None), &mut GroupHosts::default()).unwrap();
    assert_eq!(unit.read(Duration::ZERO).unwrap()[0].instance, "node1/system.slice/nginx.service");
}

#[test]
fn what_can_not_be_metered_is_told_with_the_fix() {
    for (pattern, expected) in [
        ("system.slice/ngimx.service", "did you mean system.slice/nginx.service?"),
        ("sytem.slice/nginx.service", "did you mean system.slice?"),
        ("zzz", "there are machine.slice, system.slice"),
        ("system.slice/*.mount", "no control group matches \"system.slice/*.mount\""),
        ("system.slice/*.mount", "ls /sys/fs/cgroup/system.slice"),
        ("system.slice/[", "can't be read"),
        ("system.slice/nginx.service/deeper", "there is none below it"),
    ] {
        let error = refusal(pattern, None);
        assert!(error.contains(expected), "{pattern}: {error}");
    }
    let names: Vec<String> = (0..11).map(|n| format!("group-{n:02}")).collect();
    let listed = |count: usize, is_all| super::some_of(&names[..count], is_all);
    assert!(listed(8, true).ends_with("group-06, group-07") && listed(11, true).ends_with("group-07 and 3 more"));
    assert!(listed(11, false).ends_with("and more than 3 more"), "{}", listed(11, false));
    let old = open("x", &options("v1", None)).unwrap_err().to_string();
    assert!(old.contains("version 1 only (at /sys/fs/cgroup/cpu,cpuacct)"), "{old}");
}

#[test]
fn groups_that_a_template_calls_the_same_are_metered_under_stable_ids() {
    let first = read("system.slice/docker-*", Some("{parent}"));
    let ids: Vec<&str> = first.iter().map(|seen| seen.instance.as_str()).collect();
    assert_eq!(ids.iter().filter(|id| **id == "system.slice").count(), 1, "the older one keeps it: {ids:?}");
    assert_eq!(ids.iter().filter(|id| id.starts_with("node1/digest:")).count(), 1, "{ids:?}");
    let again: Vec<String> =
        read("system.slice/docker-*", Some("{parent}")).into_iter().map(|it| it.instance).collect();
    assert_eq!(again, ids);
}

#[test]
fn groups_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir_all(root.join("proc/self")).unwrap();
    std::fs::write(root.join("proc/self/mountinfo"), "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw").unwrap();
    let make = |name: &str, micros: u64| {
        std::fs::create_dir_all(root.join("cg/a").join(name)).unwrap();
        std::fs::write(root.join("cg/a").join(name).join("cgroup.events"), "populated 1").unwrap();
        std::fs::write(root.join("cg/a").join(name).join("cpu.stat"), format!("usage_usec {micros}")).unwrap();
    };
    make("one", 1);
    let options =
        ScopeOptions { root: root.to_owned(), instance: Some("{name}".parse().unwrap()), ..ScopeOptions::default() };
    let mut scope = open("a/*", &options).unwrap();
    type Seen = Vec<(String, u64, bool, u128)>;
    let seconds = Duration::from_secs;
    let seen = |observed: Vec<Observed>| -> Seen {
        let of = |seen: Observed| {
            (seen.instance, seen.reading.at.as_secs(), seen.born, seen.reading.cpu.unwrap().as_micros())
        };
        observed.into_iter().map(of).collect()
    };
    let one = |at, micros| ("one".to_owned(), at, false, micros);
    let two = |at, born, micros| ("two".to_owned(), at, born, micros);
    assert_eq!(seen(scope.read(seconds(1)).unwrap()), [one(1, 1)]);
    make("two", 5);
    assert_eq!(seen(scope.glance(seconds(2)).unwrap()), [one(1, 1), two(2, true, 5)], "what gave no sign is not read");
    make("two", 6);
    assert_eq!(seen(scope.glance(seconds(3)).unwrap()), [one(1, 1), two(3, false, 6)], "its events changed");
    std::fs::remove_dir_all(root.join("cg/a/one")).unwrap();
    assert_eq!(seen(scope.read(seconds(4)).unwrap()), [two(4, false, 6)]);
    // Another life under the old name.
    make("one", 2);
    let lives = scope.read(seconds(5)).unwrap();
    assert_eq!(seen(lives.clone()), [("one".to_owned(), 5, true, 2), two(5, false, 6)]);
    std::fs::remove_dir_all(root.join("cg/a")).unwrap();
    assert_eq!(scope.read(seconds(6)).unwrap(), []);
    make("three", 3);
    assert_eq!(seen(scope.read(seconds(7)).unwrap()), [("three".to_owned(), 7, true, 3)]);
}

/// A process with a GPU's file open, which has used so many seconds of it.
fn gpu_process(root: &std::path::Path, process: u32, client: u32, seconds: u64) {
    let folder = root.join(format!("proc/{process}"));
    std::fs::create_dir_all(folder.join("fdinfo")).unwrap();
    std::fs::create_dir_all(folder.join("fd")).unwrap();
    let _ = std::os::unix::fs::symlink("/dev/dri/renderD128", folder.join("fd/4"));
    let text = format!("drm-driver:\ti915\ndrm-client-id:\t{client}\ndrm-engine-render:\t{seconds}000000000 ns\n");
    std::fs::write(folder.join("fdinfo/4"), text).unwrap();
}

#[test]
fn gpu_time_is_that_of_the_processes_below_also_of_those_that_ended() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir_all(root.join("proc/self")).unwrap();
    std::fs::create_dir_all(root.join("sys/class/drm/card0")).unwrap();
    std::fs::write(root.join("proc/self/mountinfo"), "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw").unwrap();
    std::fs::create_dir_all(root.join("cg/a/deep")).unwrap();
    std::fs::write(root.join("cg/a/cpu.stat"), "usage_usec 0").unwrap();
    std::fs::write(root.join("cg/a/cgroup.procs"), "20\n").unwrap();
    std::fs::write(root.join("cg/a/deep/cgroup.procs"), "21\n0\n").unwrap();
    gpu_process(root, 20, 1, 5);
    gpu_process(root, 21, 2, 7);
    gpu_process(root, 22, 3, 9);
    let options = ScopeOptions { root: root.to_owned(), ..ScopeOptions::default() };
    let mut scope = open("a", &options).unwrap();
    let mut used = |at: u64| -> Vec<(String, u64)> {
        let seen = scope.read(Duration::from_secs(at)).unwrap().remove(0).reading.gpu.unwrap();
        seen.into_iter().map(|(client, time)| (client, time.used.as_secs())).collect()
    };
    assert_eq!(used(1), [("i915/1".to_owned(), 5), ("i915/2".to_owned(), 7)]);
    std::fs::remove_dir_all(root.join("proc/21")).unwrap();
    std::fs::write(root.join("cg/a/deep/cgroup.procs"), "").unwrap();
    gpu_process(root, 20, 1, 6);
    assert_eq!(used(2), [("i915/1".to_owned(), 6), ("i915/2".to_owned(), 7)]);
}

#[test]
fn without_a_gpu_nobody_is_asked_for_one() {
    assert!(read("system.slice/*", None).iter().all(|seen| seen.reading.gpu.is_none()));
}

#[test]
fn scopes_share_one_watch_and_wait_for_groups_that_are_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    std::fs::create_dir_all(root.join("proc/self")).unwrap();
    std::fs::write(root.join("proc/self/mountinfo"), "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw").unwrap();
    let make = |path: &str| {
        std::fs::create_dir_all(root.join("cg").join(path)).unwrap();
        std::fs::write(root.join("cg").join(path).join("cpu.stat"), "usage_usec 1").unwrap();
    };
    make("a");
    let options = ScopeOptions { root: root.to_owned(), ..ScopeOptions::default() };
    let mut hosts = GroupHosts::default();
    let mut open = |path: &str| Cgroups::open(path, &options, &mut hosts).unwrap();
    let mut scopes = ["a", "b", "b/*", "c*"].map(&mut open);
    let descriptors: std::collections::HashSet<i32> =
        scopes.iter().map(|scope| std::os::fd::AsRawFd::as_raw_fd(&scope.urgency().unwrap())).collect();
    assert_eq!(descriptors.len(), 1);
    let seen = |scopes: &mut [Cgroups; 4], at: u64| {
        scopes.each_mut().map(|scope| scope.read(Duration::from_secs(at)).unwrap().len())
    };
    assert_eq!(seen(&mut scopes, 1), [1, 0, 0, 0]);
    assert!(scopes[1].is_absent() && scopes[1].absence().contains("there is no control group b"));
    make("b");
    make("c1");
    let urgent = scopes.each_mut().map(|scope| scope.is_urgent(Duration::from_secs(2)));
    assert_eq!(urgent, [false, true, true, true]);
    assert_eq!(seen(&mut scopes, 2), [1, 1, 0, 1]);
    make("b/x");
    assert_eq!(seen(&mut scopes, 3), [1, 1, 1, 1]);
    std::fs::remove_dir_all(root.join("cg/b")).unwrap();
    assert_eq!(seen(&mut scopes, 4), [1, 0, 0, 1]);
    make("b");
    make("b/y");
    assert_eq!(seen(&mut scopes, 5), [1, 1, 1, 1]);
}

/// A root with an empty hierarchy, and what makes a group in it that has used so many milliseconds.
fn hierarchy(root: &std::path::Path) -> impl Fn(&str, u64) {
    std::fs::create_dir_all(root.join("proc/self")).unwrap();
    std::fs::write(root.join("proc/self/mountinfo"), "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw").unwrap();
    let root = root.to_owned();
    move |path: &str, millis: u64| {
        std::fs::create_dir_all(root.join("cg").join(path)).unwrap();
        std::fs::write(root.join("cg").join(path).join("cpu.stat"), format!("usage_usec {millis}000")).unwrap();
    }
}

#[test]
fn nobody_takes_the_substitute_of_another_group() {
    let folder = tempfile::tempdir().unwrap();
    let set = hierarchy(folder.path());
    let template = Some("{host}/{name}".parse().unwrap());
    let options = ScopeOptions { root: folder.path().to_owned(), instance: template, ..ScopeOptions::default() };
    set("a/T/web", 0);
    let mut scope = open("a/*/*", &options).unwrap();
    let digest = scope.naming.digest("a/V/web");
    set(&format!("a/T/{}", digest.split_once('/').unwrap().1), 0);
    assert_eq!(scope.read(Duration::from_secs(1)).unwrap().len(), 2);
    set("a/V/web", 7_000);
    let seen = scope.read(Duration::from_secs(2)).unwrap();
    let of_digest: Vec<&Place> = seen.iter().filter(|it| it.instance == digest).map(|it| &it.place).collect();
    assert_eq!((seen.len(), of_digest), (3, vec![&Place::Group("a/V/web".into())]));
}

#[test]
fn cpu_time_of_groups_that_were_removed_unread_is_proven_by_the_group_above() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let set = hierarchy(root);
    let lost = |pattern: &str, user: Option<&str>| -> Vec<u128> {
        set("T", 1_000);
        set("T/h0", 10);
        set("T/stays", 100);
        let user = user.map(|text| text.parse().unwrap());
        let options = ScopeOptions { root: root.to_owned(), user, ..ScopeOptions::default() };
        let mut scope = open(pattern, &options).unwrap();
        let mut look = |second: u64| -> Vec<u128> {
            scope.read(Duration::from_secs(second)).unwrap();
            scope.take_lost_cpu().into_iter().map(|lost| lost.used.as_millis()).collect()
        };
        assert_eq!(look(1), [0; 0]);
        // It went on in a new group, and removed the one before.
        std::fs::remove_dir_all(root.join("cg/T/h0")).unwrap();
        set("T/h1", 5);
        set("T/stays", 400);
        set("T", 2_000);
        let seen = look(2);
        set("T", 3_000);
        assert_eq!(look(3), [0; 0], "no group went, so that it is the use of processes in the group above");
        std::fs::remove_dir_all(root.join("cg/T/h1")).unwrap();
        seen
    };
    assert_eq!(lost("T/*", None), [1_000 - 300 - 5]);
    assert_eq!(lost("T/*", Some("{parent}")), [695]);
    assert_eq!(lost("T/*", Some("{name}")), [0; 0], "it may be another user's");
    assert_eq!(lost("T/[hs]*", None), [0; 0], "there may be groups that are not of the scope");
    assert_eq!(lost("T/**", None), [0; 0], "the group above is metered with all that is below it");
}

#[test]
fn groups_beyond_a_number_are_billed_by_the_group_above() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let set = hierarchy(root);
    set("T", 0);
    let options = ScopeOptions { root: root.to_owned(), ..ScopeOptions::default() };
    let mut scope = open("T/*", &options).unwrap();
    scope.shared.memory = Rc::new(GroupMemory::of(0, 3 * bytes_of("T/g0")));
    let mut look = |second: u64| -> (usize, Vec<u128>) {
        let seen = scope.read(Duration::from_secs(second)).unwrap().len();
        (seen, scope.take_lost_cpu().into_iter().map(|lost| lost.used.as_millis()).collect())
    };
    assert_eq!(look(1), (0, vec![]));
    (0..5).for_each(|number| set(&format!("T/g{number}"), 10));
    assert_eq!(look(2), (3, vec![]));
    set("T", 1_000);
    (0..5).for_each(|number| set(&format!("T/g{number}"), 110));
    assert_eq!(look(3), (3, vec![1_000 - 300]));
    set("T", 2_000);
    (0..5).for_each(|number| std::fs::remove_dir_all(root.join(format!("cg/T/g{number}"))).unwrap());
    assert_eq!(look(4), (0, vec![1_000]));
}
