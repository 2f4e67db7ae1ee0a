//! The states as they are kept over a restart.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::ThresholdAlert;
use super::machine::{Alert, Phase};
use super::seen::{PackedPeriod, Seen};
use super::states::AlertStates;
use super::undecided::Undecided;
use crate::events::UsagePeriod;
use crate::threshold::config::ThresholdConfig;
use crate::threshold::evaluate::ThresholdSet;

/// What [`AlertRecord::format`] says.
pub const ALERTS_FORMAT: &str = "formusage-alerts";

/// The version of the record that is written, and the newest that is read.
pub const ALERTS_VERSION: u32 = 1;

/// The states, to be written down and read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertRecord {
    /// [`ALERTS_FORMAT`], so that no other file is taken for one.
    pub format: String,
    /// [`ALERTS_VERSION`].
    pub version: u32,
    /// What was still to be told when this was written, the oldest first.
    #[serde(default)]
    pub untold: Vec<ThresholdAlert>,
    /// The thresholds that the states are of, as they were.
    thresholds: Vec<ThresholdConfig>,
    alerts: Vec<Row>,
    watermark: Option<i64>,
    clock: i64,
    swept: i64,
    late: u64,
    repeated: u64,
    /// 16 hex digits, so that readers of JSON that know floats alone keep them.
    salt: String,
    probe: String,
    seen: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    undecided: Vec<UndecidedRow>,
}

/// How a run found an instance that it could not decide on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct UndecidedRow {
    instance: Box<str>,
    before: Option<PackedPeriod>,
    first: PackedPeriod,
    alerts: Vec<Row>,
}

/// One state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Row {
    instance: Box<str>,
    threshold: Box<str>,
    user: Box<str>,
    phase: Phase,
    since: i64,
    silent_since: i64,
    last: UsagePeriod,
    value: f64,
    timestamp: i64,
    peak: f64,
    told_at: i64,
    told: u64,
    heard: i64,
}

/// Why a record can't be used.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RecordError {
    /// It is no record of states.
    Foreign,
    /// It was written by a newer version of this program.
    Newer(u32),
    /// It holds something that was never written so.
    Damaged(String),
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign => f.write_str("it holds no states of thresholds"),
            Self::Newer(version) => {
                write!(f, "it was written by a newer version (format {version}, this one reads {ALERTS_VERSION})")
            }
            Self::Damaged(what) => write!(f, "it is damaged: {what}"),
        }
    }
}

impl std::error::Error for RecordError {}

impl AlertRecord {
    /// Writes the states down; `set` are the thresholds that they are of, `untold` what is still to be told.
    #[must_use]
    pub fn of(states: &AlertStates, set: &ThresholdSet, untold: Vec<ThresholdAlert>) -> Self {
        let mut alerts: Vec<Row> = Vec::new();
        for (instance, state) in &states.instances {
            alerts.extend(state.alerts.iter().map(|alert| Row::of(instance, alert)));
        }
        alerts.sort_by(|a, b| (&a.instance, &a.threshold).cmp(&(&b.instance, &b.threshold)));
        let undecided: Vec<UndecidedRow> = states.undecided().iter().map(UndecidedRow::of).collect();
        let of_undecided = undecided.iter().flat_map(|it| &it.alerts);
        let mut ids: Vec<&str> = alerts.iter().chain(of_undecided).map(|row| &*row.threshold).collect();
        ids.sort_unstable();
        ids.dedup();
        let thresholds = ids.into_iter().filter_map(|id| Some((*set.find(id)?.config).clone())).collect();
        Self {
            format: ALERTS_FORMAT.to_owned(),
            version: ALERTS_VERSION,
            untold,
            thresholds,
            alerts,
            watermark: states.watermark,
            clock: states.clock,
            swept: states.swept,
            late: states.late,
            repeated: states.repeated,
            salt: format!("{:016x}", states.seen.salt()),
            probe: format!("{:016x}", states.seen.probe()),
            seen: states.seen.to_text(),
            undecided,
        }
    }

