//! Validation: every fault of an event, a stream of events or a threshold file, each with its place and its fix.
//!
//! - [`Finding`], [`Code`], [`Severity`], [`Place`]: what is said about a fault;
//! - [`is_valid`], [`event_findings`]: the rules for an event in memory;
//! - [`line_findings`]: one line of NDJSON, with exact places, whatever the line holds;
//! - [`deliverable_event`], [`ImplausibleWatch`]: what is delivered though it can hardly be true;
//! - [`threshold_findings`]: a threshold file;
//! - [`case_findings`]: a file with tests of thresholds;
//! - [`NotEventLines`]: what an input is that does not hold one event a line;
//! - [`ContentValidator`]: whole inputs (events, thresholds, channels, cases), told apart by their content;
//! - [`explain`]: what each code means;
//! - [`EventView`]: an event where it stands, for who reads millions of them;
//! - [`continuity`]: whether the periods of each instance follow one another.
//!
//! All of it is pure: the time of day comes in through [`EventRules`].

mod bindings;
mod cases;
mod channels;
mod content;
pub mod continuity;
mod event;
mod event_lines;
pub mod explain;
mod finding;
mod glance;
mod id_characters;
mod implausible;
mod json;
mod levels;
pub(crate) mod names;
mod plausible;
mod rules;
mod scan;
#[cfg(feature = "schema")]
pub mod schema;
mod shape;
mod states;
mod threshold;
mod together;
mod view;

pub use bindings::{Bindings, BindingsError};
pub use content::{ContentOptions, ContentValidator, Kind, Located, MAX_DOCUMENT_BYTES, Tally};
pub use event_lines::NotEventLines;
pub use finding::{Code, Finding, Place, Severity, UnknownCode};
pub(crate) use id_characters::is_invisible;
pub use implausible::{Implausible, ImplausibleWatch, deliverable_event, event_implausible, in_seconds};
pub(crate) use implausible::{event_faults, implausible_findings};
pub use levels::{Level, Levels};

#[doc(hidden)]
pub use view::agrees;
pub use view::{EventSieve, EventView};

use crate::events::UsageEvent;
#[cfg(feature = "report")]
pub(crate) use plausible::is_period_implausible;
use shape::{Context, Spot};

/// How far in the future a timestamp may lie unless set otherwise, in seconds: clocks of hosts differ a little.
pub const DEFAULT_MAX_SKEW_SECONDS: i64 = 300;

/// What the rules for events depend on beside the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRules {
    /// The time of validation, in Unix seconds.
    pub now: i64,
    /// How far behind `now` a timestamp may lie, in seconds; [`DEFAULT_MAX_SKEW_SECONDS`] is a good choice.
    pub max_skew: i64,
}

impl EventRules {
    /// The rules at `now` (Unix seconds), with [`DEFAULT_MAX_SKEW_SECONDS`].
    #[must_use]
    pub const fn at(now: i64) -> Self {
        Self { now, max_skew: DEFAULT_MAX_SKEW_SECONDS }
    }
}

/// Every fault and every oddity of `event`. Places have only a pointer: there is no text.
#[must_use]
pub fn event_findings(event: &UsageEvent, rules: &EventRules) -> Vec<Finding> {
    let mut findings = Vec::new();
    let values = event.into();
    rules::faults(&values, rules, |fault| findings.push(fault.into_finding()));
    plausible::oddities(&values, |oddity| findings.push(oddity.into_finding()));
    findings
}

/// Whether [`event_findings`] finds no error, without allocating.
#[must_use]
pub fn is_valid(event: &UsageEvent, rules: &EventRules) -> bool {
    let mut valid = true;
    rules::faults(&event.into(), rules, |_| valid = false);
    valid
}

/// The event of a line about which [`line_findings`] would have nothing to say; `None` for any line that needs the exact
/// look. As fast as reading the event alone.
#[must_use]
pub fn clean_event(text: &[u8], rules: &EventRules) -> Option<UsageEvent> {
    glance::clean(text, rules).map(UsageEvent::from)
}

/// Every fault and every oddity of one line of NDJSON, in the order in which they stand; `line` is its number, from 1.
///
/// The line is valid when none of the findings is an error.
#[must_use]
pub fn line_findings(text: &[u8], line: u64, rules: &EventRules) -> Vec<Finding> {
    if glance::is_clean(text, rules) {
        return Vec::new();
    }
    exact_findings(text, line, rules)
}

