//! `validate`: every fault of the files, and a verdict.

use std::io;
use std::path::Path;

use anyhow::{Context as _, bail};
use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::validate::continuity::{Continuity, ContinuityTotals};
use form_usage_events::validate::explain::Explanation;
use form_usage_events::validate::{
    Bindings, Code, ContentOptions, ContentValidator, EventRules, Kind, Level, Levels, Severity, Tally,
};

use crate::cli::{FindingFormat, Topic, ValidateArgs};
use crate::exit::Exit;
use crate::findings::{FileRow, FindingWriter};
use crate::input::{FoundInputs, Input, SkippedFile};
use crate::output::{Notation, Stdout, complain, printable, say};

/// So many files have a line each in the summary; of more, only those with findings, and no more than this.
const LISTED_FILES: usize = 10;

pub(crate) fn run(args: &ValidateArgs) -> anyhow::Result<Exit> {
    if let Some(topic) = args.explain {
        return explain(topic, args.format);
    }
    let max_skew = args.lines.max_skew();
    let mut validator = ContentValidator::new(ContentOptions {
        rules: EventRules { now: SystemClock.unix_seconds(), max_skew },
        strict: args.strict,
        max_line_bytes: args.lines.max_line_bytes,
        max_findings: if args.max_findings == 0 { u64::MAX } else { args.max_findings },
    })
    .with_levels(levels(args))
    .with_period(i64::try_from(args.period.as_secs()).unwrap_or(0));
    if let Some(path) = &args.channels {
        validator = validator.with_bindings(bindings(path)?);
    }
    if args.continuity {
        validator = validator.with_continuity(Continuity::new(args.reorder_window));
    }
    let mut writer = FindingWriter::new(args.format)?;
    let mut summary = Summary::default();
    let FoundInputs { inputs, skipped } = Input::with_folders(&args.files);
    for input in inputs {
        let input = match input {
            Ok(input) => input,
            Err((folder, error)) => {
                summary.fail(folder, &error, false);
                continue;
            }
        };
        let name = input.name();
        let opened = match input.open() {
            Ok(opened) => opened,
            Err(error) => {
                summary.fail(name, &error, false);
                continue;
            }
        };
        match validator.validate(&name, opened, &mut |located| writer.write(located).map_err(Failure::Write)) {
            Ok(tally) => summary.add(name, tally),
            Err(Failure::Write(error)) => return Err(error),
            Err(Failure::Read(error)) => {
                let error = anyhow::Error::new(error).context(format!("can't read {input} to its end"));
                summary.fail(name, &error, true);
            }
        }
    }
    for (index, more) in validator.finish(&mut |located| writer.write(located))? {
        summary.add_later(index, &more);
    }
    let left_out = summary.findings().saturating_sub(writer.written());
    let strictly_skipped = if args.strict { &*skipped } else { &[] };
    let skipped_rows = strictly_skipped.iter().map(SkippedFile::row);
    writer.finish(&summary.rows.iter().cloned().chain(skipped_rows).collect::<Vec<_>>(), left_out)?;
    summary.say(left_out, args.max_findings);
    if let Some(totals) = validator.continuity_totals() {
        say(&continuity_line(totals));
    }
    let exit = summary.exit();
    if skipped.is_empty() {
        return Ok(exit);
    }
    let words = skipped_line(&skipped);
    if !args.strict {
        say(&words);
        return Ok(exit);
    }
    complain(&words);
    Ok(if exit == Exit::Success { Exit::Objection } else { exit })
}

/// Which files of folders were passed over, though they may have been meant.
fn skipped_line(skipped: &[SkippedFile]) -> String {
    let names: Vec<String> = skipped.iter().take(LISTED_FILES).map(ToString::to_string).collect();
    let more = match skipped.len().saturating_sub(LISTED_FILES) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "{} of folders not validated: {}{more}; folders are searched for *.json, *.jsonl and *.ndjson (YAML is converted \
         with: yq -o json FILE)",
        count(skipped.len() as u64, "file"),
        names.join(", ")
    )
}