    /// Reads a record from its JSON.
    ///
    /// # Errors
    /// What keeps it from being used.
    pub fn parse(text: &[u8]) -> Result<Self, RecordError> {
        #[derive(Deserialize)]
        struct Head {
            format: String,
            version: u32,
        }
        // The head first: a newer version may have other fields.
        let head: Head = match serde_json::from_slice(text) {
            Ok(head) => head,
            Err(error) if error.is_data() => return Err(RecordError::Foreign),
            Err(error) => return Err(RecordError::Damaged(error.to_string())),
        };
        if head.format != ALERTS_FORMAT {
            return Err(RecordError::Foreign);
        }
        if head.version > ALERTS_VERSION {
            return Err(RecordError::Newer(head.version));
        }
        serde_json::from_slice(text).map_err(|error| RecordError::Damaged(error.to_string()))
    }

    /// The states, and the thresholds that they are of; go on from there with [`AlertStates::reload`].
    ///
    /// # Errors
    /// [`RecordError::Damaged`].
    pub fn restore(self) -> Result<(AlertStates, ThresholdSet), RecordError> {
        let damaged = |what: &str| RecordError::Damaged(what.to_owned());
        let set = ThresholdSet::new(self.thresholds).map_err(|error| RecordError::Damaged(error.to_string()))?;
        let salt = u64::from_str_radix(&self.salt, 16).map_err(|_| damaged("the salt is no number"))?;
        let mut states = AlertStates::new(salt);
        // Another build may hash in another way. What was seen is forgotten then, and what comes twice not noticed.
        if format!("{:016x}", states.seen.probe()) == self.probe {
            states.seen = Seen::read(salt, &self.seen).ok_or_else(|| damaged("what was seen can't be read"))?;
            let undecided = self.undecided.into_iter().map(UndecidedRow::into_undecided);
            states.undecided = undecided.map(|it| (states.seen.keys().of(&it.instance), it)).collect();
        }
        states.watermark = self.watermark;
        (states.clock, states.swept) = (self.clock, self.swept);
        (states.late, states.repeated) = (self.late, self.repeated);
        for row in self.alerts {
            let (instance, alert) = row.into_alert();
            states.concerned.insert(states.seen.keys().of(&instance));
            states.instances.entry(instance).or_default().alerts.push(alert);
        }
        Ok((states, set))
    }
}

impl UndecidedRow {
    fn of(undecided: &Undecided) -> Self {
        let Undecided { instance, before, first, alerts } = undecided;
        let alerts = alerts.iter().map(|alert| Row::of(instance, alert)).collect();
        Self { instance: instance.clone(), before: *before, first: *first, alerts }
    }

    fn into_undecided(self) -> Undecided {
        let alerts = self.alerts.into_iter().map(|row| row.into_alert().1).collect();
        Undecided { instance: self.instance, before: self.before, first: self.first, alerts }
    }
}

impl Row {
    fn of(instance: &str, alert: &Alert) -> Self {
        Self {
            instance: instance.into(),
            threshold: alert.threshold.clone(),
            user: alert.user.clone(),
            phase: alert.phase,
            since: alert.since,
            silent_since: alert.silent_since,
            last: alert.last,
            value: alert.value,
            timestamp: alert.timestamp,
            peak: alert.peak,
            told_at: alert.told_at,
            told: alert.told,
            heard: alert.heard,
        }
    }

    fn into_alert(self) -> (Box<str>, Alert) {
        let alert = Alert {
            threshold: self.threshold,
            user: self.user,
            phase: self.phase,
            since: self.since,
            silent_since: self.silent_since,
            last: self.last,
            value: self.value,
            timestamp: self.timestamp,
            peak: self.peak,
            told_at: self.told_at,
            told: self.told,
            heard: self.heard,
            // The wall clock counts from the restart: nobody was silent while nobody listened.
            heard_wall: 0,
            restored: true,
        };
        (self.instance, alert)
    }
}
