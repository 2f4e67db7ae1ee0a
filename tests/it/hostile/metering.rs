//! Tenants of a host that is metered: what each of them may make (groups, processes, namespaces, mounts, names) holds up
//! nobody's events and makes nothing free.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::Receiver;
use std::time::Duration;

use form_usage_events::clock::{Clock as _, SystemClock};
use form_usage_events::collect::{ScopeOptions, ScopeSpec};
use form_usage_events::events::UsageEvent;
use serde_json::Value;

use crate::control_group::ControlGroup;
use crate::scope_network::{Container, MEGABYTES, traffic};
use crate::support::{RunningProcess, SpawnGuarded as _, formusage, formusage_process, not_run, signal};

/// Burns CPU until it is ended.
const BURN: &str = "while :; do :; done";

/// What a collector of so many periods of a second wrote; it ends by itself, and in time.
fn collect(scopes: &[String], periods: &str, options: &[&str]) -> (Vec<UsageEvent>, String) {
    let mut command = formusage();
    command.args(["collect", "--no-state", "--interval", "1s", "--count", periods]).args(options);
    let output = command.args(scopes.iter().flat_map(|scope| ["--scope", scope])).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    (events(&output.stdout), said)
}

fn events(lines: &[u8]) -> Vec<UsageEvent> {
    let text = std::str::from_utf8(lines).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What each instance has used of the CPUs, as a sum of percentages, which no machine that is busy rounds to nothing.
fn cpu(events: &[UsageEvent]) -> BTreeMap<&str, f64> {
    let mut sums = BTreeMap::new();
    for event in events {
        *sums.entry(event.instance_id.as_str()).or_default() += event.metrics.cpu_percent_avg;
    }
    sums
}

/// Starts a script that says `ready` when it has done what it is to do; `None` where it can't.
fn until_ready(mut command: Command) -> Option<RunningProcess> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn_guarded();
    let line = BufReader::new(child.stdout.take().unwrap()).lines().next();
    if line.is_some_and(|line| line.is_ok_and(|line| line == "ready")) {
        return Some(child);
    }
    not_run("no user, mount or network namespace can be made as the test needs it");
    None
}

#[test]
fn files_in_a_tenants_root_are_never_opened() {
    let Some(group) = ControlGroup::new("root") else { return };
    let folder = tempfile::tempdir().unwrap();
    // A root of the tenant's own, whose /sys has a pipe that nobody writes to, and a link to what has no end.
    let script = format!(
        "exec unshare -U -r -m -n sh -ec 'cd {}
            for folder in usr bin lib lib64; do [ -d /$folder ] || continue; mkdir $folder; mount --rbind /$folder $folder; done
            ip link add d0 type veth peer name d1; mkdir -p sys/class/net/d0 sys/class/net/d1
            mkfifo sys/class/net/d0/uevent; ln -s /dev/zero sys/class/net/d1/uevent
            exec chroot . sh -c \"echo ready; read end\"'",
        folder.path().display()
    );
    let Some(mut tenant) = until_ready(group.command(&script)) else { return };
    let scope = format!("cgroup:{}", group.path());
    let (events, _) = collect(std::slice::from_ref(&scope), "2", &[]);
    assert_eq!(events.len(), 2);

    let mut command = formusage_process();
    command.args(["collect", "--no-state", "--interval", "1s", "--scope", &scope]);
    let mut meter = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn_guarded();
    let mut stdout = BufReader::new(meter.stdout.take().unwrap());
    assert!(stdout.read_line(&mut String::new()).unwrap() > 0);
    let status = std::fs::read_to_string(format!("/proc/{}/status", meter.id())).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB");
    assert!(most.parse::<u64>().unwrap() < 200 << 10, "{most} kB");
    signal(&meter, "TERM");
    assert_eq!(meter.wait().unwrap().code(), Some(0));
    tenant.kill().unwrap();
}

