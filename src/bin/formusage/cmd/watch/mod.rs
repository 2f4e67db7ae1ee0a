//! `collect --watch`: the open period of each instance, live on a terminal.
//!
//! [`Board`] is what is shown and how it is sorted; `view` draws it; `screen` is the terminal. Events go on to standard
//! output where that is no terminal, so that `collect --watch | publish` delivers while somebody looks.

mod screen;
mod view;

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};

use form_usage_events::collect::Metered;
use form_usage_events::events::{MetricSet, UsageEvent};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

pub(crate) use self::screen::{Screen, Writes, give_terminal_back, key};

/// So many looks back a sparkline goes.
const HISTORY: usize = 120;

/// What is measured between two looks.
const RATES: usize = 5;

/// An instance's figures: of the open period so far, and at the last looks.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) event: UsageEvent,
    /// What of it could not be measured.
    pub(crate) not_metered: MetricSet,
    /// Figures between looks, oldest first: CPU percent, memory GB, MB a second sent and received, GPUs.
    pub(crate) history: [VecDeque<f64>; RATES],
    /// The look that saw it last.
    seen: u64,
}

/// A period as far as it goes.
#[derive(Debug)]
pub(crate) struct Period {
    pub(crate) event: UsageEvent,
    /// What of it could not be measured.
    pub(crate) not_metered: MetricSet,
}

impl From<&Metered> for Period {
    fn from(metered: &Metered) -> Self {
        Self { event: metered.event.clone(), not_metered: metered.not_metered }
    }
}

/// What rows are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Instance,
    User,
    Cpu,
    Memory,
    Storage,
    Sent,
    Received,
    Gpu,
}

impl Sort {
    /// The key that asks for it.
    pub(crate) const ALL: [(char, Self); 8] = [
        ('i', Self::Instance),
        ('u', Self::User),
        ('c', Self::Cpu),
        ('m', Self::Memory),
        ('d', Self::Storage),
        ('s', Self::Sent),
        ('r', Self::Received),
        ('g', Self::Gpu),
    ];
}

impl Sort {
    /// The metrics that a column of this kind shows.
    pub(crate) const fn metrics(self) -> MetricSet {
        match self {
            Self::Cpu => MetricSet::CPU,
            Self::Memory => MetricSet::MEMORY_GB,
            Self::Storage => MetricSet::STORAGE,
            Self::Sent | Self::Received => MetricSet::NETWORK,
            Self::Gpu => MetricSet::GPU,
            Self::Instance | Self::User => MetricSet::NONE,
        }
    }
}

/// What a key asks for beyond what the board does itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To go on, and to draw again.
    Nothing,
    /// To end.
    End,
}

/// What is shown.
#[derive(Debug)]
pub(crate) struct Board {
    instances: BTreeMap<String, Running>,
    looks: u64,
    /// Until when the instances were looked at, in Unix seconds.
    pub(crate) now: i64,
    pub(crate) sort: Sort,
    pub(crate) reversed: bool,
    /// How many rows are above the first that is shown.
    pub(crate) above: usize,
    /// How many rows there was room for when it was drawn last.
    pub(crate) room: usize,
}

impl Default for Board {
    fn default() -> Self {
        Self { instances: BTreeMap::new(), looks: 0, now: 0, sort: Sort::Cpu, reversed: false, above: 0, room: 1 }
    }
}

impl Board {
    /// Takes a look: the open period of every instance that there is, as the event that it would be if it ended at
    /// `now` (Unix seconds). Where a period ended since the last look, its event goes before. Who is missing is gone.
    pub(crate) fn look(&mut self, now: i64, open: impl IntoIterator<Item = Period>) {
        self.now = now;
        self.looks += 1;
        for Period { event, not_metered } in open {
            let earlier = self.instances.remove(&event.instance_id);
            let rates = rates(earlier.as_ref().map(|running| &running.event), &event);
            let mut history = earlier.map_or_else(Default::default, |running| running.history);
            // Between two looks at one second nothing can be told.
            for (values, rate) in history.iter_mut().zip(rates.into_iter().flatten()) {
                values.push_back(rate);
                if values.len() > HISTORY {
                    values.pop_front();
                }
            }
            self.instances.insert(event.instance_id.clone(), Running { event, not_metered, history, seen: self.looks });
        }
        let looks = self.looks;
        self.instances.retain(|_, running| running.seen == looks);
    }

