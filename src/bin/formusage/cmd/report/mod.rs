//! `report`: events in, what they add up to out.

mod csv;
mod table;

use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use form_usage_events::clock::{Clock as _, SystemClock};
use form_usage_events::events::{UsageEvent, compact};
use form_usage_events::files;
use form_usage_events::report::{Added, Aggregator, InputId, Options, Report, Zone};
use form_usage_events::threshold::ThresholdSet;
use form_usage_events::transport::{self, Destination, Message, Polled};

use super::check;
use crate::cli::{By, FailOn, ReportArgs, ReportTo};
use crate::exit::Exit;
use crate::input::Input;
use crate::lines::Judge;
use crate::output::{Notation, Stdout, complain, say, stdout_is_terminal};
use crate::terminal::TerminalSafe;

/// So many repeats and conflicts are named as they are met.
const NAMED: u64 = 20;

/// So many implausible periods are named in the end.
const NAMED_PERIODS: usize = 20;

pub(crate) fn run(args: &ReportArgs) -> anyhow::Result<Exit> {
    let format = args.format.or_else(|| args.html.is_none().then(usual_format));
    let options = options(args, format)?;
    let zone = options.zone.clone();
    let mut reading =
        Reading { sums: Aggregator::new(options), judge: Judge::new(&args.lines), unreadable: 0, conflicts: 0 };
    match &args.from {
        Some(from) if args.files.is_empty() => reading.source(from, args)?,
        from => {
            if let Some(from) = from {
                say(&format!("files are named, so that {from} (--from) is not read"));
            }
            reading.inputs(&Input::or_stdin(&args.files))?;
        }
    }
    let Reading { sums, judge, unreadable, .. } = reading;
    let report = sums.finish();
    let mut notes = Vec::new();
    if judge.invalid > 0 {
        notes.push(format!("{} not in the sums", count(judge.invalid, "invalid line")));
    }
    if unreadable > 0 {
        notes.push(format!("{} not read to the end", count(unreadable, "input")));
    }
    let words = words(&report, &notes);
    let remarks = remarks(&report, args);
    if let Some(path) = &args.html {
        write_page(path, &report.html(&notes)?)?;
    }
    if let Some(format) = format {
        print(&report, format, &notes)?;
    }
    say(&words);
    remarks.iter().for_each(|remark| say(remark));
    if args.html.is_none() && format == Some(ReportTo::Table) {
        table::findings(&report, &zone);
    }
    Ok(verdict(&report, args, judge.invalid + unreadable))
}

fn usual_format() -> ReportTo {
    if stdout_is_terminal() { ReportTo::Table } else { ReportTo::Ndjson }
}

fn options(args: &ReportArgs, format: Option<ReportTo>) -> anyhow::Result<Options> {
    let zone = Zone::parse(&args.tz).context("--tz can't be used")?;
    let time = |text: &Option<String>, option: &str| {
        text.as_ref().map(|text| zone.parse_time(text).with_context(|| format!("{option} can't be used"))).transpose()
    };
    let (since, until) = (time(&args.since, "--since")?, time(&args.until, "--until")?);
    if let (Some(since), Some(until)) = (since, until)
        && since >= until
    {
        let next = args.until.as_deref().and_then(Zone::day_after);
        let advice = next.map(|day| format!("; for the whole of that day write --until {day}")).unwrap_or_default();
        bail!(
            "nothing lies between --since {} and --until {}, which is itself not in the report{advice}",
            zone.rfc3339(since),
            zone.rfc3339(until)
        );
    }
    let mut by = Vec::new();
    for dimension in args.by.iter().filter_map(|by| By::dimension(*by)) {
        if !by.contains(&dimension) {
            by.push(dimension);
        }
    }
    let thresholds = match &args.thresholds {
        Some(source) => check::load(source, crate::connect::of_source(&args.source)?)?,
        None if args.fail_on.contains(&FailOn::Thresholds) => bail!("--fail-on thresholds needs --thresholds"),
        None => ThresholdSet::default(),
    };
    let plots = args.html.is_some() || format == Some(ReportTo::Html);
    let now = Some(SystemClock.unix_seconds());
    Ok(Options { by, zone, since, until, expect_full: args.expect_full, now, thresholds, plots })
}

