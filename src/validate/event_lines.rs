//! Whether an input is what commands that read one event a line can read, going by its beginning: a document in their
//! place would be as many faults as it has lines.

use super::content::{Continuation, continues};
use super::json::{self, Text};
use super::{cases, channels, threshold};

/// What an input is in place of events, one a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotEventLines {
    /// An array, which is one JSON document.
    Array,
    /// JSON that goes over several lines.
    SeveralLines,
    /// Thresholds.
    Thresholds,
    /// A channels file.
    Channels,
    /// Tests of thresholds.
    Cases,
    /// Text in another format, by its name, and what to do with it.
    OtherFormat(&'static str, &'static str),
}

impl NotEventLines {
    /// What the input that begins with `start` is in place of events, one a line. `None` where it may be that: a few
    /// faulty lines do not make another kind of input, and what can't be told from the beginning is left to who reads on.
    #[must_use]
    pub fn at_start(start: &[u8]) -> Option<Self> {
        let start = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
        let lines = || start.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let (first, second) = (lines().next()?, lines().nth(1));
        let is_event = |line: &[u8]| line.starts_with(b"{") && line.ends_with(b"}") && has_key(line, "event_type");
        let has_event_line = || lines().any(is_event);
        // An event that no comma and no bracket follows stands in no document, whatever line came before it: one stray
        // bracket must not refuse all that a pipe still brings.
        let has_lone_event = || {
            let following = lines().skip(1).map(Some).chain([None]);
            lines().zip(following).any(|(line, next)| is_event(line) && next.is_none_or(|next| next.starts_with(b"{")))
        };
        let goes_on = || match continues(first) {
            Some(Continuation::Object) => second.is_some(),
            // An object where the first is still open is a line that was cut.
            Some(Continuation::Anything) => second.is_some_and(|line| !line.starts_with(b"{")),
            None => false,
        };
        match first.first()? {
            b'[' | b'{' if second.is_some() && has_lone_event() => None,
            b'[' if is_array(start) => {
                let is_line_among_lines = first.ends_with(b"]") && second.is_some_and(|line| line.starts_with(b"{"));
                (!is_line_among_lines).then(|| document(start).unwrap_or(Self::Array))
            }
            b'{' if goes_on() => Some(document(start).unwrap_or(Self::SeveralLines)),
            _ if has_event_line() => None,
            b'{' => kind_of_line(first),
            _ => {
                let (format, help) =
                    json::other_format(std::str::from_utf8(start).ok()?).filter(|_| second.is_some())?;
                Some(Self::OtherFormat(format, help))
            }
        }
    }
}

/// Whether what begins with a bracket is an array of objects, and not a line of a log or a table of TOML.
fn is_array(start: &[u8]) -> bool {
    let inside = start.trim_ascii_start().get(1..).unwrap_or_default().trim_ascii_start();
    matches!(inside.first(), None | Some(b'{' | b']'))
}

/// What a document holds beside events, by the keys in its beginning.
fn document(start: &[u8]) -> Option<NotEventLines> {
    let any = |keys: &[&str]| keys.iter().any(|key| has_key(start, key));
    if any(&["event_type", "metrics"]) {
        None
    } else if any(&["threshold_type", "resource_type", "notification_channels"]) {
        Some(NotEventLines::Thresholds)
    } else if any(&["cases", "threshold_files"]) {
        Some(NotEventLines::Cases)
    } else if any(&["channels", "actions"]) {
        Some(NotEventLines::Channels)
    } else {
        None
    }
}

/// What an object on a line of its own is, where it is no event.
fn kind_of_line(line: &[u8]) -> Option<NotEventLines> {
    let text = Text::new(line, 1, &mut |_| {});
    let root = json::read(&text, &mut |_| {})?;
    if threshold::looks_like_threshold(&root) {
        Some(NotEventLines::Thresholds)
    } else if cases::looks_like_cases(&root) {
        Some(NotEventLines::Cases)
    } else if channels::looks_like_channels(&root) {
        Some(NotEventLines::Channels)
    } else {
        None
    }
}

fn has_key(text: &[u8], key: &str) -> bool {
    memchr::memmem::find(text, format!("\"{key}\"").as_bytes()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::tests::sample;

    #[test]
    fn documents_and_other_formats_are_no_event_lines() {
        let event = serde_json::to_string(&sample()).unwrap();
        let pretty = serde_json::to_string_pretty(&sample()).unwrap();
        let threshold = r#"{"id":"a","resource_type":"Cpu","threshold_type":{"Percentage":{"value":80}}}"#;
        let array = format!("[{event},{event}]");
        for (text, expected) in [
            (event.clone(), None),
            (format!("{event}\n{event}\n"), None),
            (format!("{array}\n"), Some(NotEventLines::Array)),
            (array[..500].to_owned(), Some(NotEventLines::Array)),
            (format!("[\n{event},\n{event}\n]\n"), Some(NotEventLines::Array)),
            (format!("\u{feff}[\n  {pretty}\n]\n"), Some(NotEventLines::Array)),
            ("[]\n".into(), Some(NotEventLines::Array)),
            (pretty.clone(), Some(NotEventLines::SeveralLines)),
            (format!("{pretty}\n{pretty}\n"), Some(NotEventLines::SeveralLines)),
            (threshold.into(), Some(NotEventLines::Thresholds)),
            (format!("[{threshold}]"), Some(NotEventLines::Thresholds)),
            (format!("[\n  {threshold}\n]"), Some(NotEventLines::Thresholds)),
            (r#"{"channels":{"mail":{"smtp":{}}}}"#.into(), Some(NotEventLines::Channels)),
            ("{\n \"threshold_files\": [],\n \"cases\": []\n}".into(), Some(NotEventLines::Cases)),
            // Faulty lines among others.
            (format!("{}\n{event}\n", &event[..50]), None),
            (format!("{threshold}\n{event}\n"), None),
            (format!("[1, 2]\n{event}\n"), None),
            (format!("[]\n{event}\n"), None),
            (format!("[\n{event}\n{event}\n"), None),
            (format!("[\n{event}\n"), None),
            (format!("{{\n}}\n{event}\n{event}\n"), None),
            (format!("[\n{event}\n]\n"), Some(NotEventLines::Array)),
            (format!("[2026-11-28 12:00] started\n{event}\n"), None),
            (format!("warning: late\n{event}\n"), None),
            ("no event\n".into(), None),
            (event[..50].to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(NotEventLines::at_start(text.as_bytes()), expected, "{text}");
        }
        for (text, format) in [
            ("time,instance,cpu\n1,a,2\n", "CSV"),
            ("---\nid: a\n", "YAML"),
            ("# meter\ninterval = \"30s\"\n", "TOML"),
            ("[[scope]]\nscope = \"host\"\n", "TOML"),
        ] {
            let found = NotEventLines::at_start(text.as_bytes());
            assert!(matches!(found, Some(NotEventLines::OtherFormat(name, _)) if name == format), "{text}: {found:?}");
        }
    }
}
