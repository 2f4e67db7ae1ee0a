//! Which thresholds an event exceeds: pure, and indexed so that an event meets only those that it may exceed.
//!
//! A [`ThresholdSet`] is compiled once. Limits become numbers in the unit of the metric that they are compared with.
//! They are grouped by scope (this user or all, this instance or all), then by metric, and stand in rising order. An
//! event looks up its at most four scopes and, in each group, walks up to the first limit that it does not exceed. So
//! it costs what it exceeds and a little for each group, however many thresholds there are, and allocates nothing when
//! it exceeds none.
//!
//! Exceeded means strictly greater, in the threshold's own unit: 14,760 seconds do not exceed `4.1 h`, although
//! 4.1 × 3600 comes out a little below 14,760 in floating point.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::Arc;

use super::alert::{FORGET_AFTER, LEAST_SILENCE};
use super::config::{
    ActionType, MAX_CHANNELS, MAX_DESCRIPTION_BYTES, ResourceType, ThresholdConfig, ThresholdType, ThresholdViolation,
};
use super::explain::Explanation;
use super::measure::Measure;
use super::measured::MeasuredEvent;
use super::states::NoData;
use crate::events::{MAX_ID_BYTES, MetricSet, UsageMetrics};
use crate::units::TimeSpan;

/// Thresholds, compiled for evaluation. Immutable: a change is a new set.
#[derive(Debug, Clone, Default)]
pub struct ThresholdSet {
    /// Sorted by id, so that the order of their indexes is the order of violations.
    thresholds: Vec<Compiled>,
    of_all_users: Scope,
    of_user: HashMap<Box<str>, Scope>,
    /// Whether violations of any threshold have states.
    has_states: bool,
    /// Those that look after instances where all is well.
    watchers: Vec<usize>,
    /// In seconds.
    shortest_silence: i64,
}

/// A threshold and how it compares.
#[derive(Debug, Clone)]
pub(super) struct Compiled {
    /// Shared with its violations, however many wait to be told.
    pub(super) config: Arc<ThresholdConfig>,
    pub(super) measure: Measure,
    /// How many of the metric's units one of the threshold's is: 60 for `min` against seconds.
    pub(super) scale: f64,
    /// Where its violations have states: what is at or below this, in the metric's unit, is no longer one.
    pub(super) clear: Option<f64>,
}

/// The thresholds of one user, or those for all users.
#[derive(Debug, Clone, Default)]
struct Scope {
    of_all_instances: Vec<Group>,
    of_instance: HashMap<Box<str>, Vec<Group>>,
}

/// The limits on one metric within a scope.
#[derive(Debug, Clone)]
struct Group {
    measure: Measure,
    /// In rising order.
    limits: Vec<Limit>,
}

/// A limit in the metric's own unit.
#[derive(Debug, Clone, Copy)]
struct Limit {
    value: f64,
    /// Its place among the set's thresholds.
    threshold: usize,
}

/// Thresholds that can't be compared with events, or not be told apart: one message for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidThresholds(Vec<String>);