#[test]
fn groups_and_processes_whose_names_are_no_text_are_billed() {
    let Some(parent) = ControlGroup::new("bytes") else { return };
    // Three names that a careless reader takes for one, or for none.
    let names = [&b"a\xff"[..], b"a%FF", b"a\tb"];
    let groups = names.map(|name| parent.child_of_bytes(OsStr::from_bytes(name)));
    let burners = groups.each_ref().map(|group| group.run(BURN));
    let mut odd = Command::new("sh");
    odd.args(["-c", &format!("printf '\\377' >/proc/$$/comm; echo ready; {BURN}")]);
    let Some(mut process) = until_ready(odd) else { return };
    let scopes = [format!("cgroup:{}/*", parent.path()), format!("pid:{}", process.id())];
    let (events, _) = collect(&scopes, "6", &["--instance-id", "{name}"]);
    let sums = cpu(&events);
    assert_eq!(sums.keys().copied().collect::<Vec<_>>(), ["%FF", "a%09b", "a%25FF", "a%FF"]);
    assert!(sums.values().all(|used| *used > 0.0), "{sums:?}");
    process.kill().unwrap();
    drop(burners);
    drop(groups);
}

#[test]
fn a_mount_whose_name_is_no_text_hides_no_other_one() {
    let folder = tempfile::tempdir().unwrap();
    let script = r#"cd "$1" && odd=$(printf 'x\377') && mkdir "$odd" plain &&
        mount -t tmpfs none "$odd" && mount -t tmpfs none plain && head -c 40000000 /dev/zero >"$odd/file" &&
        head -c 20000000 /dev/zero >plain/file && exec "$0" collect --no-state --interval 1s --count 2 --mount "$1/*""#;
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_formusage")]).arg(folder.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unshare") {
        return not_run(said);
    }
    assert_eq!(output.status.code(), Some(0), "{said}");
    let events = events(&output.stdout);
    let megabytes = events[1].metrics.storage_gb * 1024.0;
    assert!((57.0..59.0).contains(&megabytes), "{megabytes} MB: {said}");
}

#[test]
fn groups_with_ids_that_can_not_be_used_are_billed_under_stable_ones() {
    let Some(parent) = ControlGroup::new("ids") else { return };
    let (one, other) = (parent.child("one"), parent.child("other"));
    let long = "x".repeat(255);
    let groups = [one.child("same"), other.child("same"), one.child(&long)];
    let burners = groups.each_ref().map(|group| group.run(BURN));
    let scope = [format!("cgroup:{}/*/*", parent.path())];
    let name = ["--instance-id", "prefix-of-all-ids-{name}"];
    let (events, said) = collect(&scope, "5", &name);
    let sums = cpu(&events);
    assert_eq!(sums.len(), 3, "{sums:?} {said}");
    assert!(sums.values().all(|used| *used > 0.0), "{sums:?}");
    for (id, _) in sums.iter().filter(|(id, _)| **id != "prefix-of-all-ids-same") {
        assert!(said.contains(*id) && id.len() < 128, "{id}: {said}");
    }
    assert!(said.contains("which the control group") && said.contains("one/same"), "{said}");
    let (again, _) = collect(&scope, "1", &name);
    assert_eq!(cpu(&again).into_keys().collect::<Vec<_>>(), sums.into_keys().collect::<Vec<_>>());
    drop(burners);
    // Two scopes that name the same: the first one has it, and nothing refuses a start.
    let scopes = [format!("cgroup:{}/one/*", parent.path()), format!("cgroup:{}/other/*", parent.path())];
    let (events, _) = collect(&scopes, "1", &name);
    assert_eq!(cpu(&events).len(), 3, "{events:?}");
    drop(groups);
}

#[test]
fn a_disguised_interface_behind_a_decoy_is_billed() {
    let Some(group) = ControlGroup::new("decoy") else { return };
    // It comes first in cgroup.procs, in a namespace where nothing ever passes.
    let Some(mut decoy) = until_ready(group.command("exec unshare -n sh -c 'echo ready; read end'")) else { return };
    let Some(mut container) = Container::start(&group) else { return };
    let spec: ScopeSpec = format!("cgroup:{}", group.path()).parse().unwrap();
    let mut scope = spec.open(&ScopeOptions::default()).unwrap();
    assert_eq!(traffic(scope.as_mut()), []);
    if let Err(why) = container.plug().and_then(|()| container.disguise()) {
        return not_run(format!("no virtual cable can be laid: {why}"));
    }
    container.send();
    traffic(scope.as_mut());
    let [(name, total)] = &traffic(scope.as_mut())[..] else {
        panic!("the cable alone: {:?}", traffic(scope.as_mut()))
    };
    let sent = MEGABYTES << 20;
    assert!(name.starts_with('/'), "by its number: {name}");
    assert!(total.sent >= sent && total.sent < sent + sent / 50, "{total:?}");
    decoy.kill().unwrap();
}

