//! What comes in: lines of NDJSON, each an event or a refused line.

use std::fmt;
use std::io::Read;
use std::ops::ControlFlow;
use std::sync::Arc;

use crate::clock::Clock;
use crate::events::{EncodedEvent, Line, LinePart, LineReader, UsageEvent};
use crate::validate::{self, EventRules, Finding, ImplausibleWatch};

/// Where something was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The input's name: a file's path, `<stdin>`.
    pub input: Arc<str>,
    /// The line, from 1, where the input has lines.
    pub line: Option<u64>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.input)?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// An event, and where it was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// The event.
    pub encoded: EncodedEvent,
    /// Its place.
    pub origin: Origin,
    /// Its number in the spool, where it came through one.
    pub ticket: Option<Ticket>,
    /// What earlier attempts to deliver it came to.
    pub history: AttemptHistory,
}

/// What is remembered of the attempts to deliver an event, over runs where there is a spool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttemptHistory {
    /// In how many rounds the destination refused it while it took others.
    pub refusals: u32,
    /// The reply to an attempt never came: the destination may hold the event.
    pub unanswered: bool,
}

impl Taken {
    /// Whether this run took it from its own input.
    #[must_use]
    pub fn is_own(&self) -> bool {
        self.ticket.is_none_or(|ticket| ticket.own)
    }
}

/// What an event is known by in the spool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticket {
    /// Its number.
    pub seq: u64,
    /// This run took it; it is not left over from an earlier one.
    pub own: bool,
}

/// A line that is no event.
#[derive(Debug, Clone, PartialEq)]
pub struct RefusedLine {
    /// Its place.
    pub origin: Origin,
    /// What is wrong with it, for people.
    pub reason: String,
    /// Its bytes, as they were read.
    pub raw: Vec<u8>,
    /// Whether `raw` is all of it: a line that is longer than the limit comes in pieces.
    pub part: LinePart,
}

impl Intake {
    /// The place of a line.
    #[must_use]
    pub const fn origin(&self) -> Option<&Origin> {
        match self {
            Self::Event(event) => Some(&event.origin),
            Self::Refused(line) => Some(&line.origin),
            Self::Broken(_) => None,
        }
    }

    /// The bytes of its line.
    #[must_use]
    pub fn size(&self) -> usize {
        match self {
            Self::Event(event) => event.encoded.body().len(),
            Self::Refused(line) => line.raw.len(),
            Self::Broken(_) => 0,
        }
    }
}

impl RefusedLine {
    /// Whether a line begins here, so that a line in pieces counts once.
    #[must_use]
    pub const fn is_first_piece(&self) -> bool {
        matches!(self.part, LinePart::Whole | LinePart::Piece { index: 0, .. })
    }
}

/// One thing that was read.
#[derive(Debug, Clone, PartialEq)]
pub enum Intake {
    /// An event to deliver.
    Event(Box<Taken>),
    /// A line to keep as a dead letter.
    Refused(RefusedLine),
    /// The input broke off here; what came before stands.
    Broken(String),
}

/// How lines are read and judged.
#[derive(Debug, Clone)]
pub struct IntakeRules {
    /// The longest line that can be an event, in bytes.
    pub max_line_bytes: usize,
    /// How far in the future an event may lie, in seconds.
    pub max_skew: i64,
    /// Refuse what is implausible, and events with fields that are not known, instead of delivering them.
    pub strict: bool,
}

impl Default for IntakeRules {
    fn default() -> Self {
        Self {
            max_line_bytes: crate::events::DEFAULT_MAX_LINE_BYTES,
            max_skew: validate::DEFAULT_MAX_SKEW_SECONDS,
            strict: false,
        }
    }
}

/// So many findings about a line are named; the others are counted.
const NAMED_FINDINGS: usize = 20;

/// So much is handed over at once, where it is there at once.
const GROUP_ITEMS: usize = 64;
const GROUP_BYTES: usize = 64 << 10;

/// Reads lines and judges them: what is an event is delivered, what is none is refused. Of an event that is implausible a
/// warning is logged, once for each instance and kind.
#[derive(Debug, Default)]
pub struct IntakeReader {
    rules: IntakeRules,
    watch: ImplausibleWatch,
}

impl IntakeReader {
    /// By these rules.
    #[must_use]
    pub fn new(rules: IntakeRules) -> Self {
        Self { rules, watch: ImplausibleWatch::default() }
    }

