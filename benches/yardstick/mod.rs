//! The program next to what else reads such a file, in one run: throughputs, ratios, and the largest resident set.
//!
//! Times are the shortest of a few passes in turns, so that a slow moment of the machine meets all. A child's resident set
//! is what the kernel says of it while it runs (`VmHWM`): a parent's pages do not count.

use std::fs;
use std::hint::black_box;
use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::events::UsageEvent;

/// How many events the file has, unless BENCH_EVENTS says otherwise; a million are 381 MB.
const EVENTS: usize = 200_000;
const PASSES: usize = 5;

const EVENT: &str = include_str!("../../tests/fixtures/event.json");

/// A file of events of 1,000 instances with contiguous periods, in `folder`; every `faulty`th line has a fault.
pub(crate) fn events(folder: &Path, faulty: Option<usize>) -> std::path::PathBuf {
    let count = std::env::var("BENCH_EVENTS").ok().and_then(|text| text.parse().ok()).unwrap_or(EVENTS);
    let path = folder.join(format!("events-{}.ndjson", faulty.unwrap_or(0)));
    let mut file = std::io::BufWriter::new(fs::File::create(&path).unwrap());
    for n in 0..count {
        let (instance, start) = (n % 1_000, 1_626_350_400 + 30 * (n / 1_000));
        let event = EVENT.trim_end().replace("instance-abc123", &format!("instance-{instance:08}"));
        let event = event.replace("1626350430", &(start + 30).to_string()).replace("1626350400", &start.to_string());
        let event = event.replace("12.5", &format!("{}.5", (n * 7 + instance) % 75));
        let faulty = faulty.is_some_and(|nth| n % nth == nth / 2);
        let event = if faulty { event.replace("52.5", "5250") } else { event };
        writeln!(file, "{event}").unwrap();
    }
    file.into_inner().unwrap().sync_all().unwrap();
    path
}

/// One way to read the file.
pub(crate) struct Way {
    name: String,
    run: Box<dyn Fn() -> Option<(Duration, u64)>>,
    /// Of how many bytes.
    bytes: u64,
}

/// The program with these arguments, whose output is thrown away.
pub(crate) fn formusage(name: &str, file: &Path, arguments: &[&str]) -> Way {
    let arguments: Vec<String> = arguments.iter().map(ToString::to_string).collect();
    let run = move || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_formusage"));
        command.args(&arguments).stdout(Stdio::null()).stderr(Stdio::null());
        Some(timed(&mut command, &[0, 1]).unwrap())
    };
    Way { name: name.to_owned(), run: Box::new(run), bytes: fs::metadata(file).unwrap().len() }
}

/// Reading with serde_json into the typed event, on one core.
pub(crate) fn typed(file: &Path) -> Way {
    let own = file.to_owned();
    let run = move || {
        let began = SystemClock.monotonic();
        let mut reader = std::io::BufReader::with_capacity(1 << 20, fs::File::open(&own).unwrap());
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).unwrap() > 0 {
            let _ = black_box(serde_json::from_slice::<UsageEvent>(&line));
            line.clear();
        }
        Some((SystemClock.monotonic() - began, 0))
    };
    Way { name: "typed serde_json, one core".into(), run: Box::new(run), bytes: fs::metadata(file).unwrap().len() }
}