/// Nothing can be asked of a process whose first thread ended, and each thread may be in a network of its own.
#[test]
fn traffic_of_threads_is_billed_though_the_first_one_ended() {
    let Some(group) = ControlGroup::new("leader") else { return };
    let Some(mut container) = Container::start(&group) else { return };
    // The only process that stays in the container's namespace, by a thread that is not its first.
    let leaderless = "import ctypes, os, sys, threading, time
def stay():
    print(\"ready\", flush=True)
    sys.stdin.read()
threading.Thread(target=stay).start()
ctypes.CDLL(None).syscall(60 if os.uname().machine == \"x86_64\" else 93, 0)";
    let pid = container.child.id();
    let script = format!("exec nsenter -t {pid} -n python3 -c '{leaderless}'");
    let Some(mut threads) = until_ready(group.command(&script)) else { return };
    if let Err(why) = container.plug() {
        return not_run(format!("no virtual cable can be laid: {why}"));
    }
    // The sender is elsewhere, so that the thread alone leads to the namespace.
    let elsewhere = ControlGroup::new("elsewhere").unwrap();
    std::fs::write(elsewhere.folder().join("cgroup.procs"), pid.to_string()).unwrap();
    let spec: ScopeSpec = format!("cgroup:{}", group.path()).parse().unwrap();
    let mut scope = spec.open(&ScopeOptions::default()).unwrap();
    let before: u64 = traffic(scope.as_mut()).iter().map(|(_, total)| total.sent).sum();
    container.send();
    let after: u64 = traffic(scope.as_mut()).iter().map(|(_, total)| total.sent).sum();
    assert!(after - before >= MEGABYTES << 20, "{before} {after}");
    threads.kill().unwrap();
}

#[test]
fn what_passes_between_namespaces_of_one_tenant_is_billed_once() {
    let Some(group) = ControlGroup::new("nested") else { return };
    let Some(mut outer) = Container::start(&group) else { return };
    let spec: ScopeSpec = format!("cgroup:{}", group.path()).parse().unwrap();
    let mut scope = spec.open(&ScopeOptions::default()).unwrap();
    assert_eq!(traffic(scope.as_mut()), []);
    // A container in the container, with a cable of its own between the two.
    let pid = outer.child.id();
    let script = format!(
        "exec nsenter -t {pid} -n unshare -n sh -ec 'nsenter -t {pid} -n ip link add in0 type veth peer name in1 netns $$
            nsenter -t {pid} -n ip addr add 10.99.0.1/30 dev in0; nsenter -t {pid} -n ip link set in0 up
            ip addr add 10.99.0.2/30 dev in1; ip link set in1 up; echo ready; read end'"
    );
    let Some(mut inner) = until_ready(group.command(&script)) else { return };
    if let Err(why) = outer.plug() {
        return not_run(format!("no virtual cable can be laid: {why}"));
    }
    outer.send();
    traffic(scope.as_mut());
    let found = traffic(scope.as_mut());
    let [(name, _)] = &found[..] else { panic!("the cable to the host alone: {found:?}") };
    assert!(name.starts_with('/'), "by its number: {name}");
    inner.kill().unwrap();
}

#[test]
fn groups_that_come_and_go_hold_up_nobody_and_are_not_remembered() {
    const GROUPS: usize = 12_000;
    // Seconds that a machine may need that runs ten other tests beside; groups without end would make it as long as they come.
    const LATE: i64 = 10;
    let Some(parent) = ControlGroup::new("churn") else { return };
    let honest = parent.child("honest");
    let mut burner = honest.run(BURN);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let mut command = formusage_process();
    command.args(["collect", "--interval", "1s", "--instance-id", "{name}", "--state"]).arg(&state);
    command.args(["--scope", &format!("cgroup:{}/*", parent.path())]);
    let mut meter = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn_guarded();
    let mut lines = BufReader::new(meter.stdout.take().unwrap()).lines();
    let mut next_honest = || loop {
        let event: UsageEvent = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        if event.instance_id == "honest" {
            break event;
        }
    };
    let first = next_honest();
    let churn = std::thread::spawn({
        let parent = std::path::PathBuf::from(parent.folder());
        move || {
            for number in 0..GROUPS {
                let group = parent.join(format!("{number}-{}", "n".repeat(200)));
                std::fs::create_dir(&group).unwrap();
                std::fs::remove_dir(&group).unwrap();
            }
        }
    });
    let (mut end, mut periods) = (first.period.end, 0);
    while !churn.is_finished() || periods < 3 {
        let event = next_honest();
        // Written when it ended, and joined to the one before; a period may be longer where the machine is busy.
        assert_eq!(event.period.start, end);
        assert!(event.period.end - event.period.start <= LATE, "{event:?}");
        let now = SystemClock.wall().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        assert!(i64::try_from(now).unwrap() - event.period.end <= LATE, "{event:?} came at {now}");
        end = event.period.end;
        periods += 1;
    }
    churn.join().unwrap();
    next_honest();
    let status = std::fs::read_to_string(format!("/proc/{}/status", meter.id())).unwrap();
    let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap().trim().trim_end_matches(" kB");
    assert!(most.parse::<u64>().unwrap() < 120 << 10, "{most} kB");
    let bytes = std::fs::metadata(&state).unwrap().len();
    assert!(bytes < 8 << 20, "the state has {bytes} bytes");
    signal(&meter, "TERM");
    burner.kill().unwrap();
    lines.for_each(drop);
    assert_eq!(meter.wait().unwrap().code(), Some(0));
}

/// Waits for a sample: makes groups and removes them until one has its event, and for so long at least.
fn until_sampled(parent: &ControlGroup, events: &Receiver<Value>, kept: &mut Vec<Value>, at_least: Duration) {
    let began = SystemClock.monotonic();
    let mut seen = false;
    for number in 0.. {
        if seen && SystemClock.monotonic() > began + at_least {
            return;
        }
        let probe = parent.child(&format!("probe-{}-{number}", kept.len()));
        let mut wait = |longest| {
            while let Ok(event) = events.recv_timeout(longest) {
                seen |= event["instance_id"].as_str().is_some_and(|id| id.starts_with("probe"));
                kept.push(event);
            }
        };
        wait(Duration::from_millis(200));
        drop(probe);
        wait(Duration::from_millis(200));
        assert!(SystemClock.monotonic() < began + Duration::from_secs(120), "no sample is taken");
    }
}

#[test]
fn groups_that_come_and_go_are_billed_to_the_second_in_few_events() {
    const GROUPS: usize = 1_100;
    let Some(parent) = ControlGroup::new("short") else { return };
    let long = parent.child("long");
    let mut command = formusage_process();
    command.args(["collect", "--no-state", "--interval", "600s", "--no-align", "--sample-interval", "1s"]);
    command.args(["--instance-id", "{name}", "--scope", &format!("cgroup:{}/*", parent.path())]);
    let mut meter = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
    let lines = BufReader::new(meter.stdout.take().unwrap()).lines();
    let (sender, receiver) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in lines {
            let _ = sender.send(serde_json::from_str::<Value>(&line.unwrap()).unwrap());
        }
    });
    let mut events = Vec::new();
    until_sampled(&parent, &receiver, &mut events, Duration::ZERO);

    let groups: Vec<ControlGroup> = (0..GROUPS).map(|number| parent.child(&format!("g{number}"))).collect();
    let script = r#"for group in "$0"/g*; do
        sh -c 'echo $$ >"$0/cgroup.procs"; i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done' "$group"
    done"#;
    let mut tenant = Command::new("sh");
    assert!(tenant.args(["-c", script]).arg(parent.folder()).status().unwrap().success());
    // All that they used has been read.
    until_sampled(&parent, &receiver, &mut events, Duration::from_secs(3));
    let used: Duration = groups.iter().map(ControlGroup::used).sum();
    for group in &groups {
        group.remove().unwrap();
    }
    signal(&meter, "TERM");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut meter.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(meter.wait().unwrap().code(), Some(0), "{said}");
    reader.join().unwrap();
    events.extend(receiver.iter());

    let of = |prefix: &str| events.iter().filter(|it| it["instance_id"].as_str().unwrap().starts_with(prefix)).count();
    assert!(of("g") <= 1_000 && of("long") == 1, "{} of them, {}: {said}", of("g"), of("long"));
    let sums: Vec<&Value> =
        events.iter().filter(|it| it["instance_id"].as_str().unwrap().ends_with("short-lived")).collect();
    let [sum] = sums[..] else { panic!("one sum: {sums:?} {said}") };
    let count: usize = sum["labels"]["short_lived_instances"].as_str().unwrap().parse().unwrap();
    assert_eq!(count + of("g"), GROUPS, "{sum}");
    let billed: u64 = events.iter().map(|it| it["metrics"]["cpu_seconds"].as_u64().unwrap()).sum();
    assert_eq!(billed, used.as_secs(), "{used:?} {said}");
    drop((long, groups));
}

