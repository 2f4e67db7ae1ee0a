//! What a report says.

use std::fmt;

use serde::Serialize;

use super::continuity::Stretch;
use super::continuity::{Conflict, Findings};
use super::figures::Figures;
use super::groups::Rows;
use super::html::Plots;
use super::zone::Zone;
use crate::events::UsagePeriod;
use crate::threshold::{ThresholdConfig, ThresholdViolation};

/// What rows are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Dimension {
    /// The day, by the zone of the report.
    Day,
    /// `org_id`.
    Org,
    /// `user_id`.
    User,
    /// `instance_id`.
    Instance,
}

/// Where an event stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// The input's name.
    pub input: String,
    /// The line, or the message, counted from 1.
    pub line: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.input, self.line)
    }
}

/// One group's figures. What rows are not told apart by is `None`, and is not written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// The day, `2026-11-22`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// The organization; the inner `None` is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub org_id: Option<Option<String>>,
    /// The user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// The instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_id: Option<String>,
    /// What the group consumed.
    #[serde(flatten)]
    pub figures: Figures,
}

impl Row {
    /// The row's value of a dimension; `None` also for no organization.
    #[must_use]
    pub fn value(&self, dimension: Dimension) -> Option<&str> {
        match dimension {
            Dimension::Day => self.day.as_deref(),
            Dimension::Org => self.org_id.as_ref()?.as_deref(),
            Dimension::User => self.user_id.as_deref(),
            Dimension::Instance => self.instance_id.as_deref(),
        }
    }
}

/// How often a threshold was exceeded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Crossing {
    /// The threshold.
    pub config: ThresholdConfig,
    /// How many events exceed it.
    pub events: u64,
    /// When the period of the first such event began, in Unix seconds.
    pub first: Option<i64>,
    /// When the period of the last such event began, in Unix seconds.
    pub last: Option<i64>,
    /// The highest figure, in the threshold's unit.
    pub highest: Option<f64>,
}

impl Crossing {
    pub(super) const fn none(config: ThresholdConfig) -> Self {
        Self { config, events: 0, first: None, last: None, highest: None }
    }

    pub(super) fn add(&mut self, violation: &ThresholdViolation, at: i64) {
        self.events += 1;
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        self.highest = Some(self.highest.map_or(violation.current_value, |it| it.max(violation.current_value)));
    }
}

/// Periods that are longer than 31 days or begin before the year 2000. They are in the sums.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ImplausiblePeriods {
    /// How many there are.
    pub count: u64,
    /// A thousand of them at most, by instance and time.
    pub list: Vec<Stretch>,
}

/// What many events add up to.
#[derive(Debug)]
pub struct Report {
    /// From the first second that is reported on to the last; `None` where there was no event.
    pub span: Option<UsagePeriod>,
    /// The time that is reported on: what was asked for, else from the first event to the last; `None` where neither says
    /// so.
    pub range: Option<UsagePeriod>,
    /// What was asked for.
    pub since: Option<i64>,
    /// What was asked for.
    pub until: Option<i64>,
    /// Whose days they are.
    pub zone: Zone,
    /// What rows are told apart by, and sorted by.
    pub by: Vec<Dimension>,
    /// How many instances there are.
    pub instances: u64,
    /// How many users there are.
    pub users: u64,
    /// How many organizations there are.
    pub organizations: u64,
    /// Events that were counted before, and not again.
    pub repeats: u64,
    /// Events outside of the time that is reported.
    pub outside: u64,
    /// All together.
    pub total: Figures,
    pub(super) rows: Rows,
    /// Whether an instance is expected to be metered in all of `range`, so that what lacks at its ends is a gap.
    pub expect_full: bool,
    /// How many instances have no event at the start of `range`.
    pub late_starts: u64,
    /// How many instances have no event at the end of `range`, or at the time of the report where that is earlier.
    pub early_ends: u64,
    /// How many instances lack something at one end of `range` at least.
    pub(super) incomplete: u64,
    /// Periods that are probably wrong.
    pub implausible_periods: ImplausiblePeriods,
    /// Time that was not metered.
    pub gaps: Findings,
    /// Time that was metered more than once, by events of one key or of several.
    pub overlaps: Findings,
    /// How many events have a metering key that another has too.
    pub conflicts: u64,
    /// The first thousand of them.
    pub named_conflicts: Vec<Conflict>,
    /// Each threshold, by id.
    pub thresholds: Vec<Crossing>,
    /// How long periods usually are, in seconds.
    pub usual_period: Option<i64>,
    pub(super) plots: Option<Plots>,
}

/// A report as one JSON document.
#[derive(Serialize)]
struct Document<'a> {
    span: Option<UsagePeriod>,
    since: Option<i64>,
    until: Option<i64>,
    range: Option<Range>,
    tz: &'a str,
    by: &'a [Dimension],
    organizations: u64,
    users: u64,
    instances: u64,
    repeats: u64,
    outside: u64,
    total: &'a Figures,
    rows: EachRow<'a>,
    expect_full: bool,
    late_starts: u64,
    early_ends: u64,
    implausible_periods: &'a ImplausiblePeriods,
    gaps: &'a Findings,
    overlaps: &'a Findings,
    conflicts: Conflicts<'a>,
    thresholds: &'a [Crossing],
}

/// The time that is reported on, for programs and for people.
#[derive(Serialize)]
struct Range {
    /// The first second, in Unix seconds.
    start: i64,
    /// The first second after it.
    end: i64,
    /// `start` as RFC 3339.
    from: String,
    /// `end` as RFC 3339.
    before: String,
}

/// The rows, one after the other: all at once they would take more than the sums.
struct EachRow<'a>(&'a Rows);

impl Serialize for EachRow<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter())
    }
}

#[derive(Serialize)]
struct Conflicts<'a> {
    count: u64,
    list: &'a [Conflict],
}

impl Report {
    /// Each group, in the order of what rows are told apart by. A row is made when it is asked for.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        self.rows.iter()
    }

    /// How many rows there are.
    #[must_use]
    pub const fn row_count(&self) -> usize {
        self.rows.len()
    }

    /// How many instances begin after the start of `range` or end before its end.
    #[must_use]
    pub const fn incomplete(&self) -> u64 {
        self.incomplete
    }
}

impl Serialize for Report {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Document {
            span: self.span,
            since: self.since,
            until: self.until,
            range: self.range.map(|UsagePeriod { start, end }| Range {
                start,
                end,
                from: self.zone.rfc3339(start),
                before: self.zone.rfc3339(end),
            }),
            tz: self.zone.name(),
            by: &self.by,
            organizations: self.organizations,
            users: self.users,
            instances: self.instances,
            repeats: self.repeats,
            outside: self.outside,
            total: &self.total,
            rows: EachRow(&self.rows),
            expect_full: self.expect_full,
            late_starts: self.late_starts,
            early_ends: self.early_ends,
            implausible_periods: &self.implausible_periods,
            gaps: &self.gaps,
            overlaps: &self.overlaps,
            conflicts: Conflicts { count: self.conflicts, list: &self.named_conflicts },
            thresholds: &self.thresholds,
        }
        .serialize(serializer)
    }
}
