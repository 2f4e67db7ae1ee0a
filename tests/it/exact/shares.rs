//! Two control groups that may use half a CPU and one and a half: billed what the kernel counted, to their ends.

use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::events::UsageEvent;

use super::collector::{Collector, Written, sum};
use crate::control_group::{ControlGroup, Limit};
use crate::support::RunningProcess;

const BURN: &str = "while :; do :; done";

fn stop(children: &mut [RunningProcess]) {
    for child in children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn half_a_cpu_and_one_and_a_half_are_billed_as_such_until_the_groups_are_gone() {
    let Some(parent) = ControlGroup::new("shares") else { return };
    let _stays = parent.child("fu_stays");
    let mut written = Written::default();
    let options = [
        "--no-state",
        "--interval",
        "1s",
        "--instance-id",
        "{name}",
        "--scope",
        &format!("cgroup:{}/*", parent.path()),
    ];
    let mut run = Collector::start(&[], &options);
    run.until(&mut written, |event| event.instance_id == "fu_stays");
    let (half, more) = (parent.child("fu_half"), parent.child("fu_more"));
    let limited = [half.limit(0.5), more.limit(1.5)];
    let mut of_half = [half.run(BURN), half.run(BURN)];
    let mut of_more = [more.run(BURN), more.run(BURN), more.run(BURN)];
    // Until both have run for some periods.
    let begin = run.until(&mut written, |event| event.instance_id == "fu_more").period.start;
    // The kernel's view of whole periods in the middle: what was used between two of their ends, and how long that was.
    let mut kernel = [(0.0, 0.0); 2];
    for (end, sign) in [(begin + 2, -1.0), (begin + 14, 1.0)] {
        run.until(&mut written, |event| event.instance_id == "fu_more" && event.period.end >= end);
        for (sums, group) in kernel.iter_mut().zip([&half, &more]) {
            sums.0 += sign * group.used().as_secs_f64();
            sums.1 += sign * SystemClock.monotonic().as_secs_f64();
        }
    }
    stop(&mut of_half);
    stop(&mut of_more);
    let used = [("fu_half", half.used().as_secs_f64()), ("fu_more", more.used().as_secs_f64())];
    half.remove().unwrap();
    more.remove().unwrap();
    let now = run.until(&mut written, |event| event.instance_id == "fu_stays").period.end;
    run.until(&mut written, |event| event.instance_id == "fu_stays" && event.period.start > now);
    run.end("TERM", &mut written);

    let host = f64::from(u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap());
    let limits = [0.5_f64, 1.5].into_iter().zip(limited);
    for (((name, used), (cpus, limited)), (middle, seconds)) in used.into_iter().zip(limits).zip(kernel) {
        let events = written.of(name);
        assert!(events.last().unwrap().period.end <= now + 1, "nothing comes of what is gone: {events:?}");
        // Whole seconds, each when it is complete. The very last microseconds of a process may come after the last look.
        let billed = sum(&events, host).cpu;
        assert!(billed == used as u64 || (used - billed as f64 - 1.0).abs() < 0.005, "{name}: {used} s, {billed} s");
        // A quota of this hierarchy is what the group may use; otherwise that is the host.
        let capacity = if limited == Limit::Here { cpus.min(host) } else { host };
        let whole: Vec<UsageEvent> = events
            .into_iter()
            .filter(|event| event.period.start >= begin + 2 && event.period.end <= begin + 14)
            .collect();
        let sum = sum(&whole, capacity);
        let (metered, kernel) = (sum.shares / sum.seconds as f64, middle / seconds);
        eprintln!(
            "{name}: {used:.3} s used, {billed} s billed; {metered:.4} CPUs metered, {kernel:.4} by the kernel ({limited:?})"
        );
        assert!((metered / kernel - 1.0).abs() < 0.02, "{name}: {metered} CPUs, {kernel} by the kernel");
        assert!(limited == Limit::None || metered < cpus * 1.05, "{name}: {metered} CPUs, more than its quota");
    }
}
