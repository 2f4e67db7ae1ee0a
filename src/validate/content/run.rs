//! One input on its way: its lines or its document, and what is found in them.

use std::collections::BTreeMap;
use std::io::{self, Read};

use super::beginning::{Document, Held};
use super::{ContentOptions, HandOut, Kind, Located, MAX_DOCUMENT_BYTES, Tally};
use crate::events::{LinePart, LineReader, Sifted, sift};
use crate::validate::continuity::{Continuity, Here, Metered, digest};
use crate::validate::finding::NOTHING;
use crate::validate::json::{self, Node, Text, Value, quote};
use crate::validate::shape::{Context, Spot};
use crate::validate::together::Together;
use crate::validate::{
    Code, EventSieve, Finding, Levels, NotEventLines, Place, Severity, cases, channels, event, glance, threshold,
};

/// The continuity of the input at hand.
pub(super) struct Stream<'v> {
    pub(super) file: u32,
    pub(super) continuity: &'v mut Continuity,
    pub(super) afterwards: &'v mut BTreeMap<u32, [u64; 2]>,
    /// What was found about earlier inputs, to be handed out.
    pub(super) elsewhere: Vec<(u32, Finding)>,
}

/// So many findings are held at a time.
pub(super) const HELD_FINDINGS: usize = 20_000;

/// Findings of the text at hand, bounded.
pub(super) struct Findings<'v> {
    pub(super) levels: &'v Levels,
    pub(super) room: &'v mut [u64; 2],
    pub(super) list: Vec<Finding>,
    /// Warnings and errors.
    pub(super) counts: [u64; 2],
}

impl Findings<'_> {
    pub(super) fn take(&mut self, finding: Finding) {
        let Some(finding) = self.levels.apply(finding) else {
            return;
        };
        let index = usize::from(finding.severity == Severity::Error);
        if let (Some(count), Some(room)) = (self.counts.get_mut(index), self.room.get_mut(index)) {
            *count += 1;
            if *room > 0 && self.list.len() < HELD_FINDINGS {
                *room -= 1;
                self.list.push(finding);
            }
        }
    }

    /// An array of nothing.
    pub(super) fn empty(&mut self) {
        let place = Place { line: 1, column: 1, pointer: String::new() };
        let message = "the array is empty: there is nothing to validate, and as thresholds nothing is checked";
        self.take(Finding::warning(Code::Empty, message).help(NOTHING).at(place));
    }

    /// An input of the name without any text. A stream of events may be empty; a document is not.
    pub(super) fn blank(&mut self, name: &str) {
        let place = Place { line: 1, column: 1, pointer: String::new() };
        self.take(match std::path::Path::new(name).extension() {
            Some(extension) if extension.eq_ignore_ascii_case("json") => {
                Finding::error(Code::Empty, "this file is empty, which is no JSON document")
                    .expected("thresholds, channels or events")
                    .help("write [] where there is no threshold; a stream of events that may be empty is *.ndjson")
                    .at(place)
            }
            _ => Finding::warning(Code::Empty, "there is nothing to validate").help(NOTHING).at(place),
        });
    }
}

/// The validation of one input.
pub(super) struct Run<'v, 'h, E> {
    pub(super) options: ContentOptions,
    pub(super) thresholds: &'v mut threshold::Run,
    pub(super) together: &'v mut Together,
    pub(super) file: u32,
    pub(super) name: &'v str,
    pub(super) hand_out: HandOut<'h, E>,
    pub(super) findings: Findings<'v>,
    pub(super) tally: Tally,
    pub(super) continuity: Option<Stream<'v>>,
    /// The text at hand may hold a secret, and is not shown.
    pub(super) withhold: bool,
}

