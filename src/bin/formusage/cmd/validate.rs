//! `validate`: every fault of the files, and a verdict.

use std::io;

use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::validate::{ContentOptions, ContentValidator, EventRules, Kind, Tally};

use crate::cli::ValidateArgs;
use crate::exit::Exit;
use crate::findings::{FileRow, FindingWriter};
use crate::input::Input;
use crate::output::{complain, say};

/// So many files have a line each in the summary; of more, only those with findings, and no more than this.
const LISTED_FILES: usize = 10;

pub(crate) fn run(args: &ValidateArgs) -> anyhow::Result<Exit> {
    let max_skew = args.lines.max_skew();
    let mut validator = ContentValidator::new(ContentOptions {
        rules: EventRules { now: SystemClock.unix_seconds(), max_skew },
        strict: args.strict,
        max_line_bytes: args.lines.max_line_bytes,
        max_findings: if args.max_findings == 0 { u64::MAX } else { args.max_findings },
    });
    let mut writer = FindingWriter::new(args.format)?;
    let mut summary = Summary::default();
    for input in Input::or_stdin(&args.files) {
        let name = input.to_string();
        match validate(&mut validator, &input, &name, &mut writer) {
            Ok(tally) => summary.add(name, tally, None),
            Err(Failure::Write(error)) => return Err(error),
            Err(Failure::Read(error)) => {
                let message = format!("{error:#}");
                complain(&message);
                summary.add(name, Tally::default(), Some(message));
            }
        }
    }
    let left_out = summary.findings().saturating_sub(writer.written());
    writer.finish(&summary.rows, left_out)?;
    summary.say(left_out);
    Ok(summary.exit())
}

/// Why a file was not validated to its end.
enum Failure {
    /// It can't be read; the others still can.
    Read(anyhow::Error),
    /// Nobody takes the findings.
    Write(anyhow::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Read(error.into())
    }
}

fn validate(
    validator: &mut ContentValidator,
    input: &Input,
    name: &str,
    writer: &mut FindingWriter,
) -> Result<Tally, Failure> {
    let opened = input.open().map_err(Failure::Read)?;
    let result = validator.validate(name, opened, &mut |located| writer.write(name, located).map_err(Failure::Write));
    result.map_err(|failure| match failure {
        Failure::Read(error) => Failure::Read(error.context(format!("can't read {name} to its end"))),
        Failure::Write(error) => Failure::Write(error),
    })
}

/// What is said in the end.
#[derive(Default)]
struct Summary {
    rows: Vec<FileRow>,
    lines: Vec<String>,
    total: Tally,
    /// Files with findings.
    with_findings: usize,
    failed: usize,
}

impl Summary {
    fn add(&mut self, name: String, tally: Tally, failure: Option<String>) {
        self.total.events += tally.events;
        self.total.thresholds += tally.thresholds;
        self.total.errors += tally.errors;
        self.total.warnings += tally.warnings;
        let has_findings = tally.errors + tally.warnings > 0;
        self.with_findings += usize::from(has_findings);
        self.failed += usize::from(failure.is_some());
        if failure.is_none() && (has_findings || self.rows.len() < LISTED_FILES) && self.lines.len() < LISTED_FILES {
            let held = match tally.kind {
                Some(Kind::Events | Kind::Thresholds) => contents(&tally),
                None => "nothing recognized".to_owned(),
            };
            self.lines.push(format!("{name}: {held}: {}", verdict(&tally)));
        }
        self.rows.push(FileRow::new(name, tally, failure));
    }

    const fn findings(&self) -> u64 {
        self.total.errors + self.total.warnings
    }

    fn say(&self, left_out: u64) {
        self.lines.iter().for_each(|line| say(line));
        if self.rows.len() > 1 {
            let of = format!("{} of {} files", self.with_findings, self.rows.len());
            let failed = if self.failed > 0 {
                format!("; {} not validated", count(self.failed as u64, "file"))
            } else {
                String::new()
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
            say(&format!("{left_out} more findings are not shown; --max-findings 0 shows all of them"));
        }
    }

    fn exit(&self) -> Exit {
        if self.failed > 0 {
            Exit::Error
        } else if self.total.errors > 0 {
            Exit::Objection
        } else {
            Exit::Success
        }
    }
}

fn contents(tally: &Tally) -> String {
    match (tally.events, tally.thresholds) {
        (events, 0) => count(events, "event"),
        (0, thresholds) => count(thresholds, "threshold"),
        (events, thresholds) => format!("{} and {}", count(events, "event"), count(thresholds, "threshold")),
    }
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
