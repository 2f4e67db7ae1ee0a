//! What plots are drawn from: averages over steps of time, in bounded memory.
//!
//! All instances share one step. When there are too many steps for a plot, or too many in all, the step is doubled and
//! pairs become one.

use super::figures::{MEASURES, UNKNOWN};
use super::tally::Part;

/// So many steps are drawn at most: about one for each pixel and a half.
const STEPS: i64 = 720;

/// So many steps there are in all, of all instances (about 20 MB).
const CELLS: usize = 1 << 18;

/// The figures of one instance in one step.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cell {
    /// The step's number: its start in steps since 1970.
    step: i64,
    /// How much of it was metered, periods that overlap counted each.
    seconds: f64,
    /// Figures times seconds; [`UNKNOWN`] where one of them was not metered.
    sums: [f64; MEASURES],
}

/// Figures by instance and step.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// The length of a step, in seconds; 0 before the first event.
    width: i64,
    /// The first and the last step that there are.
    range: Option<(i64, i64)>,
    cells: usize,
    instances: Vec<Vec<Cell>>,
}

/// A figure over time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    /// The middle of the step, in Unix seconds.
    pub(super) at: f64,
    pub(super) value: f64,
}

impl Series {
    /// Adds an event's figures to the steps that its part touches.
    pub(super) fn add(&mut self, instance: u32, measured: &[f64; MEASURES], part: Part) {
        if self.width == 0 {
            self.width = part.to.saturating_sub(part.from).max(1);
        }
        loop {
            let (first, last) = (part.from.div_euclid(self.width), (part.to - 1).div_euclid(self.width));
            let range = self.range.map_or((first, last), |(low, high)| (low.min(first), high.max(last)));
            let touched = usize::try_from(last - first).unwrap_or(usize::MAX);
            if range.1.saturating_sub(range.0) < STEPS && self.cells.saturating_add(touched) < CELLS {
                self.range = Some(range);
                break;
            }
            // With one step for each instance there is no less to be had.
            if range.0 == range.1 {
                self.range = Some(range);
                break;
            }
            self.double();
        }
        let Ok(instance) = usize::try_from(instance) else { return };
        if self.instances.len() <= instance {
            self.instances.resize_with(instance + 1, Vec::new);
        }
        let Some(cells) = self.instances.get_mut(instance) else { return };
        let mut from = part.from;
        while from < part.to {
            let step = from.div_euclid(self.width);
            let to = ((step + 1) * self.width).min(part.to);
            #[allow(clippy::cast_precision_loss)]
            let seconds = (to - from) as f64;
            let added = Cell { step, seconds, sums: measured.map(|value| value * seconds) };
            match cells.last_mut() {
                Some(last) if last.step == step => last.merge(&added),
                Some(last) if last.step > step => match cells.binary_search_by_key(&step, |cell| cell.step) {
                    Ok(at) => cells[at].merge(&added),
                    Err(at) => {
                        cells.insert(at, added);
                        self.cells += 1;
                    }
                },
                _ => {
                    cells.push(added);
                    self.cells += 1;
                }
            }
            from = to;
        }
    }

    fn double(&mut self) {
        self.width = self.width.saturating_mul(2);
        self.range = self.range.map(|(low, high)| (low.div_euclid(2), high.div_euclid(2)));
        self.cells = 0;
        for cells in &mut self.instances {
            let mut kept: usize = 0;
            for at in 0..cells.len() {
                let cell = Cell { step: cells[at].step.div_euclid(2), ..cells[at] };
                match kept.checked_sub(1).map(|last| &mut cells[last]) {
                    Some(last) if last.step == cell.step => last.merge(&cell),
                    _ => {
                        cells[kept] = cell;
                        kept += 1;
                    }
                }
            }
            cells.truncate(kept);
            self.cells += kept;
        }
    }

