//! Mixed load, three `kill -9`, and the books of host and container against the kernel's.
//!
//! It takes half a minute. `FORMUSAGE_TEST_MINUTES=10 cargo test --test it exact::soak -- --nocapture` is the long form.

use std::io::{Read, Write};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use predicates::str::contains;
use tempfile::TempDir;

use super::collector::{Collector, Written, sum};
use super::wires::{Wires, counters, ip, listen, megabytes, turn_on};
use crate::collect::cpu_seconds_used;
use crate::control_group::ControlGroup;
use crate::support::{SpawnGuarded as _, formusage, not_run};

/// Seconds of load.
fn length() -> i64 {
    let minutes = std::env::var("FORMUSAGE_TEST_MINUTES").ok().map(|text| text.parse::<f64>().unwrap());
    #[allow(clippy::cast_possible_truncation)]
    let seconds = (minutes.unwrap_or(0.4) * 60.0) as i64;
    seconds.max(16)
}

/// A container with a cable to this process.
fn wire(wires: &mut Wires) -> Result<String, String> {
    let container = wires.namespace('s')?;
    let here = format!("fu{}s", wires.id);
    wires.cable_from_here(&here, &container, "eth0")?;
    turn_on("", &here, Some(wires.address(0, 1)))?;
    turn_on(&format!("-n {container}"), "eth0", Some(wires.address(0, 2)))?;
    ip(&format!("-n {container} route add default via {}", wires.address(0, 1)))?;
    Ok(container)
}

#[test]
fn mixed_load_and_three_kills_lose_and_double_nothing() {
    let Some(group) = ControlGroup::new("soak") else { return };
    let mut wires = Wires::new();
    let container = match wire(&mut wires) {
        Ok(container) => container,
        Err(why) => return not_run(format!("no virtual cable can be laid: {why}")),
    };
    let folder = TempDir::new().unwrap();
    let (stop, file) = (folder.path().join("stop"), folder.path().join("file"));
    let listener = listen(wires.address(0, 1));
    let to = format!("{}/{}", wires.address(0, 1), listener.local_addr().unwrap().port());
    // Sends, receives, computes, writes a file, rests.
    let script = format!(
        "exec ip netns exec {container} bash -c 'read go
        while [ ! -e {stop} ]; do
            exec 3<>/dev/tcp/{to}; head -c 4000000 /dev/zero >&3; head -c 1000000 <&3 >/dev/null; exec 3>&-
            i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done
            head -c 3000000 /dev/zero >{file}; sync {file}; sleep 0.05
        done; echo done; read end'",
        stop = stop.display(),
        file = file.display(),
    );
    let mut child = group.command(&script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn_guarded();
    let served = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&served);
    // Ends with the process of the tests.
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = stream;
            let mut buffer = vec![0; 4_000_000];
            if stream.read_exact(&mut buffer).is_ok() && stream.write_all(&buffer[..1_000_000]).is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        }
    });

    let state = folder.path().join("s.json").display().to_string();
    let scope = format!("cgroup:{}", group.path());
    let options = [
        "--interval",
        "5s",
        "--sample-interval",
        "1s",
        "--state",
        &state,
        "--instance-id",
        "{name}",
        "--scope",
        "host",
        "--scope",
        &scope,
    ];
    let name = group.path().to_owned();
    let mut written = Written::default();
    let cpu_before = cpu_seconds_used();
    let mut run = Collector::start(&[], &options);
    let first = run.until(&mut written, |event| event.instance_id != name);
    let host = first.instance_id.clone();
    // The load begins after the first look, so that the kernel's difference is known.
    let (wire_before, group_before) = (counters(&container, "eth0"), group.used());
    let cpu_early = cpu_seconds_used();
    let (begin, length) = (first.period.end, length());
    child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    for kill in 1..=3 {
        let at = begin + length * kill / 4;
        run.until(&mut written, |event| event.period.end >= at);
        run.end("KILL", &mut written);
        run = Collector::start(&[], &options);
    }
    run.until(&mut written, |event| event.period.end >= begin + length);
    std::fs::write(&stop, "").unwrap();
    let mut said = [0; 4];
    child.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
    assert_eq!(&said, b"done");
    let (wire_after, group_after) = (counters(&container, "eth0"), group.used());
    let cpu_late = cpu_seconds_used();
    run.end("TERM", &mut written);
    let cpu_after = cpu_seconds_used();
    drop(child.stdin.take());
    child.wait().unwrap();

    let all = folder.path().join("events.ndjson");
    std::fs::write(&all, &written.text).unwrap();
    let mut validate = formusage();
    let validate = validate.args(["validate", "--continuity"]).arg(&all).assert().code(0);
    validate.stderr(contains(" 0 s of gaps, 0 s of overlaps"));

    let (of_host, of_group) = (written.of(&host), written.of(&name));
    let (host_sum, group_sum) = (sum(&of_host, 1.0), sum(&of_group, 1.0));
    let kernel = (group_after - group_before).as_secs_f64();
    let sent = megabytes(wire_after.0 - wire_before.0);
    let received = megabytes(wire_after.1 - wire_before.1);
    #[allow(clippy::cast_precision_loss)]
    let (host_cpu, group_cpu) = (host_sum.cpu as f64, group_sum.cpu as f64);
    #[allow(clippy::cast_precision_loss)]
    let first_cpu = first.metrics.cpu_seconds as f64;
    eprintln!(
        "{} s, {} events, {} rounds of load, 3 kills\n\
         host: {host_cpu} CPU s billed; the kernel counted {:.2} to {:.2}\n\
         container: {group_cpu} CPU s billed, {kernel:.3} by the kernel; \
         {:.4} MB sent, {sent:.4} by the kernel; {:.4} MB received, {received:.4} by the kernel",
        host_sum.seconds,
        of_host.len() + of_group.len(),
        served.load(Ordering::Relaxed),
        cpu_late - cpu_early + first_cpu,
        cpu_after - cpu_before,
        group_sum.sent_mb,
        group_sum.received_mb,
    );
    assert!(served.load(Ordering::Relaxed) > 3 && kernel > 0.5 && sent > 10.0, "there was load");
    // Between looks that are known to have been in this order; less than a second is carried over at either edge.
    assert!(host_cpu <= cpu_after - cpu_before + 0.05);
    assert!(host_cpu - first_cpu >= cpu_late - cpu_early - 1.05);
    assert!((group_cpu - kernel).abs() < 1.05);
    assert!((group_sum.sent_mb - sent).abs() < 1.0 && (group_sum.received_mb - received).abs() < 1.0);
    assert_eq!(group_sum.seconds, host_sum.seconds);
}