/// The severities that are set otherwise.
fn levels(args: &ValidateArgs) -> Levels {
    let of = |codes: &[Code], level: Level| codes.iter().map(move |code| (*code, level)).collect::<Vec<_>>();
    let all = [
        of(&args.warn, Level::At(Severity::Warning)),
        of(&args.error, Level::At(Severity::Error)),
        of(&args.ignore, Level::Ignore),
    ];
    all.into_iter().flatten().fold(Levels::default(), |levels, (code, level)| levels.with(code, level))
}

fn bindings(path: &Path) -> anyhow::Result<Bindings> {
    let text = crate::channels::text_of(path)?;
    Bindings::parse(&text).with_context(|| format!("{} is no channels file", path.display()))
}

/// What codes mean.
fn explain(topic: Topic, format: Option<FindingFormat>) -> anyhow::Result<Exit> {
    let is_json = matches!(format, Some(FindingFormat::Json | FindingFormat::Ndjson));
    let mut stdout = Stdout::new(if is_json { Notation::Json } else { Notation::Words });
    let all: Vec<Explanation> = match topic {
        Topic::All => Explanation::all().collect(),
        Topic::One(code) => Explanation::of(code).into_iter().collect(),
    };
    match format {
        Some(FindingFormat::Json) => stdout.line(&serde_json::to_vec(&all)?)?,
        Some(FindingFormat::Ndjson) => {
            all.iter().try_for_each(|explanation| stdout.line(&serde_json::to_vec(explanation)?))?;
        }
        None | Some(FindingFormat::Table) if topic == Topic::All => {
            for Explanation { code, severity, what, .. } in &all {
                stdout.text(&format!("{:<22} {severity:<8} {what}\n", code.as_str()))?;
            }
        }
        None | Some(FindingFormat::Table) => {
            for explanation in &all {
                let Explanation { code, severity, what, why, fix, gives, just_not } = explanation;
                stdout.text(&format!(
                    "{severity}[{code}]\n\n{what}\n\nWhy it matters:  {why}\nWhat to do:      {fix}\n\nGives it:        {}\nJust does \
                     not:   {}\n",
                    gives.shown(),
                    just_not.shown()
                ))?;
            }
        }
        Some(FindingFormat::Github | FindingFormat::Sarif | FindingFormat::Junit) => {
            bail!("--explain is written as table, json or ndjson");
        }
    }
    stdout.flush()?;
    Ok(Exit::Success)
}

