//! Findings: what is wrong, how bad it is, where it stands, and what to do.

use std::cmp::Ordering;
use std::fmt;

use serde::{Serialize, Serializer};

/// How bad a finding is; the worse is the greater. Errors make an input invalid, warnings alone do not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The input is valid, and probably not what was meant.
    Warning,
    /// The input is not valid.
    Error,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
        })
    }
}

/// Where in a text a finding stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Counted from 1; 0 where there is no text, only an event in memory.
    #[serde(skip_serializing_if = "is_zero")]
    pub line: u64,
    /// In characters (Unicode scalar values), counted from 1; 0 where there is no text.
    #[serde(skip_serializing_if = "is_zero")]
    pub column: u64,
    /// The JSON pointer (RFC 6901) of the value at fault within its document; empty for the document itself. What is
    /// missing is placed at the object that lacks it.
    pub pointer: String,
}

impl Place {
    /// A place in a value that was never text.
    #[must_use]
    pub fn pointer(pointer: impl Into<String>) -> Self {
        Self { line: 0, column: 0, pointer: pointer.into() }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // what serde calls
fn is_zero(number: &u64) -> bool {
    *number == 0
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// What kind of fault a finding is. The names are stable: tools may match on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $variant,)*
        }

        impl Code {
            /// Every code, in the order of this list.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable name, e.g. `unknown-field`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }

        impl std::str::FromStr for Code {
            type Err = UnknownCode;

            fn from_str(text: &str) -> Result<Self, UnknownCode> {
                match text {
                    $($name => Ok(Self::$variant),)*
                    _ => Err(UnknownCode(text.to_owned())),
                }
            }
        }
    };
}

codes! {
    // The text.
    /// The text is not JSON, in a way that no other code names.
    InvalidJson = "invalid-json",
    /// A comma with nothing behind it.
    TrailingComma = "trailing-comma",
    /// A comment; JSON has none.
    Comment = "comment",
    /// A string, an array or an object that is never closed.
    Unclosed = "unclosed",
    /// Something stands behind the end of the document.
    TrailingText = "trailing-text",
    /// Bytes that are not UTF-8.
    InvalidUtf8 = "invalid-utf8",
    /// A `\u` escape that is half of a surrogate pair.
    LoneSurrogate = "lone-surrogate",
    /// A control character (NUL included) in the text or in an id, or one in an id that turns the direction of text.
    ControlCharacter = "control-character",
    /// Values nested more than 128 deep.
    TooDeep = "too-deep",
    /// A key that stands twice in one object.
    DuplicateKey = "duplicate-key",
    /// A number past what a 64-bit float holds.
    NumberTooLarge = "number-too-large",
    /// A line, a document or a description that is longer than the limit.
    TooLong = "too-long",
    /// Nothing to validate.
    Empty = "empty",
    /// Events in one JSON document, where commands that read events take one a line.
    EventDocument = "event-document",
    // Its shape.
    /// JSON that is neither a usage event, nor a threshold, nor a channels file, nor a file of cases.
    Unrecognized = "unrecognized",
    /// Events, thresholds, channels or cases in one input.
    Mixed = "mixed",
    /// A field that the format does not know.
    UnknownField = "unknown-field",
    /// A required field under a wrong name.
    MisspeltField = "misspelt-field",
    /// A required field that is in the wrong object.
    MisplacedField = "misplaced-field",
    /// A required field that is not there.
    MissingField = "missing-field",
    /// A value of the wrong JSON type.
    WrongType = "wrong-type",
    // Events.
    /// A number outside its limits.
    OutOfRange = "out-of-range",
    /// A figure that is infinite or not a number.
    NotFinite = "not-finite",
    /// A percentage that looks a hundred times too large: 12.5 sent as 1250.
    PercentageTimes100 = "percentage-times-100",
    /// A time in milliseconds, microseconds or nanoseconds.
    NotSeconds = "not-seconds",
    /// More CPU or GPU time than a machine has in the period: milliseconds, or a total since boot.
    ImplausibleTime = "implausible-time",
    /// More memory, storage or traffic than there is: bytes for GB.
    ImplausibleSize = "implausible-size",
    /// A period of more than 31 days, or one that begins before the year 2000.
    ImplausiblePeriod = "implausible-period",
    /// A period whose end is not after its start.
    PeriodOrder = "period-order",
    /// An event that was stamped before its period had ended.
    StampedEarly = "stamped-early",
    /// A timestamp that lies in the future.
    FutureTimestamp = "future-timestamp",
    /// An `event_type` other than `resource_usage`.
    EventType = "event-type",
    /// A version of the format other than 1.x.
    UnsupportedVersion = "unsupported-version",
    /// An id without a character.
    EmptyId = "empty-id",
    /// An id of more than 256 bytes.
    IdTooLong = "id-too-long",
    /// An id that is blank, begins or ends with a blank, or holds a character that nobody sees.
    UnreadableId = "unreadable-id",
    // Streams of events.
    /// Time between two periods of an instance that no event covers.
    PeriodGap = "period-gap",
    /// Time that two events of an instance cover.
    PeriodOverlap = "period-overlap",
    /// The same event again.
    RepeatedEvent = "repeated-event",
    /// Two different events of one instance and period.
    ConflictingEvents = "conflicting-events",
    /// An event behind a later one of its instance.
    OutOfOrder = "out-of-order",
    /// A metric that only grows, event after event: a total, and not what the period consumed.
    RunningTotal = "running-total",
    // Thresholds.
    /// Two thresholds with one id.
    DuplicateId = "duplicate-id",
    /// A name that is none of those allowed here.
    UnknownVariant = "unknown-variant",
    /// A unit that does not exist.
    UnknownUnit = "unknown-unit",
    /// A unit that does not measure this resource.
    UnitMismatch = "unit-mismatch",
    /// A percentage of a resource whose events carry none.
    NoPercentage = "no-percentage",
    /// Text that is no span of time such as `5m`.
    InvalidSpan = "invalid-span",
    /// A notification without a channel to go to.
    NoChannels = "no-channels",
    /// A limit that nothing can exceed.
    NeverExceeded = "never-exceeded",
    /// A limit that everything exceeds.
    AlwaysExceeded = "always-exceeded",
    /// A threshold that adds nothing to a broader one.
    HiddenThreshold = "hidden-threshold",
    /// A `for` that is no multiple of the period of events.
    HoldBetweenPeriods = "hold-between-periods",
    /// A `no_data_after` that is no longer than the period of events.
    SilenceWithinPeriod = "silence-within-period",
    /// A `no_data_after` of a threshold that tells nobody of a silence.
    SilenceNotTold = "silence-not-told",
    /// A channel that nothing binds.
    UnboundChannel = "unbound-channel",
    /// An action that nothing binds.
    UnboundAction = "unbound-action",
    // Channels.
    /// A secret that stands in the file itself.
    PlainSecret = "plain-secret",
    /// A password that would be sent without encryption.
    CleartextPassword = "cleartext-password",
    /// Text that is no address of a mailbox.
    InvalidAddress = "invalid-address",
    /// Text that is no URL that can be used.
    InvalidUrl = "invalid-url",
    /// A list that needs one entry at least, and has none.
    EmptyList = "empty-list",
    // Tests of thresholds.
    /// Text that is no series of events.
    InvalidSeries = "invalid-series",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that is the name of no code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no code {0:?}{near}", near = near(.0))]
pub struct UnknownCode(String);

fn near(text: &str) -> String {
    let nearest = super::names::nearest(text, Code::ALL.iter().map(|code| code.as_str()));
    match nearest {
        Some(name) => format!("; did you mean {name:?}?"),
        None => "; formusage validate --explain lists all codes".to_owned(),
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// What to do about an input that holds nothing.
pub(super) const NOTHING: &str = "remove it, or look for what should have written it";

/// One fault.
///
/// Displayed as one line for people, to be put behind the file's name and a colon:
/// `3:17: error[misspelt-field]: …`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its kind, under a stable name.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// Where it stands.
    pub place: Option<Place>,
    /// What is wrong, with the field's name.
    pub message: String,
    /// What stands there, as JSON or in words, shortened where it is long.
    pub found: Option<String>,
    /// What should stand there.
    pub expected: Option<String>,
    /// What to do.
    pub help: Option<String>,
}

impl Finding {
    /// An error without a place and without details.
    #[must_use]
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            place: None,
            message: message.into(),
            found: None,
            expected: None,
            help: None,
        }
    }

    /// A warning without a place and without details.
    #[must_use]
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// The same at `place`.
    #[must_use]
    pub fn at(self, place: Place) -> Self {
        Self { place: Some(place), ..self }
    }

    /// The same with what was found.
    #[must_use]
    pub fn found(self, found: impl Into<String>) -> Self {
        Self { found: Some(found.into()), ..self }
    }

    /// The same with what was expected.
    #[must_use]
    pub fn expected(self, expected: impl Into<String>) -> Self {
        Self { expected: Some(expected.into()), ..self }
    }

    /// The same with what to do.
    #[must_use]
    pub fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }

    /// The same in a document that people write, where a field that nobody knows would be a setting that nobody heeds.
    pub(super) fn with_unknown_fields_as_errors(self) -> Self {
        let severity = if self.code == Code::UnknownField { Severity::Error } else { self.severity };
        Self { severity, ..self }
    }

    /// Orders findings as they stand in the text; what has no place comes first.
    #[must_use]
    pub fn by_place(&self, other: &Self) -> Ordering {
        self.place.cmp(&other.place)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line: line @ 1.., column, .. }) = &self.place {
            write!(f, "{line}:{column}: ")?;
        }
        write!(f, "{}[{}]: {}", self.severity, self.code, self.message)?;
        match (&self.found, &self.expected) {
            (Some(found), Some(expected)) => write!(f, ": found {found}, expected {expected}")?,
            (Some(found), None) => write!(f, ": found {found}")?,
            (None, Some(expected)) => write!(f, ": expected {expected}")?,
            (None, None) => {}
        }
        self.help.iter().try_for_each(|help| write!(f, "; {help}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line_for_people() {
        let finding = Finding::error(Code::WrongType, "`timestamp` has the wrong type")
            .at(Place { line: 3, column: 17, pointer: "/timestamp".into() })
            .found("the string \"30\"")
            .expected("whole seconds")
            .help("remove the quotes");
        assert_eq!(
            finding.to_string(),
            "3:17: error[wrong-type]: `timestamp` has the wrong type: found the string \"30\", expected whole seconds; \
             remove the quotes"
        );
        let plain = Finding::warning(Code::Empty, "nothing there").at(Place::pointer(""));
        assert_eq!(plain.to_string(), "warning[empty]: nothing there");
    }

    #[test]
    fn codes_are_kebab_case_and_differ() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        for name in &names {
            assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')), "{name}");
        }
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
    }
}
