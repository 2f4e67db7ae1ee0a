//! A report as a table, and what was found, in words.

use comfy_table::{CellAlignment, presets};
use form_usage_events::report::{Dimension, Figures, Findings, Peak, Report, Row, Stretch, Zone};

use form_usage_events::events::MetricSet;

use crate::listing::{Column as ListedColumn, Listing};
use crate::output::{Stdout, printable, say};

/// So many findings of a kind are named.
const NAMED: usize = 10;

/// More rows than this are arranged in blocks, so that memory stays flat.
const ARRANGED_ROWS: usize = 10_000;

/// A column of figures: its name, and what stands in it.
type Column<'a> = (&'static str, Box<dyn Fn(&Figures) -> String + 'a>);

/// Writes the rows and their total. Columns that would say nothing are left out.
pub(super) fn write(report: &Report, stdout: &mut Stdout) -> anyhow::Result<()> {
    let ids: Vec<Dimension> =
        report.by.iter().copied().filter(|it| *it != Dimension::Org || report.organizations > 0).collect();
    let columns = columns(report);
    let names = ids.iter().map(|dimension| match dimension {
        Dimension::Day => "day",
        Dimension::Org => "org",
        Dimension::User => "user",
        Dimension::Instance => "instance",
    });
    let line = |row: Option<&Row>, figures: &Figures| -> Vec<String> {
        let id = |(place, dimension): (usize, &Dimension)| match row {
            Some(row) => row.value(*dimension).map_or_else(|| "-".to_owned(), |id| printable(id).into_owned()),
            None if place == 0 => "total".to_owned(),
            None => String::new(),
        };
        ids.iter().enumerate().map(id).chain(columns.iter().map(|(_, show)| show(figures))).collect()
    };
    let rows = report.rows().filter(|_| !report.by.is_empty()).map(|row| line(Some(&row), &row.figures));
    let total = (report.row_count() != 1 || report.by.is_empty()).then(|| line(None, &report.total));
    if report.row_count() > ARRANGED_ROWS {
        let figures = columns.iter().map(|(name, _)| ListedColumn::figures(name));
        let mut listing = Listing::new(names.map(ListedColumn::text).chain(figures).collect());
        for cells in rows.chain(total) {
            listing.row(cells, stdout)?;
        }
        return listing.write(stdout);
    }
    let mut table = comfy_table::Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(names.chain(columns.iter().map(|(name, _)| *name)));
    table.add_rows(rows.chain(total));
    for (place, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, 2));
        if place >= ids.len() {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines: String = table.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
    stdout.text(&lines)
}

fn columns(report: &Report) -> Vec<Column<'_>> {
    let total = &report.total;
    let dated = !report.by.contains(&Dimension::Day);
    let zone = &report.zone;
    let mut columns: Vec<Column<'_>> =
        vec![("CPU s", Box::new(|it| it.known(MetricSet::CPU, &it.cpu_seconds.to_string())))];
    if total.gpu_seconds > 0 || total.not_metered.intersects(MetricSet::GPU) {
        columns.push(("GPU s", Box::new(|it| it.known(MetricSet::GPU, &it.gpu_seconds.to_string()))));
    }
    columns.push(("memory GBh", Box::new(|it| it.known(MetricSet::MEMORY_GB, &decimals(it.memory_gb_hours)))));
    columns.push(("storage GBh", Box::new(|it| it.known(MetricSet::STORAGE, &decimals(it.storage_gb_hours)))));
    columns.push(("out MB", Box::new(|it| it.known(MetricSet::NETWORK, &decimals(it.network_egress_mb)))));
    columns.push(("in MB", Box::new(|it| it.known(MetricSet::NETWORK, &decimals(it.network_ingress_mb)))));
    let peak_cpu =
        move |it: &Figures| peak(it, (MetricSet::CPU_PERCENT, it.peaks.cpu_percent.as_ref(), "%"), zone, dated);
    columns.push(("peak CPU", Box::new(peak_cpu)));
    let peak_memory =
        move |it: &Figures| peak(it, (MetricSet::MEMORY_GB, it.peaks.memory_gb.as_ref(), "GB"), zone, dated);
    columns.push(("peak memory", Box::new(peak_memory)));
    columns.push(("covered", Box::new(|it| span(it.covered_seconds))));
    if total.gap_seconds > 0 {
        columns.push(("gaps", Box::new(|it| if it.gap_seconds > 0 { span(it.gap_seconds) } else { "-".into() })));
    }
    if total.overlap_seconds > 0 {
        let show = |it: &Figures| if it.overlap_seconds > 0 { span(it.overlap_seconds) } else { "-".into() };
        columns.push(("overlaps", Box::new(show)));
    }
    columns
}

/// A peak of `figures`, with its metric and its unit.
fn peak(figures: &Figures, (metric, peak, unit): (MetricSet, Option<&Peak>, &str), zone: &Zone, dated: bool) -> String {
    let Some(peak) = peak else { return figures.unknown(metric).unwrap_or("-").to_owned() };
    let at = zone.rfc3339(peak.at);
    // Where the row says which day it is, the time is enough.
    let at = if dated { at.get(..16).unwrap_or(&at) } else { at.get(11..16).unwrap_or(&at) };
    let value = figures.known(metric, &format!("{:.1}", peak.value));
    format!("{value} {unit} {}", at.replace('T', " "))
}

/// Three decimals, a power of ten where that would take a line.
fn decimals(value: f64) -> String {
    if value < 1e15 { format!("{value:.3}") } else { format!("{value:.3e}") }
}

/// A length of time, whole: `23h59m30s`.
fn span(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes, seconds) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, seconds) => format!("{hours}h{minutes:02}m{seconds:02}s"),
    }
}

/// Names gaps, overlaps and exceeded thresholds.
pub(super) fn findings(report: &Report, zone: &Zone) {
    for (what, found) in [("overlap", &report.overlaps), ("gap", &report.gaps)] {
        for stretch in longest(found) {
            let (start, end) = (zone.rfc3339(stretch.start), zone.rfc3339(stretch.end));
            say(&format!("{what}: {} from {start} to {end}, {} s", stretch.instance_id, stretch.end - stretch.start));
        }
        let more = found.count.saturating_sub(NAMED as u64);
        if more > 0 {
            say(&format!("{more} more, shorter than these; --format json lists a thousand"));
        }
    }
    for crossing in report.thresholds.iter().filter(|crossing| crossing.events > 0) {
        let config = &crossing.config;
        let time = |at: Option<i64>| at.map(|at| zone.rfc3339(at)).unwrap_or_default();
        say(&format!(
            "threshold {}: {} {} is exceeded by {} events between {} and {}, by {} {} at most",
            printable(&config.id),
            config.resource_type,
            config.threshold_type,
            crossing.events,
            time(crossing.first),
            time(crossing.last),
            crossing.highest.map(|value| format!("{value:.4}")).unwrap_or_default(),
            config.threshold_type.unit(),
        ));
    }
}

/// The longest of the findings, in the order of instance and time.
fn longest(findings: &Findings) -> Vec<&Stretch> {
    let mut list: Vec<&Stretch> = findings.list.iter().collect();
    list.sort_by_key(|stretch| std::cmp::Reverse(stretch.end - stretch.start));
    list.truncate(NAMED);
    list.sort_by(|a, b| (&a.instance_id, a.start).cmp(&(&b.instance_id, b.start)));
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_whole() {
        assert_eq!(
            [0, 59, 60, 3600, 86_399, 360_000].map(span),
            ["0s", "59s", "1m00s", "1h00m00s", "23h59m59s", "100h00m00s"]
        );
    }
}
