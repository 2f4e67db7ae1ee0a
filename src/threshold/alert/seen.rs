//! Which period of each instance was seen last, in 16 bytes an instance.
//!
//! Instances are known by 64 bits of a salted hash: two of a million share one with a chance of 3 in 10^8, and then
//! one of them may be taken for late. The salt is secret, so that nobody can choose a name for it.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hasher as _};

use crate::events::UsagePeriod;

/// Of an instance that was silent for so long nothing is remembered, in seconds.
pub(crate) const FORGET_AFTER: i64 = 7 * 86_400;

/// The table is first cleared of old entries at this size, and then whenever it has doubled.
const FIRST_PRUNE: usize = 1_024;

/// A period in 64 bits: 37 of its end, enough for every time of an event, a mark ([`HEARD`]), and 26 of its length.
const LENGTH_BITS: u32 = 27;
const MAX_LENGTH: i64 = (1 << (LENGTH_BITS - 1)) - 1;
const MAX_END: i64 = (1 << (64 - LENGTH_BITS)) - 1;

/// Set where the period was heard in this run; never written to a file.
const HEARD: u64 = 1 << (LENGTH_BITS - 1);

/// What an event is against those that came before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    New,
    /// It ends no later than one that was seen.
    Late,
    /// Its period is the one that was seen last.
    Repeated,
}

/// Makes keys of instances, on any thread: [`AlertStates::pass`](super::AlertStates::pass) takes them.
#[derive(Debug, Clone, Copy)]
pub struct InstanceKeys {
    salt: u64,
}

/// An instance in 64 bits of a salted hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct InstanceKey(u64);

impl InstanceKeys {
    /// The key of an instance.
    #[must_use]
    pub fn of(self, instance_id: &str) -> InstanceKey {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.salt);
        hasher.write(instance_id.as_bytes());
        InstanceKey(hasher.finish())
    }
}

#[derive(Debug, Clone)]
pub(super) struct Seen {
    salt: u64,
    last: HashMap<u64, u64>,
    prune_at: usize,
    /// The earliest new period of each instance in this run; `None` unless [`Seen::note_first_periods`] was called.
    first: Option<HashMap<u64, u64>>,
}

impl Seen {
    pub(super) fn new(salt: u64) -> Self {
        Self { salt, last: HashMap::new(), prune_at: FIRST_PRUNE, first: None }
    }

    pub(super) const fn salt(&self) -> u64 {
        self.salt
    }

    /// Compares, and remembers what is new. `watermark` is the latest time of the stream.
    pub(super) fn note(&mut self, InstanceKey(key): InstanceKey, period: UsagePeriod, watermark: i64) -> Order {
        let packed = pack(period);
        let last = self.last.get(&key).copied();
        match last {
            Some(last) if last & !HEARD == packed => return Order::Repeated,
            Some(last) if last >> LENGTH_BITS >= packed >> LENGTH_BITS => {
                if let Some(first) = self.first.as_mut().and_then(|first| first.get_mut(&key)) {
                    *first = packed.min(*first);
                }
                return Order::Late;
            }
            _ => {}
        }
        self.last.insert(key, packed | HEARD);
        if let Some(first) = self.first.as_mut().filter(|_| last.is_none_or(|last| last & HEARD == 0)) {
            first.insert(key, packed);
        }
        if self.last.len() >= self.prune_at {
            let oldest = pack(UsagePeriod { start: 0, end: watermark.saturating_sub(FORGET_AFTER) }) >> LENGTH_BITS;
            self.last.retain(|_, last| *last >> LENGTH_BITS >= oldest);
            self.prune_at = FIRST_PRUNE.max(2 * self.last.len());
            if let Some(first) = &mut self.first {
                first.retain(|key, _| self.last.contains_key(key));
            }
        }
        Order::New
    }

    /// From now on remembers the earliest new period of each instance.
    pub(super) fn note_first_periods(&mut self) {
        self.last.values_mut().for_each(|last| *last &= !HEARD);
        self.first = Some(HashMap::new());
    }

    /// The earliest new period of an instance since [`Seen::note_first_periods`].
    pub(super) fn first(&self, InstanceKey(key): InstanceKey) -> Option<PackedPeriod> {
        self.first.as_ref()?.get(&key).copied().map(PackedPeriod)
    }

    /// The last period of an instance.
    pub(super) fn last(&self, InstanceKey(key): InstanceKey) -> Option<PackedPeriod> {
        self.last.get(&key).map(|last| PackedPeriod(last & !HEARD))
    }

    /// Sets the last period of an instance back to an earlier one, or to none.
    pub(super) fn set_back(&mut self, InstanceKey(key): InstanceKey, last: Option<PackedPeriod>) {
        match last {
            Some(PackedPeriod(last)) => self.last.insert(key, last),
            None => self.last.remove(&key),
        };
    }

