//! What makes an event valid beyond its shape: the rules, once, for the events in memory and those in a text.

use std::fmt;

use super::continuity::{Counters, Metered};
use super::id_characters::control_character;
use super::implausible::Implausible;
use super::json::quote;
use super::{Code, EventRules, Finding, Place, Severity};
use crate::events::{EVENT_TYPE, MAX_ID_BYTES, UsageEvent, VERSION, is_refused_in_id};

/// From here on a time can't be in seconds (that would be the year 5138), and is read as milliseconds.
pub(super) const MILLISECONDS_FROM: i64 = 100_000_000_000;
const MICROSECONDS_FROM: i64 = MILLISECONDS_FROM * 1000;
const NANOSECONDS_FROM: i64 = MICROSECONDS_FROM * 1000;

/// What to do about a figure that nobody can have used.
pub(super) const COMPUTED: &str = "look at what computed it; a counter that went backwards starts anew";

/// The unit that a time of at least [`MILLISECONDS_FROM`] is in, and how many of them are a second.
pub(super) const fn subsecond_unit(time: i64) -> (&'static str, i64) {
    match time {
        NANOSECONDS_FROM.. => ("nanoseconds", 1_000_000_000),
        MICROSECONDS_FROM.. => ("microseconds", 1_000_000),
        _ => ("milliseconds", 1000),
    }
}

/// The field of an event that a fault is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    EventType,
    Version,
    Timestamp,
    InstanceId,
    UserId,
    OrgId,
    CpuSeconds,
    CpuPercentAvg,
    MemoryGb,
    MemoryPercent,
    StorageGb,
    NetworkEgressMb,
    NetworkIngressMb,
    GpuSeconds,
    Start,
    End,
}

impl Field {
    /// Its name in messages, with a point between object and field.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::EventType => "event_type",
            Self::Version => "version",
            Self::Timestamp => "timestamp",
            Self::InstanceId => "instance_id",
            Self::UserId => "user_id",
            Self::OrgId => "org_id",
            Self::CpuSeconds => "metrics.cpu_seconds",
            Self::CpuPercentAvg => "metrics.cpu_percent_avg",
            Self::MemoryGb => "metrics.memory_gb",
            Self::MemoryPercent => "metrics.memory_percent",
            Self::StorageGb => "metrics.storage_gb",
            Self::NetworkEgressMb => "metrics.network_egress_mb",
            Self::NetworkIngressMb => "metrics.network_ingress_mb",
            Self::GpuSeconds => "metrics.gpu_seconds",
            Self::Start => "period.start",
            Self::End => "period.end",
        }
    }

    pub(super) fn pointer(self) -> String {
        format!("/{}", self.name().replace('.', "/"))
    }
}

/// The values of an event that rules speak of; `None` for what is absent or of the wrong type.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Values<'a> {
    pub(super) event_type: Option<&'a str>,
    pub(super) version: Option<&'a str>,
    pub(super) timestamp: Option<i64>,
    pub(super) instance_id: Option<&'a str>,
    pub(super) user_id: Option<&'a str>,
    pub(super) org_id: Option<&'a str>,
    pub(super) cpu_seconds: Option<u64>,
    pub(super) gpu_seconds: Option<u64>,
    pub(super) cpu_percent_avg: Option<f64>,
    pub(super) memory_gb: Option<f64>,
    pub(super) memory_percent: Option<f64>,
    pub(super) storage_gb: Option<f64>,
    pub(super) network_egress_mb: Option<f64>,
    pub(super) network_ingress_mb: Option<f64>,
    pub(super) start: Option<i64>,
    pub(super) end: Option<i64>,
}

