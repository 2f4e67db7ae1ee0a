//! Events line by line: what is valid is handed on, what is not is named.

use std::io::Read;

use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::events::{Line, LinePart, LineReader, UsageEvent};
use form_usage_events::validate::{EventRules, Severity, clean_event, line_findings};

use crate::cli::LineArgs;
use crate::output::say;

/// So many invalid lines are named; the others are counted.
const NAMED: u64 = 100;

/// Judges lines, and counts those that are no valid events.
#[derive(Debug)]
pub(crate) struct Judge {
    max_skew: i64,
    max_line_bytes: usize,
    /// Lines that are no valid event.
    pub(crate) invalid: u64,
}

impl Judge {
    pub(crate) fn new(args: &LineArgs) -> Self {
        Self { max_skew: args.max_skew(), max_line_bytes: args.max_line_bytes, invalid: 0 }
    }

    /// Hands on every valid event of an input, with its text and its line.
    pub(crate) fn read(
        &mut self,
        name: &str,
        input: impl Read,
        mut event: impl FnMut(&UsageEvent, &[u8], u64),
    ) -> anyhow::Result<()> {
        let mut lines = LineReader::with_limit(input, self.max_line_bytes);
        loop {
            match lines.next_line() {
                Ok(Some(Line { bytes, number, part: LinePart::Whole })) => {
                    if let Some(found) = self.event(name, bytes, number) {
                        event(&found, bytes, number);
                    }
                }
                Ok(Some(Line { number, part: LinePart::Piece { index: 0, .. }, .. })) => {
                    let limit = self.max_line_bytes;
                    let fault = format!("{number}:1: error[too-long]: the line is longer than {limit} bytes");
                    self.invalid(name, &[format!("{fault}; --max-line-bytes accepts longer ones")]);
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(error) => {
                    let place = format!("can't read {name} beyond line {}", lines.lines());
                    return Err(anyhow::Error::new(error).context(place));
                }
            }
        }
    }

    /// The event in a line; `None` where it is not valid, which is said.
    pub(crate) fn event(&mut self, name: &str, text: &[u8], line: u64) -> Option<UsageEvent> {
        let rules = EventRules { now: SystemClock.unix_seconds(), max_skew: self.max_skew };
        if let Some(event) = clean_event(text, &rules) {
            return Some(event);
        }
        // What is valid is what `validate` calls so, down to fields that are not known.
        let mut faults: Vec<String> = line_findings(text, line, &rules)
            .iter()
            .filter(|finding| finding.severity == Severity::Error)
            .map(ToString::to_string)
            .collect();
        if faults.is_empty() {
            match serde_json::from_slice(text) {
                Ok(event) => return Some(event),
                Err(error) => faults.push(format!("{line}:1: error: {error}")),
            }
        }
        self.invalid(name, &faults);
        None
    }

    fn invalid(&mut self, name: &str, faults: &[String]) {
        self.invalid += 1;
        if self.invalid <= NAMED {
            faults.iter().for_each(|fault| say(&format!("{name}:{fault}")));
        } else if self.invalid == NAMED + 1 {
            say("further invalid lines are counted and not shown; formusage validate shows all of them");
        }
    }
}
