//! A whole input: what it holds is told by its content, and validated as that.
//!
//! Events come as NDJSON, which is read as a stream in flat memory, or as one JSON document: an event or an array of
//! them. Thresholds come as one document. A document is held in memory, and bounded for that.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use super::continuity::{Continuity, ContinuityTotals, Here, Metered, digest};
use super::json::{self, Node, Text, Value, quote};
use super::shape::{Context, Spot};
use super::together::Together;
use super::{Bindings, Code, EventRules, EventSieve, Finding, Levels, Place, Severity, event, glance, threshold};
use crate::events::{LinePart, LineReader, Sifted, sift};

/// The largest document (as opposed to a stream of lines) that is validated, in bytes, where lines may not be longer.
pub const MAX_DOCUMENT_BYTES: usize = 8 << 20;

/// What an input turned out to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Usage events.
    Events,
    /// Thresholds.
    Thresholds,
}

/// What was found in one input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// What it holds; `None` where nothing in it was recognized.
    pub kind: Option<Kind>,
    /// Events, the faulty ones included.
    pub events: u64,
    /// Thresholds, the faulty ones included.
    pub thresholds: u64,
    /// Findings that make it invalid.
    pub errors: u64,
    /// Findings that do not.
    pub warnings: u64,
}

/// How to validate.
#[derive(Debug, Clone, Copy)]
pub struct ContentOptions {
    /// The rules for events.
    pub rules: EventRules,
    /// Whether warnings count as errors.
    pub strict: bool,
    /// The longest line, in bytes, at least 1.
    pub max_line_bytes: usize,
    /// How many errors, and how many warnings, are handed out over all inputs; the others are only counted.
    pub max_findings: u64,
}

/// A finding and the text that it is about.
#[derive(Debug, Clone, Copy)]
pub struct Located<'a> {
    /// The name of the input that it is in: mostly the one that is being validated, and an earlier one where it took
    /// later events to know.
    pub file: &'a str,
    /// The finding.
    pub finding: &'a Finding,
    /// The text; empty where it was too long to keep.
    pub text: &'a str,
    /// The number of the text's first line.
    pub first_line: u64,
}

/// The ids of the thresholds seen so far, and where.
#[derive(Debug, Clone, Default)]
pub(super) struct ThresholdIds(HashMap<String, (String, u64)>);

impl ThresholdIds {
    /// Notes an id; where it was seen before, says where, as `FILE:LINE` or, in the same file, `line LINE`.
    pub(super) fn insert(&mut self, id: &str, file: &str, line: u64) -> Option<String> {
        match self.0.entry(id.to_owned()) {
            Entry::Vacant(entry) => {
                entry.insert((file.to_owned(), line));
                None
            }
            Entry::Occupied(entry) => {
                let (first, line) = entry.get();
                Some(if first == file { format!("line {line}") } else { format!("{first}:{line}") })
            }
        }
    }
}

/// Validates one input after the other; an id that stands in two threshold files is found too, and with
/// [`ContentValidator::with_continuity`] a gap between two files of events.
///
/// ```
/// use form_usage_events::validate::{ContentOptions, ContentValidator, EventRules, Kind};
///
/// let options = ContentOptions { rules: EventRules::at(0), strict: false, max_line_bytes: 1 << 20, max_findings: 100 };
/// let input = br#"{"event_type":"resource_usage","version":"2.0","period":{"start":0,"end":30}}"#;
/// let mut codes = Vec::new();
/// let tally = ContentValidator::new(options).validate("events.ndjson", &input[..], &mut |located| {
///     codes.push(located.finding.code.as_str());
///     Ok::<_, std::io::Error>(())
/// })?;
/// assert_eq!(tally.kind, Some(Kind::Events));
/// assert!(codes.contains(&"unsupported-version"));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ContentValidator {
    options: ContentOptions,
    thresholds: threshold::Run,
    together: Together,
    levels: Levels,
    /// The names of the inputs so far.
    names: Vec<Box<str>>,
    /// How many warnings and how many errors may still be handed out.
    room: [u64; 2],
    continuity: Option<Continuity>,
    /// Warnings and errors about inputs that had ended by then, by the number of the input.
    afterwards: BTreeMap<u32, [u64; 2]>,
}