    pub(crate) fn len(&self) -> usize {
        self.instances.len()
    }

    /// The rows in the order that was asked for, the largest figures first.
    pub(crate) fn rows(&self) -> Vec<&Running> {
        let mut rows: Vec<&Running> = self.instances.values().collect();
        let figure = |running: &Running| {
            let metrics = &running.event.metrics;
            #[allow(clippy::cast_precision_loss)]
            match self.sort {
                Sort::Cpu => metrics.cpu_percent_avg,
                Sort::Memory => metrics.memory_gb,
                Sort::Storage => metrics.storage_gb,
                Sort::Sent => metrics.network_egress_mb,
                Sort::Received => metrics.network_ingress_mb,
                Sort::Gpu => metrics.gpu_seconds as f64,
                Sort::Instance | Sort::User => 0.0,
            }
        };
        rows.sort_by(|a, b| {
            let order = match self.sort {
                Sort::Instance => Ordering::Equal,
                Sort::User => a.event.user_id.cmp(&b.event.user_id),
                _ => figure(b).total_cmp(&figure(a)),
            };
            // Of equals the order stays, so that rows do not dance.
            let order = if self.reversed { order.reverse() } else { order };
            order.then_with(|| {
                let names = a.event.instance_id.cmp(&b.event.instance_id);
                if self.reversed && self.sort == Sort::Instance { names.reverse() } else { names }
            })
        });
        rows
    }

    /// Does what a key asks for.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Asked {
        if key.kind == KeyEventKind::Release {
            return Asked::Nothing;
        }
        let last = self.len().saturating_sub(self.room);
        match key.code {
            KeyCode::Char('c' | 'd') if key.modifiers.contains(KeyModifiers::CONTROL) => return Asked::End,
            KeyCode::Char('q') | KeyCode::Esc => return Asked::End,
            KeyCode::Up | KeyCode::Char('k') => self.above = self.above.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.above += 1,
            KeyCode::PageUp => self.above = self.above.saturating_sub(self.room),
            KeyCode::PageDown | KeyCode::Char(' ') => self.above += self.room,
            KeyCode::Home => self.above = 0,
            KeyCode::End => self.above = last,
            KeyCode::Char(letter) => {
                if let Some((_, sort)) = Sort::ALL.iter().find(|(key, _)| *key == letter.to_ascii_lowercase()) {
                    self.reversed = *sort == self.sort && !self.reversed;
                    self.sort = *sort;
                    self.above = 0;
                }
            }
            _ => {}
        }
        self.above = self.above.min(last);
        Asked::Nothing
    }
}

/// What was used between two looks; `None` where no second passed.
#[allow(clippy::cast_precision_loss)]
fn rates(before: Option<&UsageEvent>, now: &UsageEvent) -> Option<[f64; RATES]> {
    let length = |event: &UsageEvent| event.period.end.saturating_sub(event.period.start).max(0) as f64;
    // In a new period all that there is was used since the look before, or a little earlier.
    let before = before.filter(|before| before.period.start == now.period.start);
    let passed = length(now) - before.map_or(0.0, length);
    if passed <= 0.0 {
        return None;
    }
    let sum = |of: &dyn Fn(&UsageEvent) -> f64| ((of(now) - before.map_or(0.0, of)) / passed).max(0.0);
    let average = |of: &dyn Fn(&UsageEvent) -> f64| sum(&|event| of(event) * length(event));
    Some([
        average(&|event| event.metrics.cpu_percent_avg),
        average(&|event| event.metrics.memory_gb),
        sum(&|event| event.metrics.network_egress_mb),
        sum(&|event| event.metrics.network_ingress_mb),
        sum(&|event| event.metrics.gpu_seconds as f64),
    ])
}

#[cfg(test)]
mod tests;
