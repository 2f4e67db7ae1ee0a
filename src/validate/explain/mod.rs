//! What each code means: why it matters, an input that gives it and one that just does not, and the fix.
//!
//! The examples are tested: what is said here is what validation does.

mod cases;
mod channels;
mod events;
mod text;
mod thresholds;

use std::fmt::Write as _;

use serde::Serialize;

use super::{Code, Severity};
use crate::plain_text::is_unprintable;

/// All that there is to say about a code.
#[derive(Debug, Clone, Copy)]
pub struct Explanation {
    /// The code.
    pub code: Code,
    /// How bad it is, unless set otherwise.
    pub severity: Severity,
    /// What it says.
    pub what: &'static str,
    /// Why it matters.
    pub why: &'static str,
    /// What to do.
    pub fix: &'static str,
    /// An input that gives it.
    pub gives: Example,
    /// One that just does not.
    pub just_not: Example,
}

/// A short input. Most differ from a sound event or threshold in one place, and only that is shown.
#[derive(Debug, Clone, Copy)]
pub enum Example {
    /// All of it.
    Text(&'static [u8]),
    /// A piece so many times, between a beginning and an end.
    Repeated(&'static str, &'static str, usize, &'static str),
    /// A sound event with one piece of it replaced by another.
    Event(&'static str, &'static str),
    /// A sound threshold with one piece of it replaced by another.
    Threshold(&'static str, &'static str),
    /// Several thresholds.
    Thresholds(&'static [(&'static str, &'static str)]),
    /// A threshold, validated with [`Example::CHANNELS`].
    Bound(&'static str, &'static str),
    /// A sound channels file with one piece of it replaced by another.
    Channels(&'static str, &'static str),
    /// A sound file of cases with one piece of it replaced by another.
    Cases(&'static str, &'static str),
    /// Events of one instance, validated with continuity: start, end (seconds from the first), `cpu_seconds`.
    Stream(&'static [(i64, i64, u64)]),
    /// So many events of one instance, each with more `cpu_seconds` than the one before.
    Growing(u32),
}

/// A sound event.
const EVENT: &str = "{\"event_type\":\"resource_usage\",\"version\":\"1.0\",\"timestamp\":1626350430,\"instance_id\":\"instance-abc123\",\
    \"user_id\":\"user_123456\",\"org_id\":\"org_789012\",\"metrics\":{\"cpu_seconds\":30,\"cpu_percent_avg\":12.5,\"memory_gb\":4.2,\
    \"memory_percent\":52.5,\"storage_gb\":25.7,\"network_egress_mb\":15.2,\"network_ingress_mb\":8.7,\"gpu_seconds\":0},\
    \"period\":{\"start\":1626350400,\"end\":1626350430}}";

/// A sound threshold.
const THRESHOLD: &str = "{\"id\":\"cpu-high\",\"resource_type\":\"Cpu\",\"threshold_type\":{\"Percentage\":{\"value\":80.0}},\
    \"action\":\"Notify\",\"user_id\":\"*\",\"notification_channels\":[\"email\"]}";

/// A sound channels file.
const CHANNELS: &str = "{\"channels\":{\"email\":{\"smtp\":{\"host\":\"mail.example.org\",\"user\":\"meter\",\
    \"password\":{\"env\":\"MAIL_PASSWORD\"},\"from\":\"meter@example.org\",\"to\":[\"ops@example.org\"]}},\
    \"pager\":{\"webhook\":{\"url\":\"https://pager.example.org/in\",\"secret\":{\"env\":\"PAGER_SECRET\"}}}}}";

/// A sound file of cases.
const CASES: &str = "{\"threshold_files\":[\"cpu.json\"],\"cases\":[{\"name\":\"fires\",\
    \"series\":[\"instance web-1: cpu_percent_avg 50x10 95x20, every 1m\"],\
    \"alerts\":[{\"threshold\":\"cpu-high\",\"instance\":\"web-1\",\"kind\":\"firing\",\"at\":\"15m\"}]}]}";

impl Example {
    /// The channels file of [`Example::Bound`].
    pub const CHANNELS: &'static str = "{\"channels\":{\"email\":{}},\"actions\":{\"scale-down\":{}}}";

    /// The whole input.
    #[must_use]
    pub fn input(&self) -> Vec<u8> {
        match self {
            Self::Text(text) => text.to_vec(),
            Self::Repeated(before, piece, times, after) => {
                [*before, &piece.repeat(*times), *after].concat().into_bytes()
            }
            Self::Event(from, to) => EVENT.replacen(from, to, 1).into_bytes(),
            Self::Threshold(from, to) | Self::Bound(from, to) => THRESHOLD.replacen(from, to, 1).into_bytes(),
            Self::Channels(from, to) => CHANNELS.replacen(from, to, 1).into_bytes(),
            Self::Cases(from, to) => CASES.replacen(from, to, 1).into_bytes(),
            Self::Thresholds(changes) => {
                let list: Vec<_> = changes.iter().map(|(from, to)| THRESHOLD.replacen(from, to, 1)).collect();
                format!("[{}]", list.join(",\n")).into_bytes()
            }
            Self::Stream(events) => events.iter().map(|event| line(*event)).collect::<String>().into_bytes(),
            Self::Growing(count) => {
                let event = |n: u32| line((i64::from(n) * 30, i64::from(n) * 30 + 30, 30 + u64::from(n)));
                (0..*count).map(event).collect::<String>().into_bytes()
            }
        }
    }

    /// What of it tells the two apart, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        match self {
            Self::Text(text) => text.utf8_chunks().fold(String::new(), |mut shown, chunk| {
                shown.extend(chunk.valid().chars().flat_map(|char| {
                    let escaped: Box<dyn Iterator<Item = char>> = if is_unprintable(char) {
                        Box::new(char.escape_default())
                    } else {
                        Box::new(std::iter::once(char))
                    };
                    escaped
                }));
                chunk.invalid().iter().for_each(|byte| {
                    let _ = write!(shown, "<{byte:02x}>");
                });
                shown
            }),
            Self::Repeated(before, piece, times, after) => format!("{before}{piece}… ({times} times){after}"),
            Self::Event(from, "") | Self::Threshold(from, "") | Self::Bound(from, "") => format!("without {from}"),
            Self::Event(_, to)
            | Self::Threshold(_, to)
            | Self::Bound(_, to)
            | Self::Channels(_, to)
            | Self::Cases(_, to) => (*to).to_owned(),
            Self::Thresholds(changes) => {
                changes.iter().map(|(_, to)| format!("{{…{to}…}}")).collect::<Vec<_>>().join(" and ")
            }
            Self::Stream(events) => {
                let event = |(start, end, cpu): &(i64, i64, u64)| format!("{start}–{end} s (cpu_seconds {cpu})");
                format!("periods {}", events.iter().map(event).collect::<Vec<_>>().join(", "))
            }
            Self::Growing(count) => format!("{count} events with cpu_seconds 30, 31, 32, …"),
        }
    }
}

/// A line of an [`Example::Stream`].
fn line((start, end, cpu): (i64, i64, u64)) -> String {
    let (start, end) = (1_626_350_400 + start, 1_626_350_400 + end);
    EVENT
        .replace("\"end\":1626350430", &format!("\"end\":{end}"))
        .replace("1626350430", &end.to_string())
        .replace("\"start\":1626350400", &format!("\"start\":{start}"))
        .replace("\"cpu_seconds\":30", &format!("\"cpu_seconds\":{cpu}"))
        + "\n"
}

impl Explanation {
    /// Every code, in the order of [`Code::ALL`].
    pub fn all() -> impl Iterator<Item = Self> {
        Code::ALL.iter().filter_map(|code| Self::of(*code))
    }

    /// What there is to say about `code`.
    #[must_use]
    pub fn of(code: Code) -> Option<Self> {
        let tables = [text::TABLE, events::TABLE, thresholds::TABLE, channels::TABLE, cases::TABLE];
        tables.into_iter().flatten().find(|explanation| explanation.code == code).copied()
    }
}

impl Serialize for Explanation {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;
        let mut row = serializer.serialize_struct("Explanation", 7)?;
        row.serialize_field("code", &self.code)?;
        row.serialize_field("severity", &self.severity)?;
        row.serialize_field("what", self.what)?;
        row.serialize_field("why", self.why)?;
        row.serialize_field("fix", self.fix)?;
        row.serialize_field("gives", &self.gives.shown())?;
        row.serialize_field("just_not", &self.just_not.shown())?;
        row.end()
    }
}