#[test]
fn a_file_system_that_hangs_leaves_out_itself_alone() {
    let folder = tempfile::tempdir().unwrap();
    // A file system whose program never answers, on a device that it names itself.
    let script = r#"cd "$1" && mkdir hangs plain && mount -t tmpfs none plain && head -c 20000000 /dev/zero >plain/file &&
        exec 9<>/dev/fuse && mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 /dev/sda1 hangs &&
        exec "$0" collect --no-state --interval 1s --count 2 --mount "$1/*""#;
    let mut command = Command::new("unshare");
    command.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_formusage")]).arg(folder.path());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unshare") || said.contains("fuse") {
        return not_run(said);
    }
    assert_eq!(output.status.code(), Some(0), "{said}");
    let events = events(&output.stdout);
    let megabytes = events[1].metrics.storage_gb * 1024.0;
    assert!((19.0..20.0).contains(&megabytes), "{megabytes} MB: {said}");
}

#[test]
fn a_file_of_the_machine_that_hangs_costs_its_own_figure_alone() {
    // A file of the whole machine that container managers replace is behind a program that never answers.
    let script = r#"exec 9<>/dev/fuse && mount -i -t fuse -o fd=9,rootmode=100644,user_id=0,group_id=0 x /proc/meminfo &&
        exec "$0" collect --no-state --interval 1s --count 2"#;
    let mut command = Command::new("unshare");
    let output = command.args(["-m", "sh", "-c", script, env!("CARGO_BIN_EXE_formusage")]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    if said.contains("unshare:") || said.contains("mount:") {
        return not_run(said);
    }
    assert_eq!(output.status.code(), Some(0), "{said}");
    for line in std::str::from_utf8(&output.stdout).unwrap().lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["not_metered"], serde_json::json!(["memory_gb", "memory_percent"]), "{line}");
        assert!(event["metrics"]["storage_gb"].as_f64().unwrap() > 0.0, "{line}");
    }
    assert_eq!(said.matches("its memory is NOT metered: /proc/meminfo").count(), 1, "{said}");
}

