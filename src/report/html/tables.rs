//! The figures of the page, as numbers for people.

use std::fmt::Write as _;

use super::super::continuity::Findings;
use super::super::figures::{Figures, Peak};
use super::super::output::{Dimension, Report, Row};
use super::escape;
use super::page::put;
use crate::events::MetricSet;
use crate::units::figure;

/// So many rows of the table are on the page; other formats have all.
const ROWS: usize = 1000;

/// So many findings of a kind are on the page.
const LISTED: usize = 100;

pub(super) fn totals(out: &mut String, report: &Report) {
    let total = &report.total;
    let unit = |value: &str, unit: &str| format!("{value}<i>{unit}</i>");
    let known = |metrics, value, of: &str| unit(&total.known(metrics, &decimals(value)), of);
    let seconds = |metrics, value| unit(&total.known(metrics, &grouped(value)), "s");
    let whole = |seconds: u128| u64::try_from(seconds).map_or_else(|_| String::new(), span);
    let gb = |mb: f64| if mb >= 1024.0 { format!("{} GB", decimals(mb / 1024.0)) } else { String::new() };
    let mut cards = vec![
        ("CPU", seconds(MetricSet::CPU, total.cpu_seconds), whole(total.cpu_seconds)),
        ("Memory", known(MetricSet::MEMORY_GB, total.memory_gb_hours, "GB·h"), String::new()),
        ("Storage", known(MetricSet::STORAGE, total.storage_gb_hours, "GB·h"), String::new()),
        ("Network, sent", known(MetricSet::NETWORK, total.network_egress_mb, "MB"), gb(total.network_egress_mb)),
        ("Network, received", known(MetricSet::NETWORK, total.network_ingress_mb, "MB"), gb(total.network_ingress_mb)),
    ];
    if has_gpu(total) {
        cards.push(("GPU", seconds(MetricSet::GPU, total.gpu_seconds), whole(total.gpu_seconds)));
    }
    cards.push(("Covered", span(total.covered_seconds), coverage(total)));
    out.push_str("<dl class=\"totals\">");
    for (name, value, more) in cards {
        put!(out, "<div><dt>{name}</dt><dd>{value} <small>{more}</small></dd></div>");
    }
    out.push_str("</dl>\n");
}

/// Whether there is anything to say of GPU time, were it that it is not known.
fn has_gpu(total: &Figures) -> bool {
    total.gpu_seconds > 0 || total.not_metered.intersects(MetricSet::GPU)
}

/// How much of the time was metered. All but a moment is not all.
#[allow(clippy::cast_precision_loss)]
fn coverage(figures: &Figures) -> String {
    if figures.gap_seconds == 0 {
        return "without a gap".to_owned();
    }
    let share = 100.0 * figures.covered_seconds as f64 / (figures.covered_seconds + figures.gap_seconds) as f64;
    format!("{:.2} %", share.min(99.99))
}