/// Takes findings as they come.
type HandOut<'h, E> = &'h mut dyn FnMut(Located<'_>) -> Result<(), E>;

impl ContentValidator {
    /// A validator that has seen nothing yet.
    #[must_use]
    pub fn new(options: ContentOptions) -> Self {
        Self {
            options,
            thresholds: threshold::Run::default(),
            together: Together::default(),
            levels: Levels::default().strict(options.strict),
            names: Vec::new(),
            room: [options.max_findings; 2],
            continuity: None,
            afterwards: BTreeMap::new(),
        }
    }

    /// The same with severities set otherwise; `strict` of the options is kept.
    #[must_use]
    pub fn with_levels(self, levels: Levels) -> Self {
        Self { levels: levels.strict(self.options.strict), ..self }
    }

    /// The same that knows which channels and actions are bound.
    #[must_use]
    pub fn with_bindings(mut self, bindings: Bindings) -> Self {
        self.thresholds.bindings = Some(bindings);
        self
    }

    /// The same that knows the period of events, in seconds.
    #[must_use]
    pub fn with_period(mut self, seconds: i64) -> Self {
        self.thresholds.period = seconds;
        self
    }

    /// The same that looks at the continuity of events too; call [`ContentValidator::finish`] in the end.
    #[must_use]
    pub fn with_continuity(self, continuity: Continuity) -> Self {
        Self { continuity: Some(continuity), ..self }
    }

    /// Validates `input`, called `name` where other inputs refer to it. Findings go to `hand_out` as they come, in the
    /// order in which they stand.
    ///
    /// # Errors
    /// What reading the input gave, or what `hand_out` gave.
    pub fn validate<E: From<io::Error>>(
        &mut self,
        name: &str,
        input: impl Read + Send,
        hand_out: HandOut<'_, E>,
    ) -> Result<Tally, E> {
        let file = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.into());
        let mut lines = LineReader::with_limit(input, self.options.max_line_bytes);
        let continuity = match &mut self.continuity {
            Some(continuity) => Some(Stream {
                file: continuity.file(name),
                continuity,
                afterwards: &mut self.afterwards,
                elsewhere: Vec::new(),
            }),
            None => None,
        };
        let findings = Findings { levels: &self.levels, room: &mut self.room, list: Vec::new(), counts: [0; 2] };
        let mut run = Run {
            options: self.options,
            thresholds: &mut self.thresholds,
            together: &mut self.together,
            file,
            name,
            hand_out,
            findings,
            tally: Tally::default(),
            continuity,
        };
        let first = Held::next(&mut lines)?;
        let mut second = None;
        let document = match first.as_ref().map(Beginning::of) {
            Some(Beginning::Lines) => false,
            None | Some(Beginning::Document) => true,
            Some(Beginning::Open) => {
                second = Held::next(&mut lines)?;
                // Another object where the first is still open: a line that was cut, not a document.
                second.as_ref().is_none_or(|line| !line.bytes.trim_ascii_start().starts_with(b"{"))
            }
        };
        let held = [first, second].into_iter().flatten();
        match document {
            true => run.document(held, lines)?,
            false => run.lines(held, lines)?,
        }
        let [warnings, errors] = run.findings.counts;
        Ok(Tally { errors, warnings, ..run.tally })
    }

    /// Ends a run of several inputs: what waited for further events is handed out now. Gives what was found about inputs
    /// after [`ContentValidator::validate`] had given their tallies: the number of the input, from 0, and what to add.
    ///
    /// # Errors
    /// What `hand_out` gave.
    pub fn finish<E>(&mut self, hand_out: HandOut<'_, E>) -> Result<Vec<(usize, Tally)>, E> {
        let names = &self.names;
        let name = |file: u32| names.get(file as usize).map_or("", |name| name);
        let mut late = self.together.hidden(name);
        if let Some(continuity) = &mut self.continuity {
            continuity.finish(&mut |incident| late.push((incident.file, incident.finding(name))));
        }
        for (file, finding) in late {
            let counts = self.afterwards.entry(file).or_default();
            let mut findings =
                Findings { levels: &self.levels, room: &mut self.room, list: Vec::new(), counts: *counts };
            findings.take(finding);
            *counts = findings.counts;
            for finding in &findings.list {
                hand_out(Located { file: name(file), finding, text: "", first_line: 0 })?;
            }
        }
        let tally = |[warnings, errors]: [u64; 2]| Tally { errors, warnings, ..Tally::default() };
        Ok(self.afterwards.iter().map(|(file, counts)| (*file as usize, tally(*counts))).collect())
    }

    /// What the stream of events comes to, where its continuity is looked at.
    #[must_use]
    pub fn continuity_totals(&self) -> Option<&ContinuityTotals> {
        self.continuity.as_ref().map(Continuity::totals)
    }
}

/// The continuity of the input at hand.
struct Stream<'v> {
    file: u32,
    continuity: &'v mut Continuity,
    afterwards: &'v mut BTreeMap<u32, [u64; 2]>,
    /// What was found about earlier inputs, to be handed out.
    elsewhere: Vec<(u32, Finding)>,
}

/// A line that has been read ahead.
struct Held {
    number: u64,
    bytes: Vec<u8>,
    part: LinePart,
}

impl Held {
    fn next(lines: &mut LineReader<impl Read>) -> io::Result<Option<Self>> {
        let line = lines.next_line()?;
        Ok(line.map(|line| Self { number: line.number, bytes: line.bytes.to_vec(), part: line.part }))
    }
}

/// What the first line says about the rest.
enum Beginning {
    /// Every line stands for itself.
    Lines,
    /// One document.
    Document,
    /// An object that goes on in the next line, or was cut.
    Open,
}