impl<'a> Values<'a> {
    /// What continuity is judged by, without the digest; `None` where the instance or a sound period lacks.
    pub(super) fn metered(&self) -> Option<Metered<'a>> {
        let sound = |time: &i64| (0..MILLISECONDS_FROM).contains(time);
        let instance_id = self.instance_id.filter(|id| id_fault(id).is_none())?;
        let (start, end) = (self.start.filter(sound)?, self.end.filter(sound)?);
        let counters = Counters {
            cpu_seconds: self.cpu_seconds.unwrap_or(0),
            gpu_seconds: self.gpu_seconds.unwrap_or(0),
            network_egress_mb: self.network_egress_mb.unwrap_or(0.0),
            network_ingress_mb: self.network_ingress_mb.unwrap_or(0.0),
        };
        (start < end).then_some(Metered { instance_id, start, end, digest: 0, counters })
    }
}

impl<'a> From<&'a UsageEvent> for Values<'a> {
    fn from(event: &'a UsageEvent) -> Self {
        Self {
            event_type: Some(&event.event_type),
            version: Some(&event.version),
            timestamp: Some(event.timestamp),
            instance_id: Some(&event.instance_id),
            user_id: Some(&event.user_id),
            org_id: event.org_id.as_deref(),
            cpu_seconds: Some(event.metrics.cpu_seconds),
            gpu_seconds: Some(event.metrics.gpu_seconds),
            cpu_percent_avg: Some(event.metrics.cpu_percent_avg),
            memory_gb: Some(event.metrics.memory_gb),
            memory_percent: Some(event.metrics.memory_percent),
            storage_gb: Some(event.metrics.storage_gb),
            network_egress_mb: Some(event.metrics.network_egress_mb),
            network_ingress_mb: Some(event.metrics.network_ingress_mb),
            start: Some(event.period.start),
            end: Some(event.period.end),
        }
    }
}

/// A broken rule: small, and no words yet, so that asking for a verdict allocates nothing. To `validate` all of them are
/// errors; what delivers events takes those that are [`Implausible`] for warnings.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fault<'a> {
    pub(super) field: Field,
    kind: Kind<'a>,
}

#[derive(Debug, Clone, Copy)]
enum Kind<'a> {
    EventType(&'a str),
    Version(&'a str),
    EmptyId,
    LongId(usize),
    ControlInId(char),
    NotFinite(f64),
    Negative(f64),
    Over100(f64),
    Before1970(i64),
    /// `in_order`: the period starts before its end all the same, as the numbers stand.
    NotSeconds {
        time: i64,
        in_order: bool,
    },
    PeriodOrder {
        start: i64,
        end: i64,
    },
    StampedEarly {
        timestamp: i64,
        end: i64,
    },
    Future {
        timestamp: i64,
        rules: EventRules,
    },
}

/// Tells `report` every rule that `values` break.
pub(super) fn faults<'a>(values: &Values<'a>, rules: &EventRules, mut report: impl FnMut(Fault<'a>)) {
    let mut fault = |field, kind| report(Fault { field, kind });
    if let Some(text) = values.event_type.filter(|text| *text != EVENT_TYPE) {
        fault(Field::EventType, Kind::EventType(text));
    }
    if let Some(text) = values.version.filter(|text| !is_version_1(text)) {
        fault(Field::Version, Kind::Version(text));
    }
    let ids = [(Field::InstanceId, values.instance_id), (Field::UserId, values.user_id), (Field::OrgId, values.org_id)];
    for (field, id) in ids {
        if let Some(kind) = id.and_then(id_fault) {
            fault(field, kind);
        }
    }
    let figures = [
        (Field::CpuPercentAvg, values.cpu_percent_avg, 100.0),
        (Field::MemoryGb, values.memory_gb, f64::MAX),
        (Field::MemoryPercent, values.memory_percent, 100.0),
        (Field::StorageGb, values.storage_gb, f64::MAX),
        (Field::NetworkEgressMb, values.network_egress_mb, f64::MAX),
        (Field::NetworkIngressMb, values.network_ingress_mb, f64::MAX),
    ];
    for (field, value, most) in figures {
        if let Some(value) = value.filter(|value| !(0.0..=most).contains(value)) {
            fault(
                field,
                match value {
                    _ if !value.is_finite() => Kind::NotFinite(value),
                    _ if value < 0.0 => Kind::Negative(value),
                    _ => Kind::Over100(value),
                },
            );
        }
    }
    let in_order = !matches!((values.start, values.end), (Some(start), Some(end)) if start >= end);
    // A time that is wrong by itself is not compared with the others: one fault, one finding.
    let mut sound = |field, time: Option<i64>| {
        let time = time?;
        match time {
            ..0 => fault(field, Kind::Before1970(time)),
            MILLISECONDS_FROM.. => {
                let in_order = in_order || matches!(field, Field::Timestamp);
                fault(field, Kind::NotSeconds { time, in_order });
            }
            _ => return Some(time),
        }
        None
    };
    let timestamp = sound(Field::Timestamp, values.timestamp);
    let start = sound(Field::Start, values.start);
    let end = sound(Field::End, values.end);
    if let (Some(start), Some(end)) = (start, end)
        && start >= end
    {
        fault(Field::End, Kind::PeriodOrder { start, end });
    }
    if let (Some(timestamp), Some(end)) = (timestamp, end)
        && timestamp < end
    {
        fault(Field::Timestamp, Kind::StampedEarly { timestamp, end });
    }
    if let Some(timestamp) = timestamp
        && timestamp > rules.now.saturating_add(rules.max_skew)
    {
        fault(Field::Timestamp, Kind::Future { timestamp, rules: *rules });
    }
}

/// Whether `version` is one that this library reads: `1.` and a number.
fn is_version_1(version: &str) -> bool {
    version == VERSION
        || version
            .strip_prefix("1.")
            .is_some_and(|minor| !minor.is_empty() && minor.bytes().all(|byte| byte.is_ascii_digit()))
}

fn id_fault(id: &str) -> Option<Kind<'_>> {
    if id.is_empty() {
        return Some(Kind::EmptyId);
    }
    if id.bytes().any(|byte| !(b' '..0x7f).contains(&byte))
        && let Some(char) = id.chars().find(|char| is_refused_in_id(*char))
    {
        return Some(Kind::ControlInId(char));
    }
    (id.len() > MAX_ID_BYTES).then_some(Kind::LongId(id.len()))
}