pub(super) fn rows(out: &mut String, report: &Report) {
    if report.row_count() == 0 {
        return;
    }
    let gpu = has_gpu(&report.total);
    let overlap = report.total.overlap_seconds > 0;
    let several_days = report.span.is_some_and(|span| report.zone.day(span.start).end < span.end);
    // A column that says nothing is left out.
    let by: Vec<Dimension> = report
        .by
        .iter()
        .copied()
        .filter(|it| *it != Dimension::Org || report.organizations > 0)
        .filter(|it| *it != Dimension::Day || several_days)
        .collect();
    put!(out, "<h2>{}</h2>\n<div class=\"scroll\"><table><thead><tr>", heading(&by));
    for dimension in &by {
        put!(out, "<th>{}</th>", capital_name(*dimension));
    }
    let figures = ["CPU s", "Memory GB·h", "Storage GB·h", "Sent MB", "Received MB"];
    figures.iter().for_each(|name| put!(out, "<th class=\"n\">{name}</th>"));
    if gpu {
        out.push_str("<th class=\"n\">GPU s</th>");
    }
    out.push_str("<th class=\"n\">Peak CPU</th><th class=\"n\">Peak memory</th><th class=\"n\">Covered</th><th class=\"n\">Gaps</th>");
    if overlap {
        out.push_str("<th class=\"n\">Overlaps</th>");
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    let line = |out: &mut String, row: Option<&Row>, figures: &Figures| {
        out.push_str("<tr>");
        match row {
            Some(row) => {
                for dimension in &by {
                    put!(out, "<td class=\"id\">{}</td>", row.value(*dimension).map_or_else(|| "–".into(), escape));
                }
            }
            None if by.is_empty() => {}
            None => put!(out, "<td colspan=\"{}\">Total</td>", by.len()),
        }
        let mut cell = |text: &str| put!(out, "<td class=\"n\">{text}</td>");
        cell(&figures.known(MetricSet::CPU, &grouped(figures.cpu_seconds)));
        for (metrics, value) in [
            (MetricSet::MEMORY_GB, figures.memory_gb_hours),
            (MetricSet::STORAGE, figures.storage_gb_hours),
            (MetricSet::NETWORK, figures.network_egress_mb),
            (MetricSet::NETWORK, figures.network_ingress_mb),
        ] {
            cell(&figures.known(metrics, &decimals(value)));
        }
        if gpu {
            cell(&figures.known(MetricSet::GPU, &grouped(figures.gpu_seconds)));
        }
        let dated = several_days && row.is_none_or(|row| row.day.is_none());
        cell(&peak(report, figures, (MetricSet::CPU_PERCENT, figures.peaks.cpu_percent.as_ref(), "%"), dated));
        cell(&peak(report, figures, (MetricSet::MEMORY_GB, figures.peaks.memory_gb.as_ref(), "GB"), dated));
        cell(&hours(figures.covered_seconds));
        flagged(out, figures.gap_seconds, "warn");
        if overlap {
            flagged(out, figures.overlap_seconds, "bad");
        }
        out.push_str("</tr>\n");
    };
    if !report.by.is_empty() {
        report.rows().take(ROWS).for_each(|row| line(out, Some(&row), &row.figures));
    }
    out.push_str("</tbody>\n<tfoot>");
    line(out, None, &report.total);
    out.push_str("</tfoot></table></div>\n");
    if report.row_count() > ROWS {
        let more = report.row_count() - ROWS;
        put!(out, "<p class=\"soft\">{more} more rows are not shown; the formats csv and json have all of them.</p>\n");
    }
}

fn flagged(out: &mut String, seconds: u64, class: &str) {
    if seconds > 0 {
        put!(out, "<td class=\"n {class}\">{}</td>", hours(seconds));
    } else {
        out.push_str("<td class=\"n\">–</td>");
    }
}

/// A peak of `figures`, with its metric and its unit.
fn peak(
    report: &Report,
    figures: &Figures,
    (metric, peak, unit): (MetricSet, Option<&Peak>, &str),
    dated: bool,
) -> String {
    let Some(peak) = peak else { return figures.unknown(metric).unwrap_or("–").to_owned() };
    let format = if dated { "%Y-%m-%d<br>%H:%M" } else { "%H:%M" };
    let value = figures.known(metric, &short(peak.value));
    format!("{value} {unit}<small>{}</small>", report.zone.format(peak.at, format))
}

fn heading(by: &[Dimension]) -> String {
    let names: Vec<&str> = by.iter().map(|it| name(*it)).collect();
    match names.split_last() {
        None => "All together".to_owned(),
        Some((one, [])) => format!("By {one}"),
        Some((last, others)) => format!("By {} and {last}", others.join(", ")),
    }
}

const fn name(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Day => "day",
        Dimension::Org => "organization",
        Dimension::User => "user",
        Dimension::Instance => "instance",
    }
}

const fn capital_name(dimension: Dimension) -> &'static str {
    match dimension {
        Dimension::Day => "Day",
        Dimension::Org => "Org",
        Dimension::User => "User",
        Dimension::Instance => "Instance",
    }
}

pub(super) fn thresholds(out: &mut String, report: &Report) {
    if report.thresholds.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Thresholds</h2>\n<div class=\"scroll\"><table><thead><tr><th>Threshold</th><th>Resource</th>\
         <th class=\"n\">Limit</th><th>User</th><th>Instance</th><th class=\"n\">Events over</th>\
         <th class=\"n\">Highest</th><th>First</th><th>Last</th></tr></thead>\n<tbody>\n",
    );
    for crossing in report.thresholds.iter().take(ROWS) {
        let config = &crossing.config;
        let time = |at: Option<i64>| at.map_or_else(|| "–".to_owned(), |at| report.zone.show(at, true));
        let highest = crossing.highest.map_or_else(
            || "–".to_owned(),
            |value| format!("{} {}", short(value), escape(config.threshold_type.unit())),
        );
        put!(
            out,
            "<tr><td class=\"id\">{}</td><td>{}</td><td class=\"n\">{} {}</td><td class=\"id\">{}</td>\
             <td class=\"id\">{}</td><td class=\"n{}\">{}</td><td class=\"n\">{highest}</td><td>{}</td><td>{}</td></tr>\n",
            escape(&config.id),
            config.resource_type,
            figure(config.threshold_type.value()),
            escape(config.threshold_type.unit()),
            config.only_user().map_or_else(|| "all".into(), escape),
            config.only_instance().map_or_else(|| "all".into(), escape),
            if crossing.events > 0 { " bad" } else { "" },
            grouped(crossing.events.into()),
            time(crossing.first),
            time(crossing.last),
        );
    }
    out.push_str("</tbody></table></div>\n");
    if report.thresholds.len() > ROWS {
        put!(out, "<p class=\"soft\">{} more are not shown.</p>\n", report.thresholds.len() - ROWS);
    }
}