impl<E: From<io::Error>> Run<'_, '_, E> {
    pub(super) fn lines(
        &mut self,
        held: impl Iterator<Item = Held>,
        mut lines: LineReader<impl Read + Send>,
    ) -> Result<(), E> {
        for line in held {
            self.line(line.number, &line.bytes, line.part)?;
        }
        if self.continuity.is_some() {
            // Every event counts there, in its turn.
            while let Some(line) = lines.next_line()? {
                self.line(line.number, line.bytes, line.part)?;
            }
            return Ok(());
        }
        let end = sift(lines, &EventSieve::new(self.options.rules), &mut |found| {
            match found {
                Sifted::Passed(count) => self.clean_events(count),
                Sifted::Held(line) => self.unclean_line(line.number, line.bytes, line.part)?,
                Sifted::Noted(..) | Sifted::Idle => {}
            }
            Ok::<_, E>(())
        })?;
        end.error.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Counts events that nothing is to be remarked on.
    fn clean_events(&mut self, count: u64) {
        self.tally.events += count;
        self.tally.kind.get_or_insert(Kind::Events);
    }

    fn line(&mut self, number: u64, bytes: &[u8], part: LinePart) -> Result<(), E> {
        let seen = if part == LinePart::Whole { glance::clean(bytes, &self.options.rules) } else { None };
        let Some(seen) = seen else {
            return self.unclean_line(number, bytes, part);
        };
        self.clean_events(1);
        if self.continuity.is_some() {
            let place = Place { line: number, column: 1, pointer: String::new() };
            self.follow(&seen.metered(bytes), &place);
            self.flush(std::str::from_utf8(bytes).unwrap_or_default(), number)?;
        }
        Ok(())
    }

    /// A line that takes more than a glance.
    fn unclean_line(&mut self, number: u64, bytes: &[u8], part: LinePart) -> Result<(), E> {
        match part {
            LinePart::Whole => {
                let text = Text::new(bytes, number, &mut |finding| self.findings.take(finding));
                if let Some(root) = json::read(&text, &mut |finding| self.findings.take(finding)) {
                    self.value(&Spot::root(&root), &text);
                }
                self.flush(text.as_str(), number)
            }
            LinePart::Piece { index: 0, .. } => {
                let limit = self.options.max_line_bytes;
                let finding = Finding::error(Code::TooLong, format!("this line is longer than {limit} bytes"))
                    .help("an event takes about 400; allow more with --max-line-bytes");
                self.findings.take(finding.at(Place { line: number, column: 1, pointer: String::new() }));
                self.flush("", number)
            }
            LinePart::Piece { .. } => Ok(()),
        }
    }

    pub(super) fn document(
        &mut self,
        held: impl Iterator<Item = Held>,
        mut lines: LineReader<impl Read>,
    ) -> Result<(), E> {
        let limit = self.options.max_line_bytes.max(MAX_DOCUMENT_BYTES);
        let mut document = Document { bytes: Vec::new(), line: 1 };
        for line in held {
            document.push(line.number, &line.bytes);
        }
        while let Some(line) = lines.next_line()? {
            document.push(line.number, line.bytes);
            if document.bytes.len() > limit {
                let message = format!("this document is longer than {limit} bytes");
                let finding = Finding::error(Code::TooLong, message)
                    .help("write events one a line, which has no limit, and thresholds into several files");
                self.findings.take(finding.at(Place { line: 1, column: 1, pointer: String::new() }));
                return self.flush("", 1);
            }
        }
        let text = Text::new(&document.bytes, 1, &mut |finding| self.findings.take(finding));
        if document.bytes.is_empty() {
            self.findings.blank(self.name);
        } else if let Some(root) = json::read(&text, &mut |finding| self.findings.take(finding)) {
            match &root.value {
                Value::Array(items) if items.is_empty() => self.findings.empty(),
                Value::Array(items) => {
                    let spot = Spot::root(&root);
                    for (index, item) in items.iter().enumerate() {
                        self.value(&spot.item(index, item), &text);
                        if self.findings.list.len() >= HELD_FINDINGS / 2 {
                            // Without the text: what follows may turn out to be a secret.
                            let withhold = self.withhold;
                            self.flush("", 1)?;
                            self.withhold = withhold;
                        }
                    }
                }
                _ => self.value(&Spot::root(&root), &text),
            }
            if self.tally.kind == Some(Kind::Events)
                && let Some(finding) = no_event_lines(&document.bytes)
            {
                self.findings.take(finding.at(text.place(root.start, "")));
            }
        }
        self.flush(text.as_str(), 1)
    }

    /// One event or one threshold, or neither.
    fn value(&mut self, spot: &Spot<'_>, text: &Text<'_>) {
        let kind = if threshold::looks_like_threshold(spot.node) {
            Kind::Thresholds
        } else if event::looks_like_event(spot.node) {
            Kind::Events
        } else if channels::looks_like_channels(spot.node) {
            Kind::Channels
        } else if cases::looks_like_cases(spot.node) {
            Kind::Cases
        } else if matches!(spot.node.value, Value::Broken) {
            return;
        } else {
            let finding = Finding::error(
                Code::Unrecognized,
                "this is neither a usage event, nor a threshold, nor a channels file, nor tests of thresholds",
            )
            .found(keys(spot.node))
            .expected(
                "the fields of an event (`event_type`, …), a threshold (`threshold_type`, …), `channels` or `cases`",
            )
            .help("formusage schema event|thresholds|channels|cases prints what they look like");
            return self.findings.take(finding.at(text.place(spot.node.start, &*spot.pointer)));
        };
        let first = *self.tally.kind.get_or_insert(kind);
        let other = match kind {
            Kind::Events => &mut self.tally.events,
            Kind::Thresholds => &mut self.tally.thresholds,
            Kind::Channels => &mut self.tally.channels,
            Kind::Cases => &mut self.tally.cases,
        };
        let is_first = *other == 0;
        *other += u64::from(matches!(kind, Kind::Events | Kind::Thresholds));
        if kind != first && is_first {
            let before = ["events", "thresholds", "channels", "cases"];
            let now = ["an event", "a threshold", "a channels file", "a file of cases"];
            let word = |words: [&'static str; 4], kind| match kind {
                Kind::Events => words[0],
                Kind::Thresholds => words[1],
                Kind::Channels => words[2],
                Kind::Cases => words[3],
            };
            let message = format!("{} stands among {}", word(now, kind), word(before, first));
            let finding = Finding::error(Code::Mixed, message).help("keep each in files of their own");
            self.findings.take(finding.at(text.place(spot.node.start, &*spot.pointer)));
        }
        let context = &mut Context { text, report: &mut |finding| self.findings.take(finding) };
        if matches!(kind, Kind::Channels | Kind::Cases) && !spot.pointer.is_empty() {
            let finding = Finding::error(Code::WrongType, "a file of channels or of cases stands in an array")
                .found("an item of an array")
                .expected("one object, which is all of the file");
            context.report(spot.node.start, &spot.pointer, finding);
        }
        match kind {
            Kind::Channels => {
                self.withhold |= channels::may_hold_secret(spot.node);
                self.tally.channels += channels::check(spot, context);
            }
            Kind::Cases => self.tally.cases += cases::check(spot, self.name, context),
            Kind::Events => {
                let metered = event::check(spot, &self.options.rules, context);
                if let (Some(metered), Some(_)) = (metered, &self.continuity) {
                    let own = text.as_str().as_bytes().get(spot.node.start..).unwrap_or_default();
                    let metered = Metered { digest: digest(own), ..metered };
                    self.follow(&metered, &text.place(spot.node.start, &*spot.pointer));
                }
            }
            Kind::Thresholds => {
                if let Some((config, place)) = threshold::check(spot, self.thresholds, self.name, context) {
                    self.together.insert(config, self.file, place);
                }
            }
        }
    }

    /// Takes an event into the stream. An incident may be about an earlier event.
    fn follow(&mut self, metered: &Metered<'_>, place: &Place) {
        let Some(stream) = &mut self.continuity else {
            return;
        };
        let here = Here { file: stream.file, line: place.line, column: place.column, pointer: &place.pointer };
        let mut incidents = Vec::new();
        stream.continuity.observe(metered, &here, &mut |incident| incidents.push(incident));
        for incident in incidents {
            let finding = incident.finding(|file| stream.continuity.file_name(file));
            if incident.file == stream.file {
                self.findings.take(finding);
            } else {
                stream.elsewhere.push((incident.file, finding));
            }
        }
    }

    /// Hands out what was found in `text`.
    fn flush(&mut self, text: &str, first_line: u64) -> Result<(), E> {
        if let Some(stream) = self.continuity.as_mut().filter(|stream| !stream.elsewhere.is_empty()) {
            for (file, finding) in std::mem::take(&mut stream.elsewhere) {
                let own = self.findings.counts;
                let counts = stream.afterwards.entry(file).or_default();
                self.findings.counts = *counts;
                let listed = self.findings.list.len();
                self.findings.take(finding);
                *counts = self.findings.counts;
                self.findings.counts = own;
                if let Some(finding) =
                    self.findings.list.get(listed).is_some().then(|| self.findings.list.pop()).flatten()
                {
                    let file = stream.continuity.file_name(file);
                    (self.hand_out)(Located { file, finding: &finding, text: "", first_line: 0 })?;
                }
            }
        }
        self.findings.list.sort_by(Finding::by_place);
        let text = if std::mem::take(&mut self.withhold) { "" } else { text };
        for finding in self.findings.list.drain(..) {
            (self.hand_out)(Located { file: self.name, finding: &finding, text, first_line })?;
        }
        Ok(())
    }
}

/// The warning about events in a document that validation alone reads.
fn no_event_lines(document: &[u8]) -> Option<Finding> {
    let (what, filter) = match NotEventLines::at_start(document)? {
        NotEventLines::Array => ("events stand in an array", "'.[]'"),
        NotEventLines::SeveralLines => ("an event goes over several lines", "."),
        _ => return None,
    };
    let message = format!("{what}, and publish, report and check read one event a line");
    Some(Finding::warning(Code::EventDocument, message).help(format!("make lines of it: jq -c {filter} FILE")))
}

/// What an object has in place of what was expected: its first keys.
fn keys(node: &Node<'_>) -> String {
    match &node.value {
        Value::Object(members) if !members.is_empty() => {
            let names: Vec<_> = members.iter().take(4).map(|member| quote(&member.key)).collect();
            let more = if members.len() > 4 { ", …" } else { "" };
            format!("an object with {}{more}", names.join(", "))
        }
        Value::Object(_) => "an empty object".into(),
        _ => node.describe(),
    }
}
