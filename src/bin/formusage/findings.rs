//! Findings on standard output: for people, for tools, for pipes.

use std::io;

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use form_usage_events::validate::{Finding, Kind, Located, Severity, Tally};
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use crate::cli::FindingFormat;
use crate::output::{Stdout, stdout_is_terminal};

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
        // `events`, `thresholds`, or null where nothing was recognized.
        let kind = self.tally.kind.map(|kind| match kind {
            Kind::Events => "events",
            Kind::Thresholds => "thresholds",
        });
        let mut row = serializer.serialize_struct("FileRow", 7)?;
        row.serialize_field("file", &self.file)?;
        row.serialize_field("kind", &kind)?;
        row.serialize_field("events", &self.tally.events)?;
        row.serialize_field("thresholds", &self.tally.thresholds)?;
        row.serialize_field("errors", &self.tally.errors)?;
        row.serialize_field("warnings", &self.tally.warnings)?;
        row.serialize_field("failure", &self.failure)?;
        row.end()
    }
}

/// Writes findings as they come.
pub(crate) struct FindingWriter {
    format: FindingFormat,
    stdout: Stdout,
    renderer: Renderer,
    written: u64,
}

impl FindingWriter {
    /// Writes in `format`; without one, a table for a terminal and NDJSON for a pipe.
    pub(crate) fn new(format: Option<FindingFormat>) -> anyhow::Result<Self> {
        let default = if stdout_is_terminal() { FindingFormat::Table } else { FindingFormat::Ndjson };
        let format = format.unwrap_or(default);
        let colour = anstream::AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never;
        let width = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(WIDTH);
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        let mut stdout = Stdout::new();
        if format == FindingFormat::Json {
            stdout.text("{\"findings\":[")?;
        }
        Ok(Self { format, stdout, renderer: renderer.term_width(width.clamp(40, 1000)), written: 0 })
    }

    /// How many have been written.
    pub(crate) const fn written(&self) -> u64 {
        self.written
    }

    /// Writes one finding and hands it to the reader at once: a stream of events may go on for days.
    pub(crate) fn write(&mut self, located: Located<'_>) -> anyhow::Result<()> {
        let row = Row { file: located.file, finding: located.finding };
        match self.format {
            FindingFormat::Table => self.stdout.text(&format!("{}\n\n", self.excerpt(located)))?,
            FindingFormat::Ndjson => self.stdout.line(&serde_json::to_vec(&row)?)?,
            FindingFormat::Json => {
                self.stdout.text(if self.written == 0 { "\n" } else { ",\n" })?;
                self.stdout.text(&serde_json::to_string(&row)?)?;
            }
        }
        self.written += 1;
        self.stdout.flush()
    }

    /// Ends the output. `left_out` findings were counted and not written.
    pub(crate) fn finish(mut self, files: &[FileRow], left_out: u64) -> anyhow::Result<()> {
        if self.format == FindingFormat::Json {
            let files = serde_json::to_string(files)?;
            let line_end = if self.written == 0 { "" } else { "\n" };
            self.stdout.text(&format!("{line_end}],\"left_out\":{left_out},\"files\":{files}}}\n"))?;
        }
        self.stdout.flush()
    }

    /// The line with a marker under the place, what was found, what was expected, and the help.
    fn excerpt(&self, located: Located<'_>) -> String {
        let file = located.file;
        let finding = located.finding;
        let level = match finding.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let title = level.primary_title(&*finding.message).id(finding.code.as_str());
        let mut group = Group::with_title(title);
        let place = finding.place.as_ref().filter(|place| place.line > 0);
        let line = place.and_then(|place| {
            let index = usize::try_from(place.line.checked_sub(located.first_line)?).ok()?;
            located.text.split('\n').nth(index)
        });
        let label = finding.expected.as_ref().map(|expected| format!("expected {expected}"));
        match (place, line) {
            (Some(place), Some(line)) => {
                let column = usize::try_from(place.column).unwrap_or(1);
                let start = line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(at, _)| at);
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
            group = group.element(Level::NOTE.message(format!("found {found}")));
        }
        // Without an excerpt there is no marker to write it at.
        if let (None, Some(expected)) = (line, &finding.expected) {
            group = group.element(Level::NOTE.message(format!("expected {expected}")));
        }
        if let Some(help) = &finding.help {
            group = group.element(Level::HELP.message(&**help));
        }
        self.renderer.render(&[group])
    }
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
