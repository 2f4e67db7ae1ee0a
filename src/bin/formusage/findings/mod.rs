//! Findings on standard output: for people, for tools, for pipes.

mod github;
mod junit;
mod remark;
mod sarif;

use std::io;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use form_usage_events::plain_text::{printable_json, printable_source};
use form_usage_events::validate::explain::Explanation;
use form_usage_events::validate::{Finding, Kind, Located, Place, Severity, Tally};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::cli::FindingFormat;
use crate::output::{Notation, Stdout, printable, stdout_is_terminal};

pub(crate) use github::Commands;
pub(crate) use junit::Suites;
pub(crate) use remark::{Remark, Rule};
pub(crate) use sarif::Log;

/// Columns of the excerpt where the terminal does not say how wide it is.
const WIDTH: usize = 120;

/// A finding and the file that it is in.
#[derive(Serialize)]
struct Row<'a> {
    file: &'a str,
    #[serde(flatten)]
    finding: &'a Finding,
}

/// What one file held, in the JSON document.
#[derive(Clone)]
pub(crate) struct FileRow {
    pub(crate) file: String,
    pub(crate) tally: Tally,
    /// Why it could not be read, or not to its end.
    pub(crate) failure: Option<String>,
    opened: bool,
}

impl FileRow {
    /// What a file held.
    pub(crate) const fn read(file: String, tally: Tally) -> Self {
        Self { file, tally, failure: None, opened: true }
    }

    /// A file that could not be read, or not to its end (`opened`).
    pub(crate) fn failed(file: String, failure: String, opened: bool) -> Self {
        Self { file, tally: Tally::default(), failure: Some(failure), opened }
    }

    /// Whether it was opened, and so counts among the inputs of the validator.
    pub(crate) const fn was_opened(&self) -> bool {
        self.opened
    }

    pub(crate) const fn has_findings(&self) -> bool {
        self.tally.errors + self.tally.warnings > 0
    }
}

impl Serialize for FileRow {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // `events`, `thresholds`, `channels`, `cases`, or null where nothing was recognized.
        let kind = self.tally.kind.map(|kind| match kind {
            Kind::Events => "events",
            Kind::Thresholds => "thresholds",
            Kind::Channels => "channels",
            Kind::Cases => "cases",
        });
        let mut row = serializer.serialize_struct("FileRow", 9)?;
        row.serialize_field("file", &self.file)?;
        row.serialize_field("kind", &kind)?;
        row.serialize_field("events", &self.tally.events)?;
        row.serialize_field("thresholds", &self.tally.thresholds)?;
        row.serialize_field("channels", &self.tally.channels)?;
        row.serialize_field("cases", &self.tally.cases)?;
        row.serialize_field("errors", &self.tally.errors)?;
        row.serialize_field("warnings", &self.tally.warnings)?;
        row.serialize_field("failure", &self.failure)?;
        row.end()
    }
}

/// What a format keeps between two findings.
enum Shape {
    Table(Box<Renderer>),
    Json,
    Ndjson,
    Github(Commands),
    Sarif(Log),
    Junit(Suites),
}

/// Writes findings as they come.
pub(crate) struct FindingWriter {
    shape: Shape,
    stdout: Stdout,
    written: u64,
}

impl FindingWriter {
    /// Writes in `format`; without one, a table for a terminal and NDJSON for a pipe.
    pub(crate) fn new(format: Option<FindingFormat>) -> anyhow::Result<Self> {
        let default = if stdout_is_terminal() { FindingFormat::Table } else { FindingFormat::Ndjson };
        let format = format.unwrap_or(default);
        let mut stdout = Stdout::new(match format {
            FindingFormat::Table => Notation::ColouredWords,
            FindingFormat::Github => Notation::Words,
            FindingFormat::Json | FindingFormat::Ndjson | FindingFormat::Sarif => Notation::Json,
            FindingFormat::Junit => Notation::Xml,
        });
        let shape = match format {
            FindingFormat::Table => {
                let colour = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
                let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(WIDTH);
                let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
                Shape::Table(Box::new(renderer.term_width(width.clamp(40, 1000))))
            }
            FindingFormat::Json => {
                stdout.text("{\"findings\":[")?;
                Shape::Json
            }
            FindingFormat::Ndjson => Shape::Ndjson,
            FindingFormat::Github => Shape::Github(Commands::default()),
            FindingFormat::Sarif => {
                let (log, begin) = Log::begin(&rules());
                stdout.text(&begin)?;
                Shape::Sarif(log)
            }
            FindingFormat::Junit => Shape::Junit(Suites::new("formusage validate", "is valid")),
        };
        Ok(Self { shape, stdout, written: 0 })
    }

