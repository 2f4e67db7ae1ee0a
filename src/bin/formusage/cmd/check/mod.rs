//! `check`: events in, violations out, and a verdict.

mod cases;
mod formats;
pub(crate) mod interrupt;
mod nagios;
mod not_evaluated;
mod report;
mod sieve;
mod states;
mod table;
mod telling;

use std::io::IsTerminal as _;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use form_usage_events::events::{Line, LinePart, LineReader, MetricSet, Sifted, UsagePeriod, sift};
use form_usage_events::threshold::{
    InstanceKey, MeasuredEvent, NoData, ThresholdAlert, ThresholdManager, ThresholdSet,
};
use form_usage_events::transport::ConnectOptions;

use self::not_evaluated::NotEvaluated;
use self::report::{Report, Totals};
use self::sieve::Unremarkable;
use self::states::{NAMED, States};
use self::telling::Telling;
use crate::cli::{CheckArgs, CheckFormat};
use crate::exit::Exit;
use crate::input::Input;
use crate::lines::EventReader;
use crate::output::{Notation, Stdout, StdoutClosed, complain, counted, printable, say};

/// So many invalid lines are named; the others are counted.
const NAMED_LINES: u64 = 100;

pub(crate) fn run(args: &CheckArgs) -> anyhow::Result<Exit> {
    if !args.test.is_empty() {
        return cases::run(args);
    }
    match check(args) {
        // A monitoring system reads standard output, and takes 2 for the worst news there is.
        Err(error) if args.format == Some(CheckFormat::Nagios) => {
            let mut stdout = Stdout::new(Notation::Words);
            stdout.text(&nagios::unknown(&error))?;
            stdout.flush()?;
            Ok(Exit::Status(3))
        }
        result => result,
    }
}

fn check(args: &CheckArgs) -> anyhow::Result<Exit> {
    let source = args.thresholds.as_deref().unwrap_or_default();
    let thresholds = Arc::new(load(source, crate::thresholds::access(&args.access)?)?);
    let telling = Telling::start(&args.channels, args.drain_timeout)?;
    telling.as_ref().map_or(Ok(()), |telling| telling.bind(&thresholds))?;
    if telling.is_some() && args.state.is_none() && thresholds.has_states() {
        say("without --state every run tells again what fires; --state FILE keeps what was told");
    }
    let (states, alerts) = States::open(args.state.as_deref(), &thresholds)?;
    let mut check = Check {
        report: Report::new(args.format, args.explain, args.tee, &thresholds)?,
        thresholds,
        states,
        telling,
        followed: None,
        read: Vec::new(),
        disordered: (Vec::new(), 0),
        tee: args.tee.then(|| Stdout::new(Notation::Json)),
        explain: args.explain,
        max_skew: args.lines.max_skew(),
        events: EventReader::new(&args.lines),
        max_line_bytes: args.lines.max_line_bytes,
        totals: Totals::default(),
        not_evaluated: NotEvaluated::default(),
    };
    let inputs = Input::or_stdin(&args.files);
    if inputs.contains(&Input::Stdin) && !std::io::stdin().is_terminal() {
        interrupt::outlive_the_first_signal(
            "stopped by a signal before the input ended; what came until then was checked",
        )?;
        let notifier = check.telling.as_ref().map(Telling::notifier);
        let followed = states::follow(source, crate::thresholds::access(&args.access)?, &check.thresholds, notifier)?;
        check.thresholds = followed.thresholds();
        check.followed = Some(followed);
    }
    let checked = check.alerts("", 0, &alerts).and_then(|()| check.all(&inputs)).and_then(|()| check.finish());
    let checked = match checked {
        // Whoever reads has what they wanted; the verdict is on what was checked until then.
        Err(error) if error.chain().any(|cause| cause.is::<StdoutClosed>()) => check.keep_what_was_told(),
        result => result,
    };
    let exit = check.report.exit(&check.totals);
    // Whatever else went wrong, alerts are delivered.
    if let Some(telling) = check.telling {
        telling.end(args.state.is_some());
    }
    checked.map(|()| exit)
}