impl InvalidThresholds {
    /// What is wrong, one message for each fault, each naming its threshold.
    #[must_use]
    pub fn messages(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for InvalidThresholds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

impl std::error::Error for InvalidThresholds {}

impl ThresholdSet {
    /// Compiles `configs`, in any order.
    ///
    /// # Errors
    /// All of these that there are: an empty id, an id that stands twice, a value that is negative, infinite or not a
    /// number, a percentage over 100, a percentage of a resource whose events carry none, a unit that does not measure
    /// the resource, a text or a list of channels that is too long, a `clear_value` that is no number from 0 to the limit, a `no_data_after` of nothing or of seven days
    /// and more.
    pub fn new(mut configs: Vec<ThresholdConfig>) -> Result<Self, InvalidThresholds> {
        configs.sort_by(|a, b| a.id.cmp(&b.id));
        let mut faults = Vec::new();
        let mut thresholds = Vec::with_capacity(configs.len());
        let mut seen = HashSet::new();
        for config in &configs {
            if !seen.insert(config.id.as_str()) {
                faults.push(format!("two thresholds have the id `{}`; each needs an id of its own", config.id));
            }
        }
        for config in configs {
            match compile(config) {
                Ok(compiled) => thresholds.push(compiled),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(Self::index(thresholds)) } else { Err(InvalidThresholds(faults)) }
    }

    fn index(thresholds: Vec<Compiled>) -> Self {
        let own_silences = thresholds.iter().filter_map(|it| it.config.no_data_after).map(TimeSpan::seconds);
        let shortest_silence = own_silences.fold(LEAST_SILENCE, i64::min);
        let mut set = Self { shortest_silence, ..Self::default() };
        for (threshold, Compiled { config, measure, scale, clear }) in thresholds.iter().enumerate() {
            if !config.enabled {
                continue;
            }
            set.has_states |= clear.is_some();
            if config.no_data == Some(NoData::Alert) {
                set.watchers.push(threshold);
            }
            let scope = match config.only_user() {
                None => &mut set.of_all_users,
                Some(user) => set.of_user.entry(user.into()).or_default(),
            };
            let groups = match config.only_instance() {
                None => &mut scope.of_all_instances,
                Some(instance) => scope.of_instance.entry(instance.into()).or_default(),
            };
            let value = measure.limit(config.threshold_type.value(), *scale);
            let limit = Limit { value, threshold };
            match groups.iter_mut().find(|group| group.measure == *measure) {
                Some(group) => group.limits.push(limit),
                None => groups.push(Group { measure: *measure, limits: vec![limit] }),
            }
        }
        set.thresholds = thresholds;
        set.scopes_mut().for_each(Scope::sort);
        set
    }

    fn scopes_mut(&mut self) -> impl Iterator<Item = &mut Scope> {
        self.of_user.values_mut().chain(std::iter::once(&mut self.of_all_users))
    }

    /// How many thresholds there are, those that are not enabled included.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.thresholds.len()
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.thresholds.is_empty()
    }

    /// The thresholds, sorted by id.
    pub fn configs(&self) -> impl ExactSizeIterator<Item = &ThresholdConfig> {
        self.thresholds.iter().map(|compiled| &*compiled.config)
    }

    /// Whether violations of any threshold that is enabled have states ([`ThresholdConfig::has_states`]).
    #[must_use]
    pub const fn has_states(&self) -> bool {
        self.has_states
    }

    /// No instance is silent for any threshold before so many seconds.
    pub(super) const fn shortest_silence(&self) -> i64 {
        self.shortest_silence
    }

    /// What `event` exceeds, sorted by threshold id.
    #[must_use]
    pub fn violations<'e>(&self, event: impl Into<MeasuredEvent<'e>>) -> Vec<ThresholdViolation> {
        let event = event.into();
        self.exceeded(event).into_iter().filter_map(|index| self.get(index)).map(|it| it.violation(event)).collect()
    }

    /// The places of the thresholds that `event` exceeds, in rising order, which is that of their ids.
    pub(super) fn exceeded(&self, event: MeasuredEvent<'_>) -> Vec<usize> {
        let mut exceeded = Vec::new();
        for group in self.groups(&event.user_id, &event.instance_id) {
            let Some(current) = group.measure.of(event) else { continue };
            // Not a number exceeds nothing, as every comparison with it is false.
            exceeded.extend(group.limits.iter().take_while(|limit| current > limit.value).map(|limit| limit.threshold));
        }
        exceeded.sort_unstable();
        exceeded
    }

    /// The limits for this user and instance.
    fn groups<'s>(&'s self, user_id: &str, instance_id: &'s str) -> impl Iterator<Item = &'s Group> {
        let scopes = [Some(&self.of_all_users), get(&self.of_user, user_id)];
        scopes.into_iter().flatten().flat_map(move |scope| {
            [Some(&scope.of_all_instances), get(&scope.of_instance, instance_id)].into_iter().flatten().flatten()
        })
    }

    /// The thresholds that an event of this user and instance can't be held against, since the metric that they are on was
    /// not metered; sorted by id, each with the name of the metric.
    #[must_use]
    pub fn not_evaluated(
        &self,
        user_id: &str,
        instance_id: &str,
        not_metered: MetricSet,
    ) -> Vec<(&ThresholdConfig, &'static str)> {
        if not_metered.is_empty() {
            return Vec::new();
        }
        let groups = self.groups(user_id, instance_id).filter(|group| not_metered.intersects(group.measure.metric()));
        let mut found: Vec<usize> = groups.flat_map(|group| &group.limits).map(|limit| limit.threshold).collect();
        found.sort_unstable();
        found.into_iter().filter_map(|at| self.get(at)).map(|it| (&*it.config, it.measure.name())).collect()
    }

    /// The threshold at a place.
    pub(super) fn get(&self, index: usize) -> Option<&Compiled> {
        self.thresholds.get(index)
    }

    /// The threshold of an id.
    pub(super) fn find(&self, id: &str) -> Option<&Compiled> {
        let at = self.thresholds.binary_search_by(|compiled| compiled.config.id.as_str().cmp(id)).ok()?;
        self.thresholds.get(at)
    }

    /// The thresholds that look after instances where all is well, for the silence of these is told.
    pub(super) fn watchers(&self) -> impl Iterator<Item = &Compiled> {
        self.watchers.iter().filter_map(|index| self.thresholds.get(*index))
    }

    /// Whether an event of this user and instance with these figures exceeds anything, or some threshold can't be held
    /// against it: whether [`ThresholdSet::violations`] or [`ThresholdSet::not_evaluated`] would have something, for who
    /// reads millions of events and makes none of them.
    #[must_use]
    pub fn concerns_any(
        &self,
        user_id: &str,
        instance_id: &str,
        metrics: &UsageMetrics,
        not_metered: MetricSet,
    ) -> bool {
        self.groups(user_id, instance_id).any(|group| {
            // The lowest limit decides.
            not_metered.intersects(group.measure.metric())
                || group.limits.first().is_some_and(|limit| group.measure.of_metrics(metrics) > limit.value)
        })
    }

    /// The figure of an event of this user and instance that the threshold at `place` of [`ThresholdSet::configs`] is
    /// compared with, in the unit of the threshold; `None` where it is not enabled or for others, or the figure was not
    /// metered.
    #[must_use]
    pub fn current_at(
        &self,
        place: usize,
        user_id: &str,
        instance_id: &str,
        metrics: &UsageMetrics,
        not_metered: MetricSet,
    ) -> Option<f64> {
        let compiled = self.thresholds.get(place)?;
        if not_metered.intersects(compiled.measure.metric()) {
            return None;
        }
        let applies = compiled.config.enabled && compiled.config.applies_to(user_id, instance_id);
        applies.then(|| (compiled.measure.of_metrics(metrics) / compiled.scale).min(f64::MAX))
    }

    /// Each threshold, sorted by id, with why `event` exceeds it or does not. This looks at all of them.
    pub fn explain<'a>(&'a self, event: impl Into<MeasuredEvent<'a>>) -> impl Iterator<Item = Explanation<'a>> {
        let event = event.into();
        self.thresholds.iter().map(move |compiled| Explanation::new(compiled, event))
    }
}

/// A lookup that does not hash where there is nothing to find.
fn get<'a, T>(map: &'a HashMap<Box<str>, T>, key: &str) -> Option<&'a T> {
    if map.is_empty() { None } else { map.get(key) }
}

