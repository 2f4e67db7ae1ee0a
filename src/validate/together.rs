//! Thresholds together: one that hides another, in whichever file each stands.

use std::collections::HashMap;

use super::json::quote;
use super::{Code, Finding, Place};
use crate::threshold::{ANY, ActionType, ResourceType, ThresholdConfig, ThresholdType};
use crate::units::{bytes_per, seconds_per};

/// What a threshold does beside its limit, as far as it could make a difference.
type Effect = (ActionType, Vec<String>, [Option<String>; 4]);

/// Resource, whether a percentage, user, instance; `None` is every one of them.
type Scope = (ResourceType, bool, Option<Box<str>>, Option<Box<str>>);

#[derive(Debug)]
struct Seen {
    id: Box<str>,
    /// In bytes, seconds or percent.
    limit: f64,
    effect: Effect,
    file: u32,
    place: Place,
}

/// The thresholds of a run that are sound by themselves.
#[derive(Debug, Default)]
pub(super) struct Together {
    scopes: HashMap<Scope, Vec<Seen>>,
}

impl Together {
    pub(super) fn insert(&mut self, config: ThresholdConfig, file: u32, place: Place) {
        if !config.enabled {
            return;
        }
        let (percentage, limit) = match &config.threshold_type {
            ThresholdType::Percentage { value } => (true, *value),
            ThresholdType::Absolute { value, unit } => match bytes_per(unit).or_else(|| seconds_per(unit)) {
                #[allow(clippy::cast_precision_loss)] // at most 2^40
                Some(scale) => (false, value * scale as f64),
                None => return,
            },
        };
        let named = |name: Option<String>| name.filter(|name| name != ANY).map(String::into_boxed_str);
        let text = |value: Option<String>| value;
        let mut channels = config.notification_channels;
        channels.sort_unstable();
        let states = [
            text(config.hold.map(|span| span.to_string())),
            text(config.repeat_interval.map(|span| span.to_string())),
            text(config.severity.map(|severity| severity.name().to_owned())),
            text(config.clear_value.map(|_| config.id.clone())),
        ];
        let scope = (config.resource_type, percentage, named(Some(config.user_id)), named(config.instance_id));
        let seen = Seen { id: config.id.into(), limit, effect: (config.action, channels, states), file, place };
        self.scopes.entry(scope).or_default().push(seen);
    }

    /// Every threshold that another hides, with the file that it is in. `name` gives the names of files.
    pub(super) fn hidden<'f>(&self, name: impl Fn(u32) -> &'f str) -> Vec<(u32, Finding)> {
        // For each scope and effect the lowest limit, the first of several.
        let mut lowest: HashMap<(&Scope, &Effect), &Seen> = HashMap::new();
        for (scope, list) in &self.scopes {
            for seen in list {
                let least = lowest.entry((scope, &seen.effect)).or_insert(seen);
                if (seen.limit, seen.file, &seen.place) < (least.limit, least.file, &least.place) {
                    *least = seen;
                }
            }
        }
        let mut hidden = Vec::new();
        for (scope, list) in &self.scopes {
            let (resource, percentage, user, instance) = scope.clone();
            let broader: [Scope; 3] = [
                (resource, percentage, None, instance.clone()),
                (resource, percentage, user.clone(), None),
                (resource, percentage, None, None),
            ];
            for seen in list {
                let by = |scope: &Scope| {
                    let least = *lowest.get(&(scope, &seen.effect))?;
                    (least.limit <= seen.limit && !std::ptr::eq(least, seen)).then_some(least)
                };
                // In the same scope a second limit may be a second stage; the same limit twice is not.
                let same = by(scope).filter(|least| least.limit.total_cmp(&seen.limit).is_eq());
                if let Some(least) = broader.iter().filter(|broader| *broader != scope).find_map(by).or(same) {
                    hidden.push((seen.file, finding(seen, least, &name)));
                }
            }
        }
        hidden.sort_by(|(file, one), (other_file, other)| file.cmp(other_file).then_with(|| one.by_place(other)));
        hidden
    }
}

fn finding<'f>(seen: &Seen, least: &Seen, name: &impl Fn(u32) -> &'f str) -> Finding {
    let place = if least.file == seen.file {
        format!("line {}", least.place.line)
    } else {
        format!("{}:{}", name(least.file), least.place.line)
    };
    let message =
        format!("{} adds nothing to {}, which is for more and fires earlier", quote(&seen.id), quote(&least.id));
    Finding::warning(Code::HiddenThreshold, message)
        .found(format!("the other at {place}"))
        .expected("a lower limit, another action or another severity than the broader threshold has")
        .help("remove it, or change what it does")
        .at(seen.place.clone())
}
