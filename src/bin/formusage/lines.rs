//! Events line by line: what is an event is handed on, what is none is named.

use std::io::Read;

use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::events::{Line, LinePart, LineReader, UsageEvent};
use form_usage_events::validate::{EventRules, ImplausibleWatch, deliverable_event, in_seconds};

use crate::cli::LineArgs;
use crate::output::{printable, say};

/// So many invalid lines are named; the others are counted.
const NAMED: u64 = 100;

/// Reads lines as events the way they are delivered: what is implausible is an event, of which one warning is said for
/// each instance and kind.
#[derive(Debug)]
pub(crate) struct EventReader {
    max_skew: i64,
    watch: ImplausibleWatch,
}

impl EventReader {
    pub(crate) fn new(args: &LineArgs) -> Self {
        Self { max_skew: args.max_skew(), watch: ImplausibleWatch::default() }
    }

    /// The event in a line, with times in seconds, or every reason why there is none.
    pub(crate) fn read(&mut self, name: &str, text: &[u8], line: u64) -> Result<UsageEvent, Vec<String>> {
        let rules = EventRules { now: SystemClock.unix_seconds(), max_skew: self.max_skew };
        let read = deliverable_event(text, line, &rules);
        let (event, implausible) = read.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
        if implausible.is_empty() {
            return Ok(event);
        }
        for finding in self.watch.unreported(&event, implausible, &rules) {
            let instance = &event.instance_id;
            say(&format!(
                "{}:{line}: {finding}; it counts all the same, and more of the kind from {instance:?} are not shown",
                printable(name)
            ));
        }
        Ok(in_seconds(&event).into_owned())
    }
}

/// Hands on the events of inputs, and counts the lines that are none.
#[derive(Debug)]
pub(crate) struct Judge {
    events: EventReader,
    max_line_bytes: usize,
    /// Lines that are no event.
    pub(crate) invalid: u64,
}

impl Judge {
    pub(crate) fn new(args: &LineArgs) -> Self {
        Self { events: EventReader::new(args), max_line_bytes: args.max_line_bytes, invalid: 0 }
    }

    /// Hands on every event of an input, with its text and its line.
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

    /// The event in a line, with times in seconds; `None` where there is none, which is said.
    pub(crate) fn event(&mut self, name: &str, text: &[u8], line: u64) -> Option<UsageEvent> {
        match self.events.read(name, text, line) {
            Ok(event) => Some(event),
            Err(faults) => {
                self.invalid(name, &faults);
                None
            }
        }
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
