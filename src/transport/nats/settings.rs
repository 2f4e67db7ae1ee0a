//! What a stream's settings do to events: refuse them, leave them unacknowledged, drop them later. Pure.

use std::time::Duration;

use serde::Deserialize;

/// A stream as JetStream describes it, as far as it matters here.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct StreamInfo {
    /// When it was made, as the server writes it. A stream of the same name that was made anew has another time.
    #[serde(default)]
    pub(crate) created: Option<String>,
    pub(crate) config: StreamSettings,
    #[serde(default)]
    pub(crate) state: StreamState,
}

/// A stream's settings. A limit of 0 or less is none.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct StreamSettings {
    pub(crate) name: String,
    subjects: Vec<String>,
    no_ack: bool,
    sealed: bool,
    /// `old` or `new`: what a full stream refuses.
    discard: String,
    /// `limits`, `interest` or `workqueue`.
    retention: String,
    max_msgs: i64,
    max_bytes: i64,
    max_msgs_per_subject: i64,
    /// In nanoseconds.
    max_age: u64,
    /// In nanoseconds.
    duplicate_window: u64,
}

/// What a stream holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct StreamState {
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    pub(crate) last_seq: u64,
    consumer_count: u64,
}

/// Something about a stream that is not as events need it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamFault {
    /// What was found, the stream's name in it.
    pub(crate) found: String,
    /// What events need.
    pub(crate) expected: &'static str,
    /// What to do.
    pub(crate) fix: String,
}

impl StreamSettings {
    /// How long repeats are known.
    pub(crate) const fn duplicate_window(&self) -> Duration {
        Duration::from_nanos(self.duplicate_window)
    }

    /// Why no event that is published to `subject` is known to be in the stream.
    pub(crate) fn refusal(&self, subject: &str) -> Option<StreamFault> {
        let name = &self.name;
        if !self.subjects.iter().any(|pattern| covers(pattern, subject)) {
            return Some(StreamFault {
                found: format!(
                    "the stream {name:?} takes {} and not {subject:?}",
                    shortened(&self.subjects.join(", "))
                ),
                expected: "a stream that takes the subject",
                fix: format!("add the subject (nats stream edit {name} --subjects …), or correct the destination URL"),
            });
        }
        if self.no_ack {
            return Some(StreamFault {
                found: format!("the stream {name:?} acknowledges nothing (no_ack)"),
                expected: "acknowledgements, without which no event is known to be taken",
                fix: format!("turn them on: nats stream edit {name} --ack"),
            });
        }
        self.sealed.then(|| StreamFault {
            found: format!("the stream {name:?} is sealed and takes nothing more"),
            expected: "a stream that takes events",
            fix: "publish to another stream".to_owned(),
        })
    }

    /// By which of its limits the stream drops events that it has acknowledged, read or not. All events have the same
    /// subject.
    pub(crate) fn drops(&self, state: &StreamState) -> Vec<StreamFault> {
        let name = &self.name;
        let mut faults = Vec::new();
        let mut fault = |found: String, fix: String| {
            faults.push(StreamFault {
                found,
                expected: "a stream that keeps events until they are removed on purpose",
                fix,
            });
        };
        if self.retention == "interest" && state.consumer_count == 0 {
            fault(
                format!(
                    "the stream {name:?} keeps events for its consumers only and has none: it drops each one at once"
                ),
                format!(
                    "add a consumer before events are published (nats consumer add {name}), or make a stream with the retention limits"
                ),
            );
        }
        // With `new` a full stream refuses, and events wait where they are.
        if self.discard != "new" {
            let limits = [
                (self.max_msgs, format!("{} events", self.max_msgs), "--max-msgs=-1"),
                (self.max_bytes, format!("{} bytes of events", self.max_bytes), "--max-bytes=-1"),
                (
                    self.max_msgs_per_subject,
                    format!("{} events of a subject", self.max_msgs_per_subject),
                    "--max-msgs-per-subject=-1",
                ),
            ];
            for (_, held, option) in limits.into_iter().filter(|(limit, ..)| *limit > 0) {
                fault(
                    format!(
                        "the stream {name:?} keeps {held} and drops the oldest for new ones, read or not (discard old)"
                    ),
                    format!(
                        "have it refuse new ones instead (nats stream edit {name} --discard=new), or lift the limit ({option})"
                    ),
                );
            }
        }
        if let Some(age) = self.max_age() {
            fault(
                format!("the stream {name:?} drops events after {}, read or not (max_age)", in_words(age)),
                format!("read them in time, or keep them longer (nats stream edit {name} --max-age=…)"),
            );
        }
        faults
    }

    /// How long events are kept, where that has a limit.
    pub(crate) fn max_age(&self) -> Option<Duration> {
        Some(Duration::from_nanos(self.max_age)).filter(|age| !age.is_zero())
    }

    /// Takes the limit of age away.
    pub(crate) const fn keep_for_ever(&mut self) {
        self.max_age = 0;
    }

    /// Whether nothing more fits in, and the stream refuses what is new.
    pub(crate) fn is_full(&self, state: &StreamState) -> bool {
        let full = |limit: i64, held: u64| u64::try_from(limit).is_ok_and(|limit| limit > 0 && held >= limit);
        self.discard == "new" && (full(self.max_msgs, state.messages) || full(self.max_bytes, state.bytes))
    }
}

/// What a stream has dropped between two looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// Messages of whomever.
    pub(crate) messages: u64,
    /// Of those that were published between the looks, at least so many.
    pub(crate) published: u64,
}