impl Fault<'_> {
    /// The finding, where `implausible` is the severity of what is delivered all the same.
    pub(super) fn finding(self, implausible: Severity) -> Finding {
        let severity = if self.implausible().is_none() { Severity::Error } else { implausible };
        Finding { severity, ..self.into_finding() }
    }

    /// What it is, where the event can be delivered as it is; `None` where there is no event.
    pub(super) const fn implausible(&self) -> Option<Implausible> {
        match self.kind {
            Kind::Over100(_) | Kind::NotSeconds { in_order: true, .. } => Some(Implausible::field(self.field)),
            Kind::StampedEarly { .. } => Some(Implausible::STAMPED_EARLY),
            Kind::Future { .. } => Some(Implausible::FUTURE),
            Kind::EventType(_)
            | Kind::Version(_)
            | Kind::EmptyId
            | Kind::LongId(_)
            | Kind::ControlInId(_)
            | Kind::NotFinite(_)
            | Kind::Negative(_)
            | Kind::Before1970(_)
            | Kind::NotSeconds { in_order: false, .. }
            | Kind::PeriodOrder { .. } => None,
        }
    }

    /// The finding, with a place that has only the pointer.
    pub(super) fn into_finding(self) -> Finding {
        let name = self.field.name();
        let error = |code, message: String| Finding::error(code, message);
        let finding = match self.kind {
            Kind::EventType(found) => error(Code::EventType, format!("`{name}` names another kind of event"))
                .found(quote(found))
                .expected(quote(EVENT_TYPE))
                .help("send it elsewhere, or correct the type"),
            Kind::Version(found) => version_finding(found),
            Kind::EmptyId => {
                let finding = error(Code::EmptyId, format!("`{name}` is empty"));
                match self.field {
                    Field::OrgId => finding.help("write null where there is no organization"),
                    _ => finding.help("write the id: nobody could be billed"),
                }
            }
            Kind::LongId(bytes) => error(Code::IdTooLong, format!("`{name}` is too long"))
                .found(format!("{bytes} bytes"))
                .expected(format!("at most {MAX_ID_BYTES} bytes"))
                .help("send the id itself"),
            Kind::ControlInId(char) => control_character(&format!("`{name}`"), char),
            Kind::NotFinite(value) => error(Code::NotFinite, format!("`{name}` is not finite"))
                .found(value.to_string())
                .expected("a number")
                .help("look for a division by zero in what computed it"),
            Kind::Negative(value) => error(Code::OutOfRange, format!("`{name}` is negative"))
                .found(number(value))
                .expected("at least 0")
                .help(COMPUTED),
            Kind::Over100(value) => percentage_finding(name, value),
            Kind::Before1970(value) => error(Code::OutOfRange, format!("`{name}` lies before 1970"))
                .found(value.to_string())
                .expected("Unix seconds")
                .help("write it as `date +%s` does"),
            Kind::NotSeconds { time, in_order } => {
                let (unit, divisor) = subsecond_unit(time);
                let order = if in_order { "" } else { ", and the period does not start before its end" };
                error(Code::NotSeconds, format!("`{name}` is in {unit}{order}"))
                    .found(time.to_string())
                    .expected("whole Unix seconds")
                    .help(format!("divide by {divisor}: {}", time / divisor))
            }
            Kind::PeriodOrder { start, end } => {
                error(Code::PeriodOrder, "the period does not end after its start".into())
                    .found(format!("start {start}, end {end}"))
                    .expected("`period.end` greater than `period.start`")
                    .help("the two may have changed places")
            }
            Kind::StampedEarly { timestamp, end } => {
                error(Code::StampedEarly, "`timestamp` is before the end of the period".into())
                    .found(format!("{timestamp}, {} before the end", Seconds(end.saturating_sub(timestamp))))
                    .expected(format!("at least {end}"))
                    .help("stamp it at the end of the period or later; look for a clock that was set back")
            }
            Kind::Future { timestamp, rules } => error(Code::FutureTimestamp, "`timestamp` lies in the future".into())
                .found(format!("{timestamp}, {} ahead of this clock", Seconds(timestamp.saturating_sub(rules.now))))
                .expected(format!("at most {} ahead", Seconds(rules.max_skew)))
                .help("check the clocks of the producer and of this machine"),
        };
        finding.at(Place::pointer(self.field.pointer()))
    }
}