/// What is being read, so far.
struct Reading {
    sums: Aggregator,
    judge: Judge,
    /// Inputs that could not be read, or not to their end.
    unreadable: u64,
    conflicts: u64,
}

impl Reading {
    fn inputs(&mut self, inputs: &[Input]) -> anyhow::Result<()> {
        if inputs.contains(&Input::Stdin) && !std::io::stdin().is_terminal() {
            check::interrupt::outlive_the_first_signal(
                "stopped by a signal before the input ended; nothing is reported",
            )?;
        }
        for input in inputs {
            let name = input.to_string();
            let id = self.sums.input(name.clone());
            let Self { sums, judge, conflicts, .. } = self;
            let read = input.open_events("report").and_then(|opened| {
                judge.read(&name, opened, |event, text, line| add(sums, conflicts, event, text, (id, line)))
            });
            if let Err(error) = read {
                complain(&format!("{error:#}"));
                self.unreadable += 1;
            }
        }
        Ok(())
    }

    fn source(&mut self, from: &Destination, args: &ReportArgs) -> anyhow::Result<()> {
        let options = crate::connect::of_source(&args.source)?;
        let name = from.to_string();
        let id = self.sums.input(name.clone());
        crate::setup::block_on(async {
            let mut source = transport::open(from, &options)?;
            loop {
                match source.poll().await? {
                    Polled::Messages(messages) => {
                        self.messages(&name, id, &messages);
                        source.acknowledge(messages.len()).await?;
                    }
                    Polled::UpToDate => break,
                    Polled::Absent(words) => bail!("{words}"),
                }
            }
            if let Polled::Messages(messages) = source.rest().await? {
                self.messages(&name, id, &messages);
            }
            Ok(())
        })
    }

    fn messages(&mut self, name: &str, id: InputId, messages: &[Message]) {
        for message in messages {
            let line = message.position + 1;
            if let Some(event) = self.judge.event(name, &message.body, line) {
                add(&mut self.sums, &mut self.conflicts, &event, &message.body, (id, line));
            }
        }
    }
}

/// Adds an event; a conflict is named at once, with both places.
fn add(sums: &mut Aggregator, conflicts: &mut u64, event: &UsageEvent, text: &[u8], (id, line): (InputId, u64)) {
    let compacted = compact(text);
    let body = compacted.as_deref().unwrap_or(text);
    if let Added::Conflict { first, second } = sums.add(event, body, id, line) {
        *conflicts += 1;
        if *conflicts <= NAMED {
            let (instance, period) = (&event.instance_id, event.period);
            say(&format!(
                "{second}: conflict: {first} has another event of instance {instance:?} for the period {} to {}; both \
                 are in the sums",
                period.start, period.end
            ));
        } else if *conflicts == NAMED + 1 {
            say("further conflicts are counted and not shown; --format json lists them");
        }
    }
}

fn print(report: &Report, format: ReportTo, notes: &[String]) -> anyhow::Result<()> {
    let mut stdout = Stdout::new(match format {
        ReportTo::Table | ReportTo::Csv => Notation::Words,
        ReportTo::Json | ReportTo::Ndjson => Notation::Json,
        ReportTo::Html => Notation::Xml,
    });
    match format {
        ReportTo::Table => table::write(report, &mut stdout)?,
        ReportTo::Json => stdout.json_document(report)?,
        ReportTo::Ndjson => {
            for row in report.rows() {
                stdout.line(&serde_json::to_vec(&row)?)?;
            }
        }
        ReportTo::Csv => csv::write(report, &mut stdout)?,
        ReportTo::Html => stdout.text(&report.html(notes)?)?,
    }
    stdout.flush()
}

/// Writes the page beside its place first, so that nobody sees half of it.
fn write_page(path: &Path, page: &str) -> anyhow::Result<()> {
    let context = || format!("can't write {}", path.display());
    if path.exists() && !path.is_file() {
        // A pipe or a device is written to as it is.
        let opened = files::open_output(path, OpenOptions::new().write(true));
        let written = opened.and_then(|file| TerminalSafe::new(file, Notation::Xml).write_all(page.as_bytes()));
        return written.with_context(context);
    }
    let write = || {
        let path = files::resolve(path)?;
        let (mut file, beside) = files::create_beside(&path, false)?;
        let written = file.write_all(page.as_bytes()).and_then(|()| std::fs::rename(&beside, &path));
        if written.is_err() {
            let _ = std::fs::remove_file(&beside);
        }
        written
    };
    write().with_context(context)
}