    /// The end of the last period of an instance.
    pub(super) fn last_end(&self, InstanceKey(key): InstanceKey) -> Option<i64> {
        self.last.get(&key).and_then(|packed| i64::try_from(packed >> LENGTH_BITS).ok())
    }

    /// What makes the keys of its instances.
    pub(super) const fn keys(&self) -> InstanceKeys {
        InstanceKeys { salt: self.salt }
    }

    /// A key of no instance: another hash function, of another build, gives another one.
    pub(super) fn probe(&self) -> u64 {
        self.keys().of("\0probe").0
    }

    /// The entries as hex digits, 32 an instance, in the order of the keys.
    pub(super) fn to_text(&self) -> String {
        use std::fmt::Write as _;
        let mut entries: Vec<_> = self.last.iter().collect();
        entries.sort_unstable();
        let mut text = String::with_capacity(32 * entries.len());
        for (key, packed) in entries {
            let _ = write!(text, "{key:016x}{:016x}", packed & !HEARD);
        }
        text
    }

    /// What [`Seen::to_text`] wrote; `None` where the text is something else.
    pub(super) fn read(salt: u64, text: &str) -> Option<Self> {
        if !text.len().is_multiple_of(32) || !text.is_ascii() {
            return None;
        }
        let mut seen = Self::new(salt);
        for entry in text.as_bytes().chunks_exact(32) {
            let entry = std::str::from_utf8(entry).ok()?;
            let number = u128::from_str_radix(entry, 16).ok()?;
            let (key, packed) = ((number >> 64) as u64, (number & u128::from(u64::MAX)) as u64);
            seen.last.insert(key, packed & !HEARD);
        }
        seen.prune_at = FIRST_PRUNE.max(2 * seen.last.len());
        Some(seen)
    }
}

/// A period in 64 bits, which sorts by its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(super) struct PackedPeriod(u64);

impl PackedPeriod {
    pub(super) fn of(period: UsagePeriod) -> Self {
        Self(pack(period))
    }

    /// Whether this period ends later than `other`.
    pub(super) const fn ends_after(self, other: Self) -> bool {
        self.0 >> LENGTH_BITS > other.0 >> LENGTH_BITS
    }
}

impl From<PackedPeriod> for String {
    /// 16 hex digits, so that readers of JSON that know floats alone keep them.
    fn from(PackedPeriod(bits): PackedPeriod) -> Self {
        format!("{bits:016x}")
    }
}

impl TryFrom<String> for PackedPeriod {
    type Error = std::num::ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(|bits| Self(bits & !HEARD))
    }
}

fn pack(period: UsagePeriod) -> u64 {
    let end = period.end.clamp(0, MAX_END).unsigned_abs();
    let length = period.end.saturating_sub(period.start).clamp(0, MAX_LENGTH).unsigned_abs();
    end << LENGTH_BITS | length
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn period(start: i64, end: i64) -> UsagePeriod {
        UsagePeriod { start, end }
    }

    #[test]
    fn tells_late_and_repeated_from_new() {
        let mut seen = Seen::new(7);
        for (instance, start, end, order) in [
            ("a", 0, 30, Order::New),
            ("a", 0, 30, Order::Repeated),
            ("a", 30, 60, Order::New),
            ("b", 0, 30, Order::New),
            ("a", 0, 30, Order::Late),
            ("a", 45, 60, Order::Late),
            ("a", 45, 90, Order::New),
            ("a", 99_999_999_000, 99_999_999_999, Order::New),
        ] {
            let key = seen.keys().of(instance);
            assert_eq!(seen.note(key, period(start, end), end), order, "{instance} {start}");
        }
        let mut again = Seen::read(7, &seen.to_text()).unwrap();
        assert_eq!(again.note(seen.keys().of("b"), period(0, 30), 0), Order::Repeated);
        assert_eq!(again.to_text(), seen.to_text());
        assert!(Seen::read(7, "x").is_none() && Seen::read(7, &"x".repeat(32)).is_none());
    }

    #[test]
    fn what_is_long_silent_takes_no_room() {
        let mut seen = Seen::new(7);
        for number in 0..20_000i64 {
            let start = number * 86_400;
            let key = seen.keys().of(&number.to_string());
            seen.note(key, period(start, start + 30), start + 30);
        }
        assert!(seen.last.len() <= FIRST_PRUNE);
        let last = seen.keys().of("19999");
        assert_eq!(seen.note(last, period(19_999 * 86_400, 19_999 * 86_400 + 30), 0), Order::Repeated);
    }
}