/// What a stream dropped between the states `before` and `after`, where `published` messages of ours came in between and
/// `held` messages have our subject now.
pub(crate) fn dropped(before: &StreamState, after: &StreamState, published: u64, held: u64) -> Dropped {
    let came = after.last_seq.saturating_sub(before.last_seq);
    Dropped {
        messages: before.messages.saturating_add(came).saturating_sub(after.messages),
        published: published.saturating_sub(held),
    }
}

/// A duration in its largest whole unit, roughly.
pub(crate) fn in_words(duration: Duration) -> String {
    match duration.as_secs() {
        seconds if seconds >= 2 * 86_400 => format!("{} days", seconds / 86_400),
        seconds if seconds >= 2 * 3_600 => format!("{} hours", seconds / 3_600),
        seconds if seconds >= 120 => format!("{} minutes", seconds / 60),
        0 => format!("{duration:?}"),
        seconds => format!("{seconds} s"),
    }
}

/// A server's text in a message: on one line and not too long.
fn shortened(text: &str) -> String {
    const CHARS: usize = 120;
    crate::plain_text::excerpt(text, CHARS)
}

/// Whether `pattern`, with `*` for one token and `>` for those to the end, takes `subject`.
fn covers(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for part in pattern.split('.') {
        match (part, tokens.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (part, Some(token)) if part == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// What a stream for `subject` is called: without a name of its own as its subject, but for the dots, which a name may not
/// have.
pub(super) fn stream_name(subject: &str, name: Option<&str>) -> String {
    name.map_or_else(|| subject.replace('.', "_"), str::to_owned)
}

/// How to make the stream for `subject`, called `name` where it has a name of its own.
pub(crate) fn how_to_make(subject: &str, name: Option<&str>) -> String {
    let name = stream_name(subject, name);
    format!("make one (formusage publish --create-stream, or nats stream add {name} --subjects {subject})")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(json: &str) -> StreamSettings {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn patterns_of_subjects() {
        for (pattern, subject, expected) in [
            ("usage.events", "usage.events", true),
            ("usage.*", "usage.events", true),
            ("usage.>", "usage.events.a", true),
            (">", "usage", true),
            ("usage.>", "usage", false),
            ("usage.*", "usage.events.a", false),
            ("usage", "usage.events", false),
            ("usage.events", "usage", false),
        ] {
            assert_eq!(covers(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn streams_that_take_no_events_say_why() {
        let refusal = |json: &str| settings(json).refusal("usage").map(|fault| fault.found);
        assert_eq!(refusal(r#"{"name":"S","subjects":["usage"]}"#), None);
        let refused = |json: &str, words: &str| assert!(refusal(json).unwrap().contains(words), "{json}");
        refused(r#"{"name":"S","subjects":["other","a.>"]}"#, "takes other, a.> and not \"usage\"");
        refused(r#"{"name":"S","mirror":{"name":"T"}}"#, "and not \"usage\"");
        refused(r#"{"name":"S","subjects":["usage"],"no_ack":true}"#, "acknowledges nothing");
        refused(r#"{"name":"S","subjects":["usage"],"sealed":true}"#, "sealed");
    }

    #[test]
    fn streams_that_drop_say_by_which_limit() {
        let drops = |json: &str| {
            let faults = settings(json).drops(&StreamState::default());
            faults.into_iter().map(|fault| fault.found + &fault.fix).collect::<Vec<_>>()
        };
        for (json, words) in [
            (r#"{"discard":"old","max_msgs":10}"#, "keeps 10 events and drops the oldest"),
            (r#"{"discard":"old","max_bytes":999}"#, "keeps 999 bytes of events"),
            (r#"{"discard":"old","max_msgs_per_subject":1}"#, "keeps 1 events of a subject"),
            (r#"{"discard":"new","max_age":3600000000000}"#, "drops events after 60 minutes"),
            (r#"{"discard":"new","retention":"interest"}"#, "has none"),
        ] {
            let found = drops(json);
            assert!(found.len() == 1 && found[0].contains(words), "{json}: {found:?}");
        }
        assert_eq!(drops(r#"{"discard":"old","max_msgs":1,"max_bytes":1,"max_age":1}"#).len(), 3);
        for json in [
            r#"{"discard":"old","max_msgs":-1,"max_bytes":-1,"max_msgs_per_subject":-1,"max_age":0,"retention":"limits"}"#,
            r#"{"discard":"new","max_msgs":10,"max_bytes":10,"max_msgs_per_subject":10}"#,
        ] {
            assert_eq!(drops(json), [""; 0], "{json}");
        }
    }

    #[test]
    fn what_was_dropped_is_counted() {
        let state = |messages, last_seq| StreamState { messages, last_seq, ..StreamState::default() };
        let count = |before, after, published, held| {
            let dropped = dropped(&before, &after, published, held);
            (dropped.messages, dropped.published)
        };
        assert_eq!(count(state(0, 0), state(15, 15), 15, 15), (0, 0));
        assert_eq!(count(state(0, 0), state(10, 15), 15, 10), (5, 5));
        assert_eq!(count(state(10, 10), state(10, 15), 5, 10), (5, 0), "those of others");
        assert_eq!(count(state(4, 4), state(10, 16), 12, 10), (6, 2));
        assert_eq!(count(state(4, 90), state(0, 0), 3, 0), (4, 3), "made anew in between");
    }

    #[test]
    fn durations_in_words() {
        let words = |seconds| in_words(Duration::from_secs(seconds));
        assert_eq!([words(90), words(120), words(7_200), words(172_800)], ["90 s", "2 minutes", "2 hours", "2 days"]);
    }
}