impl Scope {
    fn sort(&mut self) {
        for groups in self.of_instance.values_mut().chain(std::iter::once(&mut self.of_all_instances)) {
            for group in groups {
                group.limits.sort_by(|a, b| a.value.total_cmp(&b.value));
            }
        }
    }
}

/// Of an id that is too long a message shows so much.
const SHOWN_CHARS: usize = 64;

fn compile(config: ThresholdConfig) -> Result<Compiled, String> {
    let ThresholdConfig { id, resource_type: resource, threshold_type, .. } = &config;
    if id.is_empty() {
        return Err("a threshold has an empty id; give it a name".to_owned());
    }
    if let Some(fault) = overlong(&config) {
        let id: String = id.chars().take(SHOWN_CHARS).collect();
        return Err(format!("threshold `{id}`: {fault}"));
    }
    if config.notification_channels.len() > MAX_CHANNELS {
        let channels = config.notification_channels.len();
        return Err(format!("threshold `{id}`: it names {channels} channels, expected at most {MAX_CHANNELS}"));
    }
    let value = threshold_type.value();
    if !value.is_finite() || value < 0.0 {
        return Err(format!("threshold `{id}`: the value is {value}, expected a finite number of at least 0"));
    }
    let (measure, scale) = match threshold_type {
        ThresholdType::Percentage { .. } if value > 100.0 => {
            return Err(format!("threshold `{id}`: a percentage of {value} is never exceeded, expected at most 100"));
        }
        ThresholdType::Percentage { .. } => {
            let measure = Measure::percentage(*resource).ok_or_else(|| no_percentage(id, *resource))?;
            (measure, 1.0)
        }
        ThresholdType::Absolute { unit, .. } => {
            Measure::absolute(*resource, unit).ok_or_else(|| no_such_unit(id, *resource, unit))?
        }
    };
    if let Some(clear) = config.clear_value
        && !(0.0..=value).contains(&clear)
    {
        return Err(format!(
            "threshold `{id}`: `clear_value` is {clear}, expected a number from 0 to the limit, {value}"
        ));
    }
    if let Some(after) = config.no_data_after
        && !(1..FORGET_AFTER).contains(&after.seconds())
    {
        return Err(format!(
            "threshold `{id}`: `no_data_after` is {after}, expected from 1s to less than 7d, after which an instance is forgotten"
        ));
    }
    let clear = config.has_states().then(|| measure.limit(config.clear_value.unwrap_or(value), scale));
    Ok(Compiled { config: Arc::new(config), measure, scale, clear })
}