impl Beginning {
    fn of(first: &Held) -> Self {
        match first.bytes.trim_ascii_start().first() {
            Some(b'[' | b'/' | b'#') => return Self::Document,
            Some(b'{') if first.part == LinePart::Whole => {}
            _ if std::str::from_utf8(&first.bytes).is_ok_and(|line| json::other_format(line).is_some()) => {
                return Self::Document;
            }
            _ => return Self::Lines,
        }
        if goes_on(&first.bytes) {
            return Self::Open;
        }
        let text = Text::new(&first.bytes, 1, &mut |_| {});
        match json::read(&text, &mut |_| {}) {
            Some(root) if threshold::looks_like_threshold(&root) => Self::Document,
            _ => Self::Lines,
        }
    }
}

/// Whether `line` ends inside a bracket, and not inside a string, which can't go on in the next line.
fn goes_on(line: &[u8]) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0i64, false, false);
    for byte in line {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => depth += 1,
            b'}' | b']' if !in_string => depth -= 1,
            _ => {}
        }
    }
    depth > 0 && !in_string
}

/// Findings of the text at hand, bounded.
struct Findings<'v> {
    levels: &'v Levels,
    room: &'v mut [u64; 2],
    list: Vec<Finding>,
    /// Warnings and errors.
    counts: [u64; 2],
}

impl Findings<'_> {
    fn take(&mut self, finding: Finding) {
        let Some(finding) = self.levels.apply(finding) else {
            return;
        };
        let index = usize::from(finding.severity == Severity::Error);
        if let (Some(count), Some(room)) = (self.counts.get_mut(index), self.room.get_mut(index)) {
            *count += 1;
            if *room > 0 {
                *room -= 1;
                self.list.push(finding);
            }
        }
    }

    fn empty(&mut self) {
        let place = Place { line: 1, column: 1, pointer: String::new() };
        self.take(Finding::warning(Code::Empty, "there is nothing to validate").at(place));
    }
}

/// The validation of one input.
struct Run<'v, 'h, E> {
    options: ContentOptions,
    thresholds: &'v mut threshold::Run,
    together: &'v mut Together,
    file: u32,
    name: &'v str,
    hand_out: HandOut<'h, E>,
    findings: Findings<'v>,
    tally: Tally,
    continuity: Option<Stream<'v>>,
}

impl<E: From<io::Error>> Run<'_, '_, E> {
    fn lines(&mut self, held: impl Iterator<Item = Held>, mut lines: LineReader<impl Read + Send>) -> Result<(), E> {
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

    fn document(&mut self, held: impl Iterator<Item = Held>, mut lines: LineReader<impl Read>) -> Result<(), E> {
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
            self.findings.empty();
        } else if let Some(root) = json::read(&text, &mut |finding| self.findings.take(finding)) {
            match &root.value {
                Value::Array(items) if items.is_empty() => self.findings.empty(),
                Value::Array(items) => {
                    let spot = Spot::root(&root);
                    for (index, item) in items.iter().enumerate() {
                        self.value(&spot.item(index, item), &text);
                    }
                }
                _ => self.value(&Spot::root(&root), &text),
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
        } else if matches!(spot.node.value, Value::Broken) {
            return;
        } else {
            let finding = Finding::error(Code::Unrecognized, "this is neither a usage event nor a threshold")
                .found(keys(spot.node))
                .expected("the fields of an event (`event_type`, …) or of a threshold (`threshold_type`, …)")
                .help("formusage schema event|thresholds prints what they look like");
            return self.findings.take(finding.at(text.place(spot.node.start, &*spot.pointer)));
        };
        let first = *self.tally.kind.get_or_insert(kind);
        let other = match kind {
            Kind::Events => &mut self.tally.events,
            Kind::Thresholds => &mut self.tally.thresholds,
        };
        *other += 1;
        if kind != first && *other == 1 {
            let [before, now] = match first {
                Kind::Events => ["events", "a threshold"],
                Kind::Thresholds => ["thresholds", "an event"],
            };
            let finding = Finding::error(Code::Mixed, format!("{now} stands among {before}"))
                .help("keep events and thresholds in files of their own");
            self.findings.take(finding.at(text.place(spot.node.start, &*spot.pointer)));
        }
        let context = &mut Context { text, report: &mut |finding| self.findings.take(finding) };
        match kind {
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
        for finding in self.findings.list.drain(..) {
            (self.hand_out)(Located { file: self.name, finding: &finding, text, first_line })?;
        }
        Ok(())
    }
}

/// A document put together from its lines; blank ones, which the reader skips, keep their place.
struct Document {
    bytes: Vec<u8>,
    line: u64,
}

impl Document {
    fn push(&mut self, number: u64, bytes: &[u8]) {
        while self.line < number {
            self.bytes.push(b'\n');
            self.line += 1;
        }
        self.bytes.extend_from_slice(bytes);
    }
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
