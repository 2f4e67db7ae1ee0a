//! A report as one page: everything within it, no script, nothing fetched.

mod axis;
mod page;
mod plot;
mod tables;

pub use plot::PlotError;

use super::figures::MEASURES;
use super::names::Names;
use super::output::Report;
use super::series::Series;
use crate::events::is_refused_in_id;
use crate::threshold::{ResourceType, ThresholdConfig, ThresholdType};
use crate::units::{BYTES_PER_GB, BYTES_PER_MB, bytes_per, seconds_per};

/// So many instances have a line; of more, those that use most of any resource.
const LINES: usize = 8;

/// So many limits are drawn into a plot.
const LIMITS: usize = 6;

/// What plots are drawn from.
#[derive(Debug)]
pub(super) struct Plots {
    series: Series,
    shown: Vec<Shown>,
    hidden: usize,
}

/// An instance that has a line.
#[derive(Debug)]
struct Shown {
    number: u32,
    instance: String,
    user: Option<String>,
}

/// What a plot shows.
struct Resource {
    title: &'static str,
    unit: &'static str,
    /// Its place among the measures.
    measure: usize,
    of: ResourceType,
    percent: bool,
    /// Drawn only where a limit of its kind is.
    only_with_limits: bool,
}

const fn resource(title: &'static str, unit: &'static str, measure: usize, of: ResourceType) -> Resource {
    Resource { title, unit, measure, of, percent: false, only_with_limits: false }
}

/// In the order of the page; figures by their place in [`super::figures::measures`].
const RESOURCES: [Resource; MEASURES] = [
    Resource { percent: true, ..resource("CPU", "percent of what the instance may use", 0, ResourceType::Cpu) },
    Resource { only_with_limits: true, ..resource("CPU time", "CPU seconds a second", 1, ResourceType::Cpu) },
    resource("Memory", "GB", 2, ResourceType::Memory),
    Resource {
        percent: true,
        only_with_limits: true,
        ..resource("Memory", "percent of what the instance may use", 3, ResourceType::Memory)
    },
    resource("Storage", "GB", 4, ResourceType::Storage),
    resource("Network, sent", "MB a second", 5, ResourceType::NetworkEgress),
    resource("Network, received", "MB a second", 6, ResourceType::NetworkIngress),
    resource("GPU", "GPU seconds a second", 7, ResourceType::Gpu),
];

impl Plots {
    /// Chooses whose lines are drawn.
    pub(super) fn new(series: Series, names: &Names, user: impl Fn(u32) -> Option<String>) -> Self {
        let mut order: Vec<(u32, f64)> = series.shares();
        order.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| names.name(a.0).cmp(names.name(b.0))));
        let hidden = order.len().saturating_sub(LINES);
        order.truncate(LINES);
        let mut shown: Vec<Shown> = order
            .into_iter()
            .map(|(number, _)| Shown { number, instance: names.name(number).to_owned(), user: user(number) })
            .collect();
        shown.sort_by(|a, b| a.instance.cmp(&b.instance));
        Self { series, shown, hidden }
    }
}

impl Report {
    /// The report as an HTML page. `notes` are said at its top: what was left out, and why.
    ///
    /// A report that was made without plots has none.
    ///
    /// # Errors
    /// When a plot can't be drawn.
    pub fn html(&self, notes: &[String]) -> Result<String, PlotError> {
        page::page(self, notes)
    }
}

/// The limit in the unit of a plot, where it belongs there: an amount in one period becomes a rate by the usual length
/// of a period, in seconds.
#[allow(clippy::cast_precision_loss)]
fn limit_in(config: &ThresholdConfig, resource: &Resource, usual: i64) -> Option<f64> {
    if config.resource_type != resource.of {
        return None;
    }
    match &config.threshold_type {
        ThresholdType::Percentage { value } => resource.percent.then_some(*value),
        ThresholdType::Absolute { .. } if resource.percent => None,
        ThresholdType::Absolute { value, unit } => match config.resource_type {
            ResourceType::Cpu | ResourceType::Gpu => Some(value * seconds_per(unit)? as f64 / usual.max(1) as f64),
            ResourceType::Memory | ResourceType::Storage => {
                Some(value * (bytes_per(unit)? as f64 / BYTES_PER_GB as f64))
            }
            ResourceType::NetworkEgress | ResourceType::NetworkIngress => {
                Some(value * (bytes_per(unit)? as f64 / BYTES_PER_MB as f64) / usual.max(1) as f64)
            }
        },
    }
}

/// `text` as it may stand anywhere in HTML: ids come from others.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // What turns the writing direction around would make an id look like another.
            char if is_refused_in_id(char) => escaped.push('\u{fffd}'),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::escape;

    #[test]
    fn text_of_others_is_inert_and_reads_as_it_stands() {
        assert_eq!(escape("<b>'\"&\u{202e}\u{200f}\0é"), "&lt;b&gt;&#39;&quot;&amp;\u{fffd}\u{fffd}\u{fffd}é");
    }
}