/// Which text of a threshold is too long for all the alerts that carry it, and how long it may be.
fn overlong(config: &ThresholdConfig) -> Option<String> {
    let ThresholdConfig { id, user_id, instance_id, action, description, notification_channels, .. } = config;
    let action = if let ActionType::Action(name) = action { name.as_str() } else { "" };
    let channel = notification_channels.iter().max_by_key(|channel| channel.len());
    let texts = [
        ("id", id.as_str(), MAX_ID_BYTES),
        ("user_id", user_id, MAX_ID_BYTES),
        ("instance_id", instance_id.as_deref().unwrap_or_default(), MAX_ID_BYTES),
        ("action", action, MAX_ID_BYTES),
        ("notification_channels", channel.map_or("", String::as_str), MAX_ID_BYTES),
        ("description", description.as_deref().unwrap_or_default(), MAX_DESCRIPTION_BYTES),
    ];
    let (name, text, most) = texts.into_iter().find(|(_, text, most)| text.len() > *most)?;
    Some(format!("`{name}` has {} bytes, expected at most {most}", text.len()))
}

fn no_percentage(id: &str, resource: ResourceType) -> String {
    format!(
        "threshold `{id}`: events carry no percentage of {resource}; use an absolute limit on {}, in one of: {}",
        resource.metric(),
        resource.units().join(", ")
    )
}

fn no_such_unit(id: &str, resource: ResourceType, unit: &str) -> String {
    let units = resource.units();
    let nearest = units.iter().find(|known| known.eq_ignore_ascii_case(unit));
    let hint = nearest.map(|known| format!("; did you mean `{known}`?")).unwrap_or_default();
    format!("threshold `{id}`: {resource} is not measured in `{unit}`, expected one of: {}{hint}", units.join(", "))
}

impl Compiled {
    /// What the event says, in the threshold's unit; finite. `None` where it was not metered.
    pub(super) fn known(&self, event: MeasuredEvent<'_>) -> Option<f64> {
        self.measure.of(event).map(|figure| (figure / self.scale).min(f64::MAX))
    }

    /// The same of an event that says it, as one does that exceeds something; else 0.
    pub(super) fn current(&self, event: MeasuredEvent<'_>) -> f64 {
        self.known(event).unwrap_or_default()
    }

    /// Whether what the event says is over the limit, whomever it is of.
    pub(super) fn exceeded(&self, event: MeasuredEvent<'_>) -> bool {
        let limit = self.measure.limit(self.config.threshold_type.value(), self.scale);
        self.measure.of(event).is_some_and(|figure| figure > limit)
    }

    /// Whether what the event says is so low that what fired is over. Not a number is neither this nor exceeded.
    pub(super) fn cleared(&self, event: MeasuredEvent<'_>) -> bool {
        self.clear.zip(self.measure.of(event)).is_some_and(|(clear, figure)| figure <= clear)
    }

    /// Whether it is for the event's user and instance.
    pub(super) fn applies(&self, event: MeasuredEvent<'_>) -> bool {
        self.config.applies_to(&event.user_id, &event.instance_id)
    }

    /// How far over the limit `event` is, in percent of it; finite.
    pub(super) fn percent_over(&self, event: MeasuredEvent<'_>) -> f64 {
        let limit = self.config.threshold_type.value();
        // Over a limit of 0 this is infinite.
        ((self.current(event) - limit) / limit * 100.0).min(f64::MAX)
    }

    pub(super) fn violation(&self, event: MeasuredEvent<'_>) -> ThresholdViolation {
        ThresholdViolation {
            config: self.config.clone(),
            current_value: self.current(event),
            threshold_value: self.config.threshold_type.value(),
            percentage: self.percent_over(event),
            timestamp: event.timestamp,
            instance_id: event.instance_id.clone(),
            user_id: event.user_id.clone(),
        }
    }
}