fn version_finding(found: &str) -> Finding {
    let major = found.split('.').next().filter(|major| major.parse::<u32>().is_ok_and(|major| major != 1));
    let finding = match major {
        Some(major) => {
            Finding::error(Code::UnsupportedVersion, format!("`version` is of another major version, {major}"))
                .help("use a release of formusage that reads it")
        }
        None => Finding::error(Code::UnsupportedVersion, "`version` is no version of the format").help("write \"1.0\""),
    };
    finding.found(quote(found)).expected("\"1.0\", or another 1.x")
}

fn percentage_finding(name: &str, value: f64) -> Finding {
    // Up to 101, rounding is the likelier reason.
    let finding = if value > 101.0 && value <= 10_000.0 {
        Finding::error(Code::PercentageTimes100, format!("`{name}` looks a hundred times too large")).help(format!(
            "some producers send 12.5 % as 1250: divide by 100, which makes it {}; if it is a sum over CPUs, divide by \
             their number",
            number(value / 100.0)
        ))
    } else {
        Finding::error(Code::OutOfRange, format!("`{name}` is over 100 percent"))
            .help("it is a percentage of all that the instance may use")
    };
    finding.found(number(value)).expected("0 to 100")
}

/// A figure with as many digits as it needs; in scientific notation where that is shorter.
pub(super) fn number(value: f64) -> String {
    if value.abs() >= 1e15 { format!("{value:e}") } else { value.to_string() }
}

/// A duration for people.
pub(super) struct Seconds(pub(super) i64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds @ ..120 => write!(f, "{seconds} s"),
            seconds @ ..7200 => write!(f, "{} min", seconds / 60),
            seconds @ ..172_800 => write!(f, "{} h", seconds / 3600),
            seconds => write!(f, "{} days", seconds / 86_400),
        }
    }
}
