//! `/proc/stat` (proc(5)).

use std::io;
use std::time::Duration;

/// What `/proc/stat` says of the CPUs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cpu {
    /// Time used since boot, over all CPUs.
    pub(super) used: Duration,
    /// CPUs online.
    pub(super) count: f64,
}

/// Reads the line `cpu` and counts the lines `cpuN`; `ticks` of the file's unit make a second.
pub(super) fn cpu(text: &str, ticks: u64) -> io::Result<Cpu> {
    let mut lines = text.lines().take_while(|line| line.starts_with("cpu"));
    let total = lines
        .next()
        .and_then(|line| line.strip_prefix("cpu "))
        .ok_or_else(|| io::Error::other("there is no line \"cpu\""))?;
    let mut fields = total.split_ascii_whitespace().map(|field| field.parse::<u64>().unwrap_or(0));
    let mut next = || fields.next().unwrap_or(0);
    // user, nice, system | idle, iowait | irq, softirq | steal, guest, guest_nice. Guest time is in user and nice.
    let busy = next().saturating_add(next()).saturating_add(next());
    let _idle = (next(), next());
    let used = busy.saturating_add(next()).saturating_add(next());
    let ticks = ticks.max(1);
    let nanos = u128::from(used) * 1_000_000_000 / u128::from(ticks);
    let count = u32::try_from(lines.count()).unwrap_or(u32::MAX);
    Ok(Cpu { used: Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)), count: f64::from(count.max(1)) })
}

/// Reads `text` as the file.
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(super) fn fuzz_files(text: &str) {
    assert!(cpu(text, 100).is_ok_and(|cpu| cpu.count >= 1.0) || cpu(text, 100).is_err());
}