    /// Reads `input` to its end and hands what is there to `give`, a few dozen lines at a time and never later than before
    /// a wait for more, until that breaks off. Blocks while `input` does.
    pub fn read_lines(
        &mut self,
        name: &str,
        input: impl Read,
        clock: &dyn Clock,
        mut give: impl FnMut(Vec<Intake>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let name: Arc<str> = name.into();
        let mut lines = LineReader::with_limit(input, self.rules.max_line_bytes);
        let mut group = Vec::new();
        let mut bytes = 0;
        loop {
            let at = lines.lines();
            match lines.next_line() {
                Ok(None) => break,
                Ok(Some(line)) => {
                    bytes += line.bytes.len();
                    let origin = Origin { input: name.clone(), line: Some(line.number) };
                    group.push(self.judge(line, origin, clock.unix_seconds()));
                }
                Err(error) => {
                    let place = if at == 0 { String::new() } else { format!(" behind line {at}") };
                    group.push(Intake::Broken(format!("can't read {name}{place}: {error}")));
                    break;
                }
            }
            if group.len() >= GROUP_ITEMS || bytes >= GROUP_BYTES || !lines.is_ready() {
                give(std::mem::take(&mut group))?;
                bytes = 0;
            }
        }
        if group.is_empty() { ControlFlow::Continue(()) } else { give(group) }
    }

    /// The event in `line`, or why there is none; `now` in Unix seconds.
    #[must_use]
    pub fn judge(&mut self, line: Line<'_>, origin: Origin, now: i64) -> Intake {
        let refuse =
            |origin, reason| Intake::Refused(RefusedLine { origin, reason, raw: line.bytes.to_vec(), part: line.part });
        if let LinePart::Piece { index, .. } = line.part {
            let reason = format!(
                "piece {} of a line of more than {} bytes, the longest that is taken",
                index + 1,
                self.rules.max_line_bytes
            );
            return refuse(origin, reason);
        }
        let rules = EventRules { now, max_skew: self.rules.max_skew };
        if self.rules.strict {
            let findings = validate::line_findings(line.bytes, line.number, &rules);
            if !findings.is_empty() {
                return refuse(origin, in_words(findings));
            }
        }
        let (event, implausible) = match validate::deliverable_event(line.bytes, line.number, &rules) {
            Ok(read) => read,
            Err(findings) => return refuse(origin, in_words(findings)),
        };
        let running_totals = self.watch.running_totals(&event);
        if self.rules.strict && !running_totals.is_empty() {
            return refuse(origin, in_words(validate::implausible_findings(&event, running_totals, &rules)));
        }
        let implausible = implausible.union(running_totals);
        if !implausible.is_empty() {
            warn_of(&self.watch.unreported(&event, implausible, &rules), &event, Some(&origin));
        }
        match EncodedEvent::of_sound(event, line.bytes) {
            Ok(encoded) => {
                Intake::Event(Box::new(Taken { encoded, origin, ticket: None, history: AttemptHistory::default() }))
            }
            Err(error) => refuse(origin, error.to_string()),
        }
    }
}

/// Logs what is implausible about an event that is delivered.
pub(super) fn warn_of(findings: &[Finding], event: &UsageEvent, origin: Option<&Origin>) {
    for finding in findings {
        tracing::warn!(
            instance_id = event.instance_id,
            place = origin.map(tracing::field::display),
            "an implausible event is delivered as it is: {finding}; more of the kind from this instance are not reported"
        );
    }
}

/// Findings as the reason of a refusal. A line may have as many as it has bytes.
fn in_words(findings: Vec<Finding>) -> String {
    let others = findings.len().saturating_sub(NAMED_FINDINGS);
    let mut words: Vec<String> = findings.into_iter().take(NAMED_FINDINGS).map(without_line).collect();
    if others > 0 {
        words.push(format!("and {others} more"));
    }
    words.join("; ")
}

/// A finding as text behind a place that names the line already.
fn without_line(mut finding: Finding) -> String {
    match finding.place.take().filter(|place| place.line > 0) {
        Some(place) => format!("column {}: {finding}", place.column),
        None => finding.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reason_of_a_line_with_very_many_faults_is_short() {
        let labels: Vec<String> = (0..5_000).map(|n| format!("\"k{n}\":1")).collect();
        let event = serde_json::to_string(&crate::events::tests::sample()).unwrap();
        let line = format!("{},\"labels\":{{{}}}}}", event.trim_end_matches('}').to_owned() + "}", labels.join(","));
        let origin = Origin { input: "test".into(), line: Some(1) };
        let line = Line { number: 1, bytes: line.as_bytes(), part: LinePart::Whole };
        let Intake::Refused(refused) = IntakeReader::default().judge(line, origin, 0) else { panic!("it is an event") };
        assert!(refused.reason.ends_with("; and 4980 more") && refused.reason.len() < 8_000, "{}", refused.reason);
    }
}