/// The thresholds of `source`, or every reason why they can't be used.
pub(crate) fn load(source: &str, access: ConnectOptions) -> anyhow::Result<ThresholdSet> {
    if source == "-" {
        bail!("thresholds are read from a file or a folder, and standard input is for the events; name a file");
    }
    let loaded = crate::thresholds::load(source, access)?;
    ThresholdSet::new(loaded.configs).with_context(|| format!("{source} can't be used"))
}

struct Check {
    thresholds: Arc<ThresholdSet>,
    states: States,
    /// Where alerts go beside the report.
    telling: Option<Telling>,
    /// The thresholds as they change, where the input may take its time.
    followed: Option<Arc<ThresholdManager>>,
    report: Report,
    /// The inputs so far, and why one was not read to its end.
    read: Vec<(String, Option<String>)>,
    /// Every event is reported on.
    explain: bool,
    /// Where the events go on to.
    tee: Option<Stdout>,
    /// The inputs with events in the wrong order, by their place in `read`, and how many such events there were.
    disordered: (Vec<usize>, u64),
    max_skew: i64,
    events: EventReader,
    max_line_bytes: usize,
    totals: Totals,
    /// Thresholds on metrics that were not metered.
    not_evaluated: NotEvaluated,
}

impl Check {
    /// Checks every input that can be read; fails when nobody takes the output.
    fn all(&mut self, inputs: &[Input]) -> anyhow::Result<()> {
        for input in inputs {
            match input.open_events("check") {
                Ok(opened) => {
                    self.read.push((input.name(), None));
                    self.input(&input.name(), opened)?;
                }
                Err(error) => {
                    self.read.push((input.name(), None));
                    self.unreadable(&error)?;
                }
            }
        }
        self.flush()
    }

    /// Ends the report, and saves the states.
    fn finish(&mut self) -> anyhow::Result<()> {
        // What could not be read may hold the events that seem to be missing.
        if self.totals.unreadable == 0 {
            let silences = self.states.conclude(&self.thresholds);
            self.alerts("", 0, &silences)?;
            let quiet = self.states.quiet(&self.thresholds);
            if quiet > 0 {
                say(&format!(
                    "by the clock, nothing came lately of {} in this input; the next run with the same --state tells it as \
                     no_data, unless it hears of them",
                    counted(quiet, "instance", "instances")
                ));
            }
        }
        self.hand_over();
        self.warn_of_disorder();
        if self.totals.events + self.totals.invalid_lines + self.totals.unreadable == 0 {
            say("no event was read, so no threshold was evaluated; check that the input holds events");
        }
        self.totals.alerts =
            (self.thresholds.has_states() || self.totals.alerts.is_some()).then(|| self.states.totals());
        self.not_evaluated.warn();
        let firing = self.states.firing(&self.thresholds);
        self.report.finish(&self.totals, &firing, &self.not_evaluated, &self.read)?;
        // Behind the report: what was not reported is reported again.
        self.save()
    }

    /// Says which events in the wrong order keep the verdict from being sure.
    fn warn_of_disorder(&mut self) {
        let out_of_order = self.states.out_of_order();
        if out_of_order.is_empty() {
            return;
        }
        self.totals.out_of_order = out_of_order.iter().map(|it| it.events).sum();
        let named = out_of_order.iter().take(NAMED).map(|it| format!("{} ({})", printable(it.instance), it.events));
        let mut names = named.collect::<Vec<_>>().join(", ");
        if out_of_order.len() > NAMED {
            names += &format!(" and {} more", out_of_order.len() - NAMED);
        }
        let events = counted(self.totals.out_of_order, "event over a limit came", "events over a limit came");
        let of = counted(out_of_order.len() as u64, "instance", "instances");
        let elsewhere =
            if self.states.are_kept() { " and check them with the same --state FILE, before newer events" } else { "" };
        let words = format!(
            "{events} behind newer ones of {of}: {names}; thresholds with states (such as `for`) leave out what comes late, so \
             that it is not known whether one of them would have fired; sort the events by their periods, such as with: jq \
             -sc 'sort_by(.period.start)[]' events.ndjson{elsewhere}"
        );
        say(&words);
        for index in std::mem::take(&mut self.disordered.0) {
            if let Some((_, why)) = self.read.get_mut(index) {
                why.get_or_insert_with(|| words.clone());
            }
        }
    }