#[test]
fn a_sample_that_never_returns_does_not_keep_the_meter_from_ending() {
    let Some(group) = ControlGroup::new("hang") else { return };
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("notify");
    let notified = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    notified.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut command = Command::new("unshare");
    command.args(["-m", env!("CARGO_BIN_EXE_formusage"), "collect", "--no-state", "--interval", "1s", "--scope"]);
    command.arg(format!("cgroup:{}", group.path()));
    command.env("NOTIFY_SOCKET", &socket).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut meter = command.spawn_guarded();
    let mut message = [0; 64];
    let Ok(length) = notified.recv(&mut message) else { return not_run("no mount namespace can be made") };
    assert_eq!(&message[..length], b"READY=1");
    // The folder of the group gets behind a program that never answers; nobody but root can do that.
    let script = r#"exec 9<>/dev/fuse && mount -i -t fuse -o fd=9,rootmode=40000,user_id=0,group_id=0 x "$0" && echo ready &&
        read end"#;
    let mut mount = Command::new("nsenter");
    mount.args(["-t", &meter.id().to_string(), "-m", "sh", "-c", script]).arg(group.folder());
    let Some(_mount) = until_ready(mount) else { return };
    // Until its first sample waits for the program.
    let waits_for = || std::fs::read_to_string(format!("/proc/{}/wchan", meter.id())).unwrap();
    let began = SystemClock.monotonic();
    while !waits_for().contains("fuse") {
        if SystemClock.monotonic() > began + Duration::from_secs(30) {
            return not_run("this kernel does not say what a process waits for");
        }
        std::thread::yield_now();
    }
    signal(&meter, "TERM");
    let began = SystemClock.monotonic();
    let status = loop {
        if let Some(status) = meter.try_wait().unwrap() {
            break status;
        }
        assert!(SystemClock.monotonic() < began + Duration::from_secs(30), "it does not end");
        std::thread::yield_now();
    };
    let mut said = String::new();
    std::io::Read::read_to_string(&mut meter.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("a sample has not returned"), "{said}");
}