    /// How many have been written.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Writes one finding and hands it to the reader at once: a stream of events may go on for days.
    pub(crate) fn write(&mut self, located: Located<'_>) -> anyhow::Result<()> {
        let row = Row { file: located.file, finding: located.finding };
        match &mut self.shape {
            Shape::Table(renderer) => self.stdout.text(&format!("{}\n\n", excerpt(renderer, located)))?,
            Shape::Ndjson => self.stdout.line(printable_json(&serde_json::to_string(&row)?).as_bytes())?,
            Shape::Json => {
                self.stdout.text(if self.written == 0 { "\n" } else { ",\n" })?;
                self.stdout.text(&printable_json(&serde_json::to_string(&row)?))?;
            }
            Shape::Github(commands) => with_remark(located, |remark| self.stdout.text(&commands.line(remark)))?,
            Shape::Sarif(log) => with_remark(located, |remark| self.stdout.text(&log.result(remark)))?,
            Shape::Junit(suites) => with_remark(located, |remark| suites.add(remark)),
        }
        self.written += 1;
        self.stdout.flush()
    }

    /// Ends the output. `left_out` findings were counted and not written.
    pub(crate) fn finish(mut self, files: &[FileRow], left_out: u64) -> anyhow::Result<()> {
        let end = match &mut self.shape {
            Shape::Table(_) | Shape::Ndjson => String::new(),
            Shape::Json => {
                let files = serde_json::to_string(files)?;
                let files = printable_json(&files);
                let line_end = if self.written == 0 { "" } else { "\n" };
                format!("{line_end}],\"left_out\":{left_out},\"files\":{files}}}\n")
            }
            Shape::Github(commands) => {
                // A file that could not be read is nobody's finding, and an annotation all the same.
                let failures = files.iter().filter_map(|row| Some((&*row.file, row.failure.as_deref()?)));
                let lines: String = failures.map(|(file, why)| commands.line(&unreadable(file, why))).collect();
                lines + &commands.end()
            }
            Shape::Sarif(log) => {
                let failures = files.iter().filter_map(|row| Some((&*row.file, row.failure.as_deref()?)));
                log.end(&failures.collect::<Vec<_>>())
            }
            Shape::Junit(suites) => {
                files.iter().for_each(|row| suites.file(&row.file, row.failure.as_deref()));
                suites.end()?
            }
        };
        self.stdout.text(&end)?;
        self.stdout.flush()
    }
}

/// What is said of a file that could not be read.
pub(crate) fn unreadable<'a>(file: &'a str, why: &'a str) -> Remark<'a> {
    Remark {
        rule: "unreadable",
        severity: Severity::Error,
        file,
        line: 0,
        column: 0,
        width: 0,
        pointer: "",
        message: why,
        help: None,
        text: "",
    }
}

/// Every code as a rule.
fn rules() -> Vec<Rule> {
    let rule = |explanation: Explanation| Rule {
        id: explanation.code.as_str().to_owned(),
        severity: explanation.severity,
        what: explanation.what.to_owned(),
        more: format!("{} {}", explanation.why, explanation.fix),
    };
    Explanation::all().map(rule).collect()
}

/// The line that a finding stands in, where it is at hand.
fn line_of<'t>(located: &Located<'t>) -> Option<&'t str> {
    let line = located.finding.place.as_ref()?.line;
    let index = usize::try_from(line.checked_sub(located.first_line)?).ok()?;
    located.text.split('\n').nth(index).filter(|_| line > 0 && !located.text.is_empty())
}

/// Where in its line a place begins, in bytes.
fn start_of(line: &str, place: &Place) -> usize {
    let column = usize::try_from(place.column).unwrap_or(1);
    line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at)
}