pub(super) fn findings(out: &mut String, report: &Report) {
    if report.conflicts > 0 {
        out.push_str(
            "<h2>Conflicts</h2>\n<div class=\"scroll\"><table><thead><tr><th>Instance</th><th>From</th><th>To</th>\
             <th>One event</th><th>Another event</th></tr></thead>\n<tbody>\n",
        );
        for conflict in report.named_conflicts.iter().take(LISTED) {
            put!(
                out,
                "<tr><td class=\"id\">{}</td><td>{}</td><td>{}</td><td class=\"id\">{}</td><td class=\"id\">{}</td></tr>\n",
                escape(&conflict.instance_id),
                report.zone.show(conflict.period.start, true),
                report.zone.show(conflict.period.end, true),
                escape(&conflict.first.to_string()),
                escape(&conflict.second.to_string()),
            );
        }
        out.push_str("</tbody></table></div>\n");
        more(out, report.conflicts, report.named_conflicts.len());
    }
    stretches(out, report, "Overlaps", &report.overlaps);
    stretches(out, report, "Gaps", &report.gaps);
}

fn stretches(out: &mut String, report: &Report, title: &str, findings: &Findings) {
    if findings.count == 0 {
        return;
    }
    put!(
        out,
        "<h2>{title}</h2>\n<div class=\"scroll\"><table><thead><tr><th>Instance</th><th>From</th><th>To</th>\
         <th class=\"n\">Long</th></tr></thead>\n<tbody>\n"
    );
    for stretch in findings.list.iter().take(LISTED) {
        put!(
            out,
            "<tr><td class=\"id\">{}</td><td>{}</td><td>{}</td><td class=\"n\">{}</td></tr>\n",
            escape(&stretch.instance_id),
            report.zone.show(stretch.start, true),
            report.zone.show(stretch.end, true),
            span(stretch.end.abs_diff(stretch.start)),
        );
    }
    out.push_str("</tbody></table></div>\n");
    more(out, findings.count, findings.list.len());
}

fn more(out: &mut String, count: u64, listed: usize) {
    let shown = listed.min(LISTED) as u64;
    if count > shown {
        put!(out, "<p class=\"soft\">{} more are not shown.</p>\n", grouped((count - shown).into()));
    }
}

/// A whole number with its thousands apart.
pub(super) fn grouped(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A figure with three decimals, the same that `printf` would give, and its thousands apart.
fn decimals(value: f64) -> String {
    if !(0.0..1e15).contains(&value) {
        return format!("{value:.3e}");
    }
    let text = format!("{value:.3}");
    let (whole, rest) = text.split_once('.').unwrap_or((&text, "0"));
    format!("{}.{rest}", whole.parse().map_or_else(|_| whole.to_owned(), grouped))
}

/// A figure with two decimals at most.
fn short(value: f64) -> String {
    if value >= 1e9 {
        return format!("{value:.2e}");
    }
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A length of time in hours, minutes and seconds: `142:55:00`.
fn hours(seconds: u64) -> String {
    format!("{}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// A length of time: `23 h 59 min 30 s`.
pub(super) fn span(seconds: u64) -> String {
    let units = [(seconds / 86_400, "d"), (seconds / 3600 % 24, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let parts: Vec<String> =
        units.iter().filter(|(number, _)| *number > 0).map(|(number, unit)| format!("{number} {unit}")).collect();
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 12.5, 1234.5678].map(decimals), ["0.000", "12.500", "1,234.568"]);
        assert_eq!([80.0, 12.345, 0.0].map(short), ["80", "12.35", "0"]);
        assert_eq!([0, 90, 86_400, 90_061].map(span), ["0 s", "1 min 30 s", "1 d", "1 d 1 h 1 min 1 s"]);
    }
}