/// Why a file was not validated to its end.
enum Failure {
    /// It can't be read; the others still can.
    Read(io::Error),
    /// Nobody takes the findings.
    Write(anyhow::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// What is said in the end.
#[derive(Default)]
struct Summary {
    rows: Vec<FileRow>,
    total: Tally,
}

impl Summary {
    fn add(&mut self, name: String, tally: Tally) {
        self.total.events += tally.events;
        self.total.thresholds += tally.thresholds;
        self.total.channels += tally.channels;
        self.total.cases += tally.cases;
        self.add_findings(&tally);
        self.rows.push(FileRow::read(name, tally));
    }

    /// Says why a file was not validated, or not to its end (`opened`).
    fn fail(&mut self, name: String, error: &anyhow::Error, opened: bool) {
        let message = format!("{error:#}");
        complain(&message);
        self.rows.push(FileRow::failed(name, message, opened));
    }

    /// Takes what was found about a file when later ones had been read. A file that could not be opened was never
    /// numbered.
    fn add_later(&mut self, index: usize, more: &Tally) {
        self.add_findings(more);
        if let Some(row) = self.rows.iter_mut().filter(|row| row.was_opened()).nth(index) {
            row.tally.errors += more.errors;
            row.tally.warnings += more.warnings;
        }
    }

    fn add_findings(&mut self, tally: &Tally) {
        self.total.errors += tally.errors;
        self.total.warnings += tally.warnings;
    }

    /// A line for each file that is worth one.
    fn lines(&self) -> impl Iterator<Item = String> {
        let worth =
            |(index, row): &(usize, &FileRow)| row.failure.is_none() && (row.has_findings() || *index < LISTED_FILES);
        self.rows.iter().enumerate().filter(worth).take(LISTED_FILES).map(|(_, row)| {
            let held = if row.tally.kind.is_some() { contents(&row.tally) } else { "nothing recognized".to_owned() };
            format!("{}: {held}: {}", printable(&row.file), verdict(&row.tally))
        })
    }

    const fn findings(&self) -> u64 {
        self.total.errors + self.total.warnings
    }

    fn say(&self, left_out: u64, max_findings: u64) {
        self.lines().for_each(|line| say(&line));
        if self.rows.len() > 1 {
            let with_findings = self.rows.iter().filter(|row| row.has_findings()).count();
            let of = format!("{with_findings} of {} files", self.rows.len());
            let failed = match self.failed() {
                0 => String::new(),
                failed => format!("; {} not validated", count(failed as u64, "file")),
            };
            let found = if self.findings() == 0 {
                "no findings".to_owned()
            } else {
                format!("{} in {of}", verdict(&self.total))
            };
            let held = contents(&self.total);
            say(&format!("{held} in {} files: {found}{failed}", self.rows.len()));
        }
        if left_out > 0 {
            say(&match max_findings {
                0 => format!("{left_out} more findings of lines or items with thousands of them are not shown"),
                _ => format!("{left_out} more findings are not shown; --max-findings 0 shows all of them"),
            });
        }
    }

    fn failed(&self) -> usize {
        self.rows.iter().filter(|row| row.failure.is_some()).count()
    }

    fn exit(&self) -> Exit {
        if self.failed() > 0 {
            Exit::Error
        } else if self.total.errors > 0 {
            Exit::Objection
        } else {
            Exit::Success
        }
    }
}

/// What the stream of events comes to.
fn continuity_line(totals: &ContinuityTotals) -> String {
    let mut line = format!(
        "continuity: {}, {} s covered, {} s of gaps, {} s of overlaps",
        count(totals.instances, "instance"),
        totals.covered_seconds,
        totals.gap_seconds,
        totals.overlap_seconds
    );
    let counts = [
        (totals.gaps, "gap"),
        (totals.overlaps - totals.conflicts, "overlap"),
        (totals.conflicts, "conflict"),
        (totals.repeats, "repeat"),
    ];
    let mut counts: Vec<_> =
        counts.into_iter().filter(|(number, _)| *number > 0).map(|(number, noun)| count(number, noun)).collect();
    if totals.out_of_order > 0 {
        counts.push(format!("{} out of order", totals.out_of_order));
    }
    if !counts.is_empty() {
        line += &format!(" ({})", counts.join(", "));
    }
    line
}

fn contents(tally: &Tally) -> String {
    let all =
        [(tally.events, "event"), (tally.thresholds, "threshold"), (tally.channels, "channel"), (tally.cases, "case")];
    let some: Vec<_> =
        all.iter().filter(|(number, _)| *number > 0).map(|(number, noun)| count(*number, noun)).collect();
    let nothing = match tally.kind {
        Some(Kind::Thresholds) => "threshold",
        Some(Kind::Channels) => "channel",
        Some(Kind::Cases) => "case",
        Some(Kind::Events) | None => "event",
    };
    if some.is_empty() { count(0, nothing) } else { some.join(" and ") }
}

fn verdict(tally: &Tally) -> String {
    match (tally.errors, tally.warnings) {
        (0, 0) => "valid".to_owned(),
        (0, warnings) => format!("valid, {}", count(warnings, "warning")),
        (errors, 0) => count(errors, "error"),
        (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    }
}

fn count(number: u64, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}