    /// The instances, each with its largest share of any figure: who uses most of something comes first.
    pub(super) fn shares(&self) -> Vec<(u32, f64)> {
        let sums: Vec<[f64; MEASURES]> = self
            .instances
            .iter()
            .map(|cells| {
                let mut sums = Cell::default();
                let known = |sum: f64| if sum == UNKNOWN { 0.0 } else { sum };
                cells.iter().for_each(|cell| sums.merge(&Cell { sums: cell.sums.map(known), ..*cell }));
                sums.sums
            })
            .collect();
        let mut all = Cell::default();
        sums.iter().for_each(|sums| all.merge(&Cell { sums: *sums, ..Cell::default() }));
        let share = |sums: &[f64; MEASURES]| {
            sums.iter().zip(all.sums).map(|(own, all)| if all > 0.0 { own / all } else { 0.0 }).fold(0.0, f64::max)
        };
        (0..).zip(&sums).map(|(instance, sums)| (instance, share(sums))).collect()
    }

    /// How long a step is, in seconds.
    pub(super) const fn width(&self) -> i64 {
        self.width
    }

    /// The lines of a figure for one instance: points of steps that follow one another. `coarser` steps become one. There
    /// is no point where some of it was not metered.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn lines(&self, instance: u32, measure: usize, coarser: i64) -> Vec<Vec<Point>> {
        let cells = usize::try_from(instance).ok().and_then(|instance| self.instances.get(instance));
        let mut merged: Vec<Cell> = Vec::new();
        for cell in cells.into_iter().flatten() {
            let cell = Cell { step: cell.step.div_euclid(coarser), ..*cell };
            match merged.last_mut() {
                Some(last) if last.step == cell.step => last.merge(&cell),
                _ => merged.push(cell),
            }
        }
        let width = self.width.saturating_mul(coarser) as f64;
        let mut lines: Vec<Vec<Point>> = Vec::new();
        let mut before = None;
        for cell in merged {
            let value = cell.sums.get(measure).map_or(0.0, |sum| sum / cell.seconds);
            if value == UNKNOWN {
                continue;
            }
            let point = Point { at: (cell.step as f64 + 0.5) * width, value };
            match lines.last_mut() {
                Some(line) if before == Some(cell.step - 1) => line.push(point),
                _ => lines.push(vec![point]),
            }
            before = Some(cell.step);
        }
        lines
    }
}

impl Cell {
    fn merge(&mut self, other: &Self) {
        self.seconds += other.seconds;
        for (sum, more) in self.sums.iter_mut().zip(other.sums) {
            *sum += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_bounded_and_averages_stay() {
        let mut series = Series::default();
        for n in 0..20_000i64 {
            for instance in 0..40 {
                let measured = [f64::from(instance); MEASURES];
                series.add(instance, &measured, Part { from: n * 30, to: n * 30 + 30 });
            }
        }
        assert!(series.cells <= CELLS && series.width == 960, "{} cells of {} s", series.cells, series.width);
        let lines = series.lines(7, 3, 1);
        assert_eq!(lines.len(), 1);
        assert!(lines[0].len() <= 720 && lines[0].iter().all(|point| (point.value - 7.0).abs() < 1e-9));
        assert!(series.lines(7, 3, 4)[0].len() <= 180);
    }

    #[test]
    fn a_line_ends_where_nothing_was_metered_and_order_does_not_matter() {
        let mut series = Series::default();
        for n in [9i64, 1, 0, 8, 2] {
            series.add(0, &[1.0; MEASURES], Part { from: n * 30, to: n * 30 + 30 });
        }
        let lines = series.lines(0, 0, 1);
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [3, 2]);
        assert_eq!(lines[0][0].at, 15.0);
        series.add(0, &[UNKNOWN; MEASURES], Part { from: 30, to: 60 });
        let lines = series.lines(0, 0, 1);
        assert_eq!(lines.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 2]);
        assert_eq!(series.shares(), [(0, 1.0)]);
    }
}