/// What other tools make of it, where they are installed: `wc`, `jq` with the filter of one threshold (on a tenth of the
/// file), DuckDB with the three columns that one takes (`DUCKDB_PYTHON` is a Python that has it).
pub(crate) fn others(file: &Path) -> Vec<Way> {
    let bytes = fs::metadata(file).unwrap().len();
    let tenth = file.with_extension("tenth");
    let text = fs::read(file).unwrap();
    let cut = text.get(..text.len() / 10).and_then(|part| part.iter().rposition(|byte| *byte == b'\n')).unwrap_or(0);
    fs::write(&tenth, &text[..=cut]).unwrap();
    let python = std::env::var("DUCKDB_PYTHON").unwrap_or_else(|_| "python3".into());
    let query = format!(
        "import duckdb; print(duckdb.sql(\"select count(*) from read_json('{}', format='newline_delimited', columns={{instance_id: \
         'VARCHAR', user_id: 'VARCHAR', metrics: 'STRUCT(cpu_percent_avg DOUBLE)'}}) where metrics.cpu_percent_avg > 80\").fetchall())",
        file.display()
    );
    let way = |name: &str, program: String, arguments: Vec<String>, bytes: u64| {
        let run =
            move || timed(Command::new(&program).args(&arguments).stdout(Stdio::null()).stderr(Stdio::null()), &[0]);
        Way { name: name.to_owned(), run: Box::new(run), bytes }
    };
    let text = |path: &Path| path.display().to_string();
    vec![
        way("wc -l", "wc".into(), vec!["-l".into(), text(file)], bytes),
        way(
            "jq, one threshold",
            "jq".into(),
            vec!["-c".into(), "select(.metrics.cpu_percent_avg > 80)".into(), text(&tenth)],
            cut as u64,
        ),
        way("duckdb, three columns", python, vec!["-c".into(), query], bytes),
    ]
}

/// Measures all ways and prints them, as ratios to the one of this name.
#[allow(clippy::cast_precision_loss)] // figures for people
pub(crate) fn compare(title: &str, ways: &[Way], to: &str) {
    let mut best: Vec<Option<(Duration, u64)>> = vec![None; ways.len()];
    for pass in 0..PASSES {
        for (best, way) in best.iter_mut().zip(ways) {
            // What is slow is not asked again and again.
            if pass > 1 && best.is_some_and(|(time, _)| time > Duration::from_secs(5)) {
                continue;
            }
            if let Some((time, memory)) = (way.run)() {
                let (shortest, largest) = best.unwrap_or((Duration::MAX, 0));
                *best = Some((shortest.min(time), largest.max(memory)));
            }
        }
    }
    let rate = |way: &Way, (time, _): (Duration, u64)| way.bytes as f64 / time.as_secs_f64() / 1e9;
    let base = ways.iter().zip(&best).find(|(way, _)| way.name == to).and_then(|(way, best)| Some(rate(way, (*best)?)));
    println!("\n{title}, {} MB\n{:<58} {:>8} {:>8} {:>10}", ways[0].bytes / 1_000_000, "", "GB/s", "ratio", "resident");
    for (way, best) in ways.iter().zip(&best) {
        let Some(best) = best else {
            println!("{:<58} not installed", way.name);
            continue;
        };
        let rate = rate(way, *best);
        let memory = if best.1 == 0 { "-".into() } else { format!("{:.1} MB", best.1 as f64 / 1e3) };
        println!("{:<58} {rate:>8.3} {:>7.2}× {memory:>10}", way.name, base.map_or(f64::NAN, |base| rate / base));
    }
}

/// Measures ways that are told in seconds.
#[allow(dead_code, clippy::cast_precision_loss)] // one of two benchmarks has such; figures for people
pub(crate) fn seconds(ways: &[Way]) {
    for way in ways {
        let runs: Vec<_> = (0..PASSES).filter_map(|_| (way.run)()).collect();
        let time = runs.iter().map(|(time, _)| *time).min().unwrap_or_default();
        let memory = runs.iter().map(|(_, memory)| *memory).max().unwrap_or_default();
        println!("{:<58} {:>8.3} s {:>17.1} MB", way.name, time.as_secs_f64(), memory as f64 / 1e3);
    }
}

/// How long a child runs and what it takes, in kB; `None` where there is no such program, or it fails.
fn timed(command: &mut Command, codes: &[i32]) -> Option<(Duration, u64)> {
    let began = SystemClock.monotonic();
    let mut child = command.spawn().ok()?;
    let mut memory = 0;
    loop {
        memory = memory.max(peak(&child));
        if let Some(status) = child.try_wait().unwrap() {
            let time = SystemClock.monotonic() - began;
            return status.code().is_some_and(|code| codes.contains(&code)).then_some((time, memory));
        }
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// The largest resident set so far, in kB; 0 where it is not known.
fn peak(child: &Child) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}