    /// Nobody takes the report any more. Where channels were told, the states say so.
    fn keep_what_was_told(&mut self) -> anyhow::Result<()> {
        if self.telling.is_none() {
            return Ok(());
        }
        self.hand_over();
        self.save()
    }

    /// Hands alerts to their channels; whether any was.
    fn hand_over(&mut self) -> bool {
        let Some(telling) = &mut self.telling else { return false };
        let any = telling.hand_over();
        (self.totals.untold, self.totals.dropped_alerts) = (telling.not_told(), telling.dropped());
        any
    }

    fn save(&mut self) -> anyhow::Result<()> {
        let untold = self.telling.as_ref().map_or_else(Vec::new, Telling::untold);
        self.states.save(&self.thresholds, untold)
    }

    /// Before a wait: hands on all that is ready, and saves what that led to.
    fn pause(&mut self) -> anyhow::Result<()> {
        self.flush()?;
        let told = self.hand_over();
        if told || self.states.is_save_due() { self.save() } else { Ok(()) }
    }

    fn input(&mut self, name: &str, opened: impl std::io::Read + Send) -> anyhow::Result<()> {
        let lines = LineReader::with_limit(opened, self.max_line_bytes);
        // Each event of each instance is of interest to a threshold that tells of silence.
        let watched = || self.thresholds.configs().any(|it| it.enabled && it.no_data == Some(NoData::Alert));
        if self.tee.is_some() || self.explain || watched() {
            return self.every_line(name, lines);
        }
        let (thresholds, keys) = (Arc::clone(&self.thresholds), self.states.keys());
        let peaks = self.report.peaks();
        let sieve = Unremarkable::new(thresholds, self.followed.clone(), keys, peaks, self.max_skew);
        let end = sift(lines, &sieve, &mut |found| match found {
            Sifted::Passed(count) => {
                self.totals.events += count;
                Ok(())
            }
            Sifted::Held(line) => self.line(name, &line),
            Sifted::Noted(line, note) => self.noted(name, &line, note, sieve.is_by(&self.thresholds)),
            Sifted::Idle => self.pause(),
        })?;
        end.error.map_or(Ok(()), |error| self.broken_off(name, end.lines, error))
    }

    /// A line that exceeds nothing, by thresholds that still hold or not. It may end what fires.
    fn noted(
        &mut self,
        name: &str,
        line: &Line<'_>,
        note: (InstanceKey, UsagePeriod),
        still_hold: bool,
    ) -> anyhow::Result<()> {
        let passed = still_hold.then(|| self.states.pass(&self.thresholds, note)).flatten();
        let Some(alerts) = passed else { return self.line(name, line) };
        self.totals.events += 1;
        if alerts.is_empty() { Ok(()) } else { self.alerts(name, line.number, &alerts) }
    }

    /// Each line in turn: the next command of a pipeline waits for them.
    fn every_line(&mut self, name: &str, mut lines: LineReader<impl std::io::Read>) -> anyhow::Result<()> {
        loop {
            if !lines.is_ready() {
                self.pause()?;
            }
            match lines.next_line() {
                Ok(Some(line)) => self.line(name, &line)?,
                Ok(None) => return Ok(()),
                Err(error) => return self.broken_off(name, lines.lines(), error),
            }
        }
    }

    fn broken_off(&mut self, name: &str, lines: u64, error: std::io::Error) -> anyhow::Result<()> {
        let place = format!("can't read {} beyond line {lines}", printable(name));
        self.unreadable(&anyhow::Error::new(error).context(place))
    }

    fn line(&mut self, name: &str, line: &Line<'_>) -> anyhow::Result<()> {
        match line.part {
            LinePart::Whole => self.pass_on(line.bytes, true)?,
            LinePart::Piece { index, last } => {
                self.pass_on(line.bytes, last)?;
                if index == 0 {
                    let limit = self.max_line_bytes;
                    let number = line.number;
                    let fault = format!("{number}:1: error[too-long]: the line is longer than {limit} bytes");
                    self.invalid(name, number, &[format!("{fault}; --max-line-bytes accepts longer ones")])?;
                }
                return Ok(());
            }
        }
        match self.events.read(name, line.bytes, line.number) {
            Ok(event) => {
                let not_metered = MetricSet::not_metered_in(line.bytes);
                self.event(name, line.number, MeasuredEvent::new(&event, not_metered))
            }
            Err(faults) => self.invalid(name, line.number, &faults),
        }
    }

