//! What is said when a run is ended by force: what became of its input, and where to go on.

use std::sync::Arc;

use form_usage_events::publish::{Accepted, AcceptedLines, Origin};

use super::ReadingEnd;
use crate::output::counted;
use crate::signals::Overdue;

const WITHOUT_SPOOL: &str = "ended by force, since finishing took longer than --drain-timeout: what became of the last \
     events is unknown; publishing the input again sends them under the same ids";
const WITH_SPOOL: &str = "ended by force, since finishing took longer than --drain-timeout: what was accepted waits in \
     the spool; look at it with: formusage spool status";

/// The message of a run without a spool.
pub(super) fn without_spool() -> Overdue {
    WITHOUT_SPOOL.into()
}

/// The message of a run through a spool: names where to go on where lines were read that are not in the spool.
pub(super) fn with_spool(accepted: AcceptedLines, reading: Arc<ReadingEnd>) -> Overdue {
    Overdue::new(move || {
        let (first, lines) = reading.handed_on();
        match left_over(&accepted.now(), first, lines) {
            Some(left_over) => format!("{WITH_SPOOL}.\n{left_over}"),
            None => WITH_SPOOL.to_owned(),
        }
    })
}

/// What is to be published again of `lines` lines that were read, the first of them at `first`. More may have been read
/// from a pipe that were not told apart yet.
fn left_over(accepted: &Accepted, first: Option<Origin>, lines: u64) -> Option<String> {
    let count = lines.checked_sub(accepted.lines).filter(|count| *count > 0)?;
    let next = |last: &Origin| Origin { input: last.input.clone(), line: last.line.map(|line| line + 1) };
    let place = accepted.last.as_ref().map(next).or(first)?;
    let lost = counted(count, "line that was read is", "lines that were read are");
    Some(format!("at least {lost} not in the spool; publish again from {place} on"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(line: u64) -> Origin {
        Origin { input: "events".into(), line: Some(line) }
    }

    #[test]
    fn forced_end_names_the_first_line_that_is_not_in_the_spool() {
        let some = Accepted { lines: 40, last: Some(at(41)) };
        let said = left_over(&some, Some(at(1)), 52).unwrap();
        assert_eq!(said, "at least 12 lines that were read are not in the spool; publish again from events:42 on");
        let said = left_over(&Accepted::default(), Some(at(1)), 1).unwrap();
        assert_eq!(said, "at least 1 line that was read is not in the spool; publish again from events:1 on");
        assert_eq!(left_over(&some, Some(at(1)), 40), None);
    }
}
