//! A configuration with very many scopes, read again while tenants are metered.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use form_usage_events::clock::{Clock as _, SystemClock};
use form_usage_events::events::UsageEvent;

use crate::control_group::ControlGroup;
use crate::support::{SpawnGuarded as _, formusage_process, signal};

/// A scope of one group, and `count` patterns that no other round has, each of which finds another group.
fn configuration(parent: &ControlGroup, round: usize, count: usize) -> String {
    let path = parent.path();
    let mut text = format!("interval = \"1s\"\nuser_id = \"u\"\n[[scope]]\nscope = \"cgroup:{path}/honest\"\n");
    text.push_str("instance_id = \"honest\"\n");
    for number in 0..count {
        write!(text, "[[scope]]\nscope = \"cgroup:{path}/[m{round}_{number}]\"\n").unwrap();
    }
    text
}

/// Who is not there must not keep the others from being metered, at a start or at a reload.
#[test]
fn absent_scopes_keep_nobody_from_being_metered() {
    let Some(parent) = ControlGroup::new("absent") else { return };
    let honest = parent.child("honest");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("collect.toml");
    let mut text = configuration(&parent, 0, 0);
    for number in 0..2_000 {
        let path = parent.path();
        write!(text, "[[scope]]\nscope = \"cgroup:{path}/gone{number}\"\n").unwrap();
        write!(text, "[[scope]]\nscope = \"cgroup:{path}/later{number}-*\"\ninstance_id = \"{{name}}\"\n").unwrap();
    }
    std::fs::write(&file, &text).unwrap();
    let mut command = formusage_process();
    command.args(["collect", "--no-state", "--config"]).arg(&file);
    let mut meter = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
    let mut lines = BufReader::new(meter.stdout.take().unwrap()).lines();
    let mut instance = || serde_json::from_str::<UsageEvent>(&lines.next().unwrap().unwrap()).unwrap().instance_id;
    assert_eq!(instance(), "honest");
    let instances = std::fs::read_dir(format!("/proc/{}/fd", meter.id())).unwrap();
    let instances = instances.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
    assert!(
        instances.filter(|path| path.ends_with("anon_inode:inotify")).count() <= 2,
        "one, and a copy to wait for it"
    );
    let later = parent.child("later1999-a");
    while instance() != "later1999-a" {}
    signal(&meter, "TERM");
    let mut words = String::new();
    std::io::Read::read_to_string(&mut meter.stderr.take().unwrap(), &mut words).unwrap();
    assert!(meter.wait().unwrap().success(), "{words}");
    assert!(words.contains("there is no control group") && words.contains("further scopes"), "{words}");
    assert!(words.lines().count() < 50, "{words}");
    drop((honest, later));
}

#[test]
fn samples_go_on_while_thousands_of_scopes_are_opened() {
    // A reload that takes as long has seconds enough to see whether samples are taken in them.
    const LONG: Duration = Duration::from_secs(4);
    let Some(parent) = ControlGroup::new("large") else { return };
    let (honest, many) = (parent.child("honest"), parent.child("m"));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("collect.toml");
    std::fs::write(&file, configuration(&parent, 0, 0)).unwrap();
    let mut command = formusage_process();
    command.args(["collect", "--verbose", "--no-state", "--config"]).arg(&file);
    let mut meter = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn_guarded();
    let events = Arc::new(AtomicUsize::new(0));
    let lines = BufReader::new(meter.stdout.take().unwrap()).lines();
    let counted = Arc::clone(&events);
    let reader = std::thread::spawn(move || {
        let mut end = None;
        for line in lines {
            let event: UsageEvent = serde_json::from_str(&line.unwrap()).unwrap();
            if event.instance_id == "honest" {
                assert!(end.is_none_or(|end| event.period.start == end), "{event:?}");
                end = Some(event.period.end);
                counted.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let (sender, said) = mpsc::channel();
    let words = BufReader::new(meter.stderr.take().unwrap()).lines();
    let listener = std::thread::spawn(move || words.map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    while events.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }

    let (mut count, mut round) = (1_000, 1);
    loop {
        std::fs::write(&file, configuration(&parent, round, count)).unwrap();
        let (before, began) = (events.load(Ordering::SeqCst), SystemClock.monotonic());
        signal(&meter, "HUP");
        loop {
            let line = said.recv_timeout(Duration::from_secs(120)).unwrap();
            assert!(!line.contains("was not taken over"), "{line}");
            if line.contains("the configuration was read again") {
                break;
            }
        }
        let took = SystemClock.monotonic() - began;
        if took >= LONG {
            let during = events.load(Ordering::SeqCst) - before;
            assert!(during >= 2, "{during} events while {count} scopes were opened, which took {took:?}");
            break;
        }
        (count, round) = (2 * count, round + 1);
    }
    signal(&meter, "TERM");
    meter.wait().unwrap();
    reader.join().unwrap();
    listener.join().unwrap();
    drop((honest, many));
}