/// What the exact reader says, which has the last word.
fn exact_findings(text: &[u8], line: u64, rules: &EventRules) -> Vec<Finding> {
    exact_findings_with(text, line, rules, Severity::Error)
}

/// The same, where `implausible` is the severity of what is delivered all the same.
fn exact_findings_with(text: &[u8], line: u64, rules: &EventRules, implausible: Severity) -> Vec<Finding> {
    collect(|report| {
        let text = json::Text::new(text, line, report);
        if let Some(root) = json::read(&text, report) {
            let context = &mut Context { text: &text, report };
            let _ = event::check_with(&Spot::root(&root), rules, implausible, context);
        }
    })
}

/// Every fault and every oddity of a threshold file, in the order in which they stand.
///
/// The file holds one threshold or an array of them; a byte-order mark at its start is skipped. Behind ten thousand faulty
/// ones no further threshold is looked at.
#[must_use]
pub fn threshold_findings(text: &[u8]) -> Vec<Finding> {
    first_threshold_findings(text, usize::MAX).findings
}

/// As [`threshold_findings`], of which the first `most` errors and the first `most` warnings are kept: a text may have
/// millions.
#[must_use]
pub fn first_threshold_findings(text: &[u8], most: usize) -> FirstFindings {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    FirstFindings::collect(most, |report| {
        let text = json::Text::new(text, 1, report);
        if let Some(root) = json::read(&text, report) {
            threshold::check_file(&root, &mut threshold::Run::default(), "", &mut Context { text: &text, report });
        }
    })
}

/// Every fault and every oddity of a file with tests of thresholds, in the order in which they stand; a byte-order mark at
/// its start is skipped.
#[must_use]
pub fn case_findings(text: &[u8]) -> Vec<Finding> {
    first_case_findings(text, usize::MAX).findings
}

/// As [`case_findings`], of which the first `most` errors and the first `most` warnings are kept.
#[must_use]
pub fn first_case_findings(text: &[u8], most: usize) -> FirstFindings {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    FirstFindings::collect(most, |report| {
        let text = json::Text::new(text, 1, report);
        if text.as_str().trim_ascii().is_empty() {
            report(Finding::error(Code::Empty, "there is nothing in it").help(finding::NOTHING).at(text.place(0, "")));
        } else if let Some(root) = json::read(&text, report) {
            cases::check(&Spot::root(&root), "", &mut Context { text: &text, report });
        }
    })
}

/// What a JSON document unmistakably holds that is no threshold, for people: thresholds share folders with their tests and
/// with channels.
pub(crate) fn other_document(text: &[u8]) -> Option<&'static str> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let text = json::Text::new(text, 1, &mut |_| {});
    let root = json::read(&text, &mut |_| {})?;
    let json::Value::Object(members) = &root.value else { return None };
    let has = |name: &str| members.iter().any(|member| member.key == name);
    if threshold::looks_like_threshold(&root) {
        None
    } else if has("cases") {
        Some("tests of thresholds")
    } else if has("channels") || has("actions") {
        Some("channels")
    } else {
        None
    }
}

/// The first findings of a text, and how many more there are.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FirstFindings {
    /// Those that were kept, as they stand in the text.
    pub findings: Vec<Finding>,
    /// Errors that were not kept.
    pub errors_left_out: u64,
    /// Warnings that were not kept.
    pub warnings_left_out: u64,
}

impl FirstFindings {
    fn collect(most: usize, check: impl FnOnce(&mut dyn FnMut(Finding))) -> Self {
        let mut first = Self::default();
        let mut kept = [0; 2];
        check(&mut |finding| {
            let [errors, warnings] = &mut kept;
            let (kept, left_out) = match finding.severity {
                Severity::Error => (errors, &mut first.errors_left_out),
                Severity::Warning => (warnings, &mut first.warnings_left_out),
            };
            if *kept < most {
                *kept += 1;
                first.findings.push(finding);
            } else {
                *left_out += 1;
            }
        });
        first.findings.sort_by(Finding::by_place);
        first
    }
}

/// The findings that `check` reports, as they stand in the text.
fn collect(check: impl FnOnce(&mut dyn FnMut(Finding))) -> Vec<Finding> {
    FirstFindings::collect(usize::MAX, check).findings
}

#[cfg(test)]
mod tests;