/// Hands a finding on as a remark.
fn with_remark<T>(located: Located<'_>, take: impl FnOnce(&Remark<'_>) -> T) -> T {
    let finding = located.finding;
    let nowhere = Place::pointer("");
    let place = finding.place.as_ref().unwrap_or(&nowhere);
    let line = line_of(&located);
    let width = line.map_or(0, |line| {
        let rest = line.get(start_of(line, place)..).unwrap_or_default();
        rest.get(..marked(rest)).unwrap_or_default().chars().count() as u64
    });
    let message = match (&finding.found, &finding.expected) {
        (Some(found), Some(expected)) => format!("{}: found {found}, expected {expected}", finding.message),
        (Some(found), None) => format!("{}: found {found}", finding.message),
        (None, Some(expected)) => format!("{}: expected {expected}", finding.message),
        (None, None) => finding.message.clone(),
    };
    take(&Remark {
        rule: finding.code.as_str(),
        severity: finding.severity,
        file: located.file,
        line: place.line,
        column: place.column,
        width,
        pointer: &place.pointer,
        message: &message,
        help: finding.help.as_deref(),
        text: line.unwrap_or_default(),
    })
}

/// The line with a marker under the place, what was found, what was expected, and the help.
fn excerpt(renderer: &Renderer, located: Located<'_>) -> String {
    let Located { file, finding, .. } = located;
    let file = &*printable(file);
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(printable(&finding.message)).id(finding.code.as_str());
    let mut group = Group::with_title(title);
    let place = finding.place.as_ref().filter(|place| place.line > 0);
    let line = line_of(&located).map(|line| printable_source(line.strip_suffix('\r').unwrap_or(line)));
    let line = line.as_deref();
    let label = finding.expected.as_ref().map(|expected| printable(&format!("expected {expected}")).into_owned());
    match (place, line) {
        (Some(place), Some(line)) => {
            let start = start_of(line, place);
            let annotation = AnnotationKind::Primary.span(start..start + marked(&line[start..])).label(label);
            let number = usize::try_from(place.line).unwrap_or(usize::MAX);
            group = group.element(Snippet::source(line).line_start(number).path(file).annotation(annotation));
        }
        (Some(place), None) => {
            let line = usize::try_from(place.line).unwrap_or(usize::MAX);
            let column = usize::try_from(place.column).unwrap_or(1);
            group = group.element(Origin::path(file).line(line).char_column(column));
        }
        (None, _) => group = group.element(Origin::path(file)),
    }
    if let Some(found) = &finding.found {
        group = group.element(Level::NOTE.message(printable(&format!("found {found}")).into_owned()));
    }
    // Without an excerpt there is no marker to write it at.
    if let (None, Some(expected)) = (line, &finding.expected) {
        group = group.element(Level::NOTE.message(printable(&format!("expected {expected}")).into_owned()));
    }
    if let Some(help) = &finding.help {
        group = group.element(Level::HELP.message(printable(help).into_owned()));
    }
    // The runners of workflows take this for a command wherever it stands in a line.
    renderer.render(&[group]).replace("##[", "##\u{fffd}[")
}

/// How many bytes of `rest`, which begins at the place of a finding, the marker goes under.
fn marked(rest: &str) -> usize {
    let mut chars = rest.char_indices();
    let end = match chars.next() {
        Some((_, '"')) => {
            let mut escaped = false;
            let quote = chars.find(|(_, char)| {
                let ends = *char == '"' && !escaped;
                escaped = *char == '\\' && !escaped;
                ends
            });
            quote.map(|(at, _)| at + 1)
        }
        Some((_, char @ ('{' | '[' | '}' | ']' | ',' | ':'))) => Some(char.len_utf8()),
        _ => rest.find([',', '}', ']', ' ', '\t', '\r', ':']),
    };
    end.unwrap_or(rest.len()).max(rest.chars().next().map_or(0, char::len_utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marker_covers_the_token() {
        for (rest, token) in [
            (r#""a\"b" : 1"#, r#""a\"b""#),
            ("{\"a\"", "{"),
            ("12.5,", "12.5"),
            ("null}", "null"),
            ("“x”", "“x”"),
            ("\"open", "\"open"),
            ("", ""),
        ] {
            assert_eq!(&rest[..marked(rest)], token, "{rest}");
        }
    }
}
