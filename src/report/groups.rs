//! The rows of a report while they grow, and their order in the end: about 300 bytes a row.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use super::figures::Figures;
use super::names::Names;
use super::output::{Dimension, Row};
use super::tally::Tally;
use super::zone::DayCode;

/// The number of an organization that is none.
pub(super) const NO_ORGANIZATION: u32 = u32::MAX;

/// What a row is about, by numbers of names. Dimensions that rows are not told apart by stay at their default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Key {
    pub(super) day: DayCode,
    pub(super) org: u32,
    pub(super) user: u32,
    pub(super) instance: u32,
}

/// Sums by what they are about.
#[derive(Debug, Default)]
pub(super) struct Groups {
    rows: Vec<(Key, Tally)>,
    places: HashTable<u32>,
    hasher: RandomState,
}

impl Groups {
    /// The sums of `key`, which are zero where it is new.
    pub(super) fn tally(&mut self, key: Key) -> &mut Tally {
        let Self { rows, places, hasher } = self;
        let hash = hasher.hash_one(key);
        let key_at = |place: u32| rows.get(place as usize).map(|(key, _)| *key);
        let found = places.find(hash, |place| key_at(*place) == Some(key)).copied();
        let place = found.unwrap_or_else(|| {
            let place = u32::try_from(rows.len()).unwrap_or(u32::MAX);
            places.insert_unique(hash, place, |place| hasher.hash_one(key_at(*place).unwrap_or_default()));
            place
        }) as usize;
        if place >= rows.len() {
            rows.push((key, Tally::default()));
        }
        &mut rows[place].1
    }

    /// All together.
    pub(super) fn total(&self, instances: &Names) -> Figures {
        let mut total = Tally::default();
        self.rows.iter().for_each(|(_, tally)| total.merge(tally, instances));
        total.figures(instances)
    }
}

/// The rows of a report, sorted. Each is made when it is asked for, since a report may have millions.
#[derive(Debug)]
pub(super) struct Rows {
    rows: Vec<(Key, Tally)>,
    order: Vec<u32>,
    by: Vec<Dimension>,
    instances: Names,
    users: Names,
    organizations: Names,
}

impl Rows {
    pub(super) fn new(groups: Groups, by: Vec<Dimension>, [instances, users, organizations]: [Names; 3]) -> Self {
        let Groups { rows, .. } = groups;
        let ranks = [&instances, &users, &organizations].map(Names::ranks);
        let rank = |of: usize, number: u32| ranks.get(of).and_then(|ranks| ranks.get(number as usize)).copied();
        let compare = |one: &Key, other: &Key| {
            let in_dimension = |dimension: &Dimension| match dimension {
                Dimension::Day => one.day.cmp(&other.day),
                // No organization comes first: it has no rank.
                Dimension::Org => rank(2, one.org).cmp(&rank(2, other.org)),
                Dimension::User => rank(1, one.user).cmp(&rank(1, other.user)),
                Dimension::Instance => rank(0, one.instance).cmp(&rank(0, other.instance)),
            };
            by.iter().map(in_dimension).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
        };
        let mut order: Vec<u32> = (0..u32::try_from(rows.len()).unwrap_or(u32::MAX)).collect();
        order.sort_unstable_by(|one, other| compare(&rows[*one as usize].0, &rows[*other as usize].0));
        Self { rows, order, by, instances, users, organizations }
    }

    pub(super) const fn len(&self) -> usize {
        self.order.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Row> {
        self.order.iter().filter_map(|place| self.rows.get(*place as usize)).map(|(key, tally)| self.row(key, tally))
    }

    fn row(&self, key: &Key, tally: &Tally) -> Row {
        let told_by = |dimension: Dimension| self.by.contains(&dimension);
        let organization = || (key.org != NO_ORGANIZATION).then(|| self.organizations.name(key.org).to_owned());
        Row {
            day: told_by(Dimension::Day).then(|| key.day.to_string()),
            org_id: told_by(Dimension::Org).then(organization),
            user_id: told_by(Dimension::User).then(|| self.users.name(key.user).to_owned()),
            instance_id: told_by(Dimension::Instance).then(|| self.instances.name(key.instance).to_owned()),
            figures: tally.figures(&self.instances),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_takes_little_memory() {
        assert!(size_of::<(Key, Tally)>() <= 280, "{}", size_of::<(Key, Tally)>());
    }
}