    fn event(&mut self, name: &str, line: u64, event: MeasuredEvent<'_>) -> anyhow::Result<()> {
        self.take_over_changes(name, line)?;
        self.totals.events += 1;
        let alerts = self.states.observe(&self.thresholds, event, self.max_skew);
        if self.states.late_over_limit() > self.disordered.1 {
            self.disordered.1 = self.states.late_over_limit();
            let index = self.read.len().saturating_sub(1);
            if self.disordered.0.last() != Some(&index) {
                self.disordered.0.push(index);
            }
        }
        if let Some(peaks) = self.report.peaks() {
            peaks.observe(&event.user_id, &event.instance_id, &event.metrics, event.not_metered());
        }
        let not_evaluated = self.thresholds.not_evaluated(&event.user_id, &event.instance_id, event.not_metered());
        self.totals.not_metered += u64::from(!not_evaluated.is_empty());
        for (config, metric) in not_evaluated {
            self.not_evaluated.add(name, line, &config.id, metric);
        }
        let seen = self.report.event(&self.thresholds, &self.states, name, line, event)?;
        self.alerts(name, line, &alerts)?;
        if let Some(telling) = self.telling.as_mut().filter(|_| seen.plain > 0) {
            let plain = self.thresholds.violations(event).into_iter().filter(|it| !it.config.has_states());
            telling.queue(plain.map(ThresholdAlert::of_violation));
        }
        self.totals.violations += seen.plain as u64;
        self.totals.events_over += u64::from(seen.exceeded > 0);
        Ok(())
    }

    /// Reports changes of states, and tells of them.
    fn alerts(&mut self, name: &str, line: u64, alerts: &[ThresholdAlert]) -> anyhow::Result<()> {
        self.report.alerts(name, line, alerts)?;
        self.telling.iter_mut().for_each(|telling| telling.queue(alerts.iter().cloned()));
        Ok(())
    }

    /// Goes on with the thresholds as they are now.
    fn take_over_changes(&mut self, name: &str, line: u64) -> anyhow::Result<()> {
        let Some(followed) = &self.followed else { return Ok(()) };
        let newest = followed.thresholds();
        if Arc::ptr_eq(&newest, &self.thresholds) {
            return Ok(());
        }
        let alerts = self.states.reload(&self.thresholds, &newest);
        self.thresholds = newest;
        if self.thresholds.has_states() {
            self.report.show_states();
            self.totals.alerts = Some(self.states.totals());
        }
        self.alerts(name, line, &alerts)
    }

    fn pass_on(&mut self, bytes: &[u8], ends: bool) -> anyhow::Result<()> {
        match &mut self.tee {
            Some(stdout) if ends => stdout.line(bytes),
            Some(stdout) => stdout.bytes(bytes),
            None => Ok(()),
        }
    }

    fn invalid(&mut self, name: &str, line: u64, faults: &[String]) -> anyhow::Result<()> {
        self.totals.invalid_lines += 1;
        if self.totals.invalid_lines <= NAMED_LINES {
            // What stands before it in the input is reported before it.
            self.report.invalid(name, line, faults)?;
            self.report.flush()?;
            faults.iter().for_each(|fault| say(&format!("{}:{fault}", printable(name))));
        } else if self.totals.invalid_lines == NAMED_LINES + 1 {
            say("further invalid lines are counted and not shown; formusage validate shows all of them");
        }
        Ok(())
    }

    /// Says why an input was not read to its end. The others still are.
    fn unreadable(&mut self, error: &anyhow::Error) -> anyhow::Result<()> {
        self.totals.unreadable += 1;
        if let Some((_, why)) = self.read.last_mut() {
            *why = Some(format!("{error:#}"));
        }
        self.flush()?;
        complain(&format!("{error:#}"));
        Ok(())
    }

    /// Hands on all that is ready, before a wait.
    fn flush(&mut self) -> anyhow::Result<()> {
        if let Some(stdout) = &mut self.tee {
            stdout.flush()?;
        }
        self.report.flush()
    }
}
