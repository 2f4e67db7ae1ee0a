//! A whole input: what it holds is told by its content, and validated as that.
//!
//! Events come as NDJSON, which is read as a stream in flat memory, or as one JSON document: an event or an array of
//! them. Thresholds, channels and cases come as one document. A document is held in memory, and bounded for that.

mod beginning;
mod run;

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};

use self::beginning::{Beginning, Held};
pub(super) use self::beginning::{Continuation, continues};
use self::run::{Findings, Run, Stream};
use super::continuity::{Continuity, ContinuityTotals};
use super::together::Together;
use super::{Bindings, EventRules, Finding, Levels, threshold};
use crate::events::LineReader;

/// The largest document (as opposed to a stream of lines) that is validated, in bytes, where lines may not be longer.
pub const MAX_DOCUMENT_BYTES: usize = 8 << 20;

/// What an input turned out to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Usage events.
    Events,
    /// Thresholds.
    Thresholds,
    /// Channels and actions: a channels file.
    Channels,
    /// Tests of thresholds.
    Cases,
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
    /// Channels and actions, the faulty ones included.
    pub channels: u64,
    /// Cases that test thresholds, the faulty ones included.
    pub cases: u64,
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
    /// How many errors, and how many warnings, are handed out over all inputs; the others are only counted. Of one line, or
    /// one item of a document, some ten thousand are handed out at most.
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
            withhold: false,
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