fn verdict(report: &Report, args: &ReportArgs, unread: u64) -> Exit {
    let objection = args.fail_on.iter().any(|what| match what {
        FailOn::Gaps => report.gaps.count > 0,
        FailOn::Overlaps => report.overlaps.count > 0,
        FailOn::Conflicts => report.conflicts > 0,
        FailOn::Thresholds => report.thresholds.iter().any(|crossing| crossing.events > 0),
        FailOn::NotMetered => !report.total.not_metered.is_empty(),
        FailOn::None => false,
    });
    if unread > 0 {
        Exit::Error
    } else if objection {
        Exit::Objection
    } else {
        Exit::Success
    }
}

/// What was summed up, in a line.
fn words(report: &Report, notes: &[String]) -> String {
    let events = count(report.total.events, "event");
    let range = report.range.map(|range| {
        format!(", from {} until before {}", report.zone.rfc3339(range.start), report.zone.rfc3339(range.end))
    });
    let mut words = vec![format!("{events} of {}{}", count(report.instances, "instance"), range.unwrap_or_default())];
    if report.repeats > 0 {
        words.push(format!("{} left out", count(report.repeats, "repeat")));
    }
    if report.outside > 0 {
        words.push(format!("{} outside of the time left out", count(report.outside, "event")));
    }
    if report.conflicts > 0 {
        words.push(count(report.conflicts, "conflict"));
    }
    if report.overlaps.count > 0 {
        words.push(format!(
            "{} s metered more than once ({})",
            report.overlaps.seconds,
            count(report.overlaps.count, "overlap")
        ));
    }
    if report.gaps.count > 0 {
        words.push(format!("{} s not metered ({})", report.gaps.seconds, count(report.gaps.count, "gap")));
    }
    let over: u64 = report.thresholds.iter().map(|crossing| crossing.events).sum();
    if over > 0 {
        words.push(count(over, "threshold violation"));
    }
    words.extend(notes.iter().cloned());
    words.join("; ")
}

/// What somebody who bills by the report has to know, a line each.
fn remarks(report: &Report, args: &ReportArgs) -> Vec<String> {
    let zone = &report.zone;
    let mut remarks = Vec::new();
    if let Some(next) = args.until.as_deref().and_then(Zone::day_after) {
        let until = args.until.as_deref().unwrap_or_default().trim();
        remarks.push(format!(
            "--until {until} is the first second of that day, which is not in the report; --until {next} includes the day"
        ));
    }
    if !report.total.not_metered.is_empty() {
        let names: Vec<&str> = report.total.not_metered.names().collect();
        remarks.push(format!(
            "warning: some events name figures that could not be measured ({}): their sums are lower bounds",
            names.join(", ")
        ));
    }
    let periods = &report.implausible_periods;
    for period in periods.list.iter().take(NAMED_PERIODS) {
        let length = match period.end.abs_diff(period.start) {
            seconds @ ..86_400 => format!("{seconds} s"),
            seconds => format!("{} days", seconds / 86_400),
        };
        remarks.push(format!(
            "warning: instance {:?} has a period from {} to {} ({length}), which is in the sums; formusage validate --explain \
             implausible-period says what to do",
            period.instance_id,
            zone.rfc3339(period.start),
            zone.rfc3339(period.end)
        ));
    }
    let more = periods.count.saturating_sub(NAMED_PERIODS as u64);
    if more > 0 {
        remarks.push(format!("warning: {more} more periods are longer than 31 days or begin before the year 2000"));
    }
    if !report.expect_full {
        let ends = [(report.late_starts, "begin", "after its start"), (report.early_ends, "end", "before its end")];
        let ends: Vec<String> = ends
            .iter()
            .filter(|(number, ..)| *number > 0)
            .map(|(number, verb, when)| {
                format!("{} {verb}{} {when}", count(*number, "instance"), if *number == 1 { "s" } else { "" })
            })
            .collect();
        if !ends.is_empty() {
            remarks.push(format!(
                "of the time of the report, {}, which is no gap; use --expect-full to count it as one",
                ends.join(" and ")
            ));
        }
    }
    remarks
}

fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
