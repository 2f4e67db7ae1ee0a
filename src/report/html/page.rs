//! The page: title, totals, what to know about them, plots, tables.

use std::fmt::Write as _;

use super::super::output::Report;
use super::plot::{Plot, PlotError, Size};
use super::tables;
use super::{LIMITS, Plots, RESOURCES, Resource, escape, limit_in};
use crate::events::UsagePeriod;
use crate::threshold::ThresholdConfig;

const STYLE: &str = include_str!("style.css");

/// So many steps are one in a narrow plot.
const COARSER: i64 = 4;

/// Writes to a string, which can't fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = write!($out, $($arg)*); }};
}
pub(super) use put;

pub(super) fn page(report: &Report, notes: &[String]) -> Result<String, PlotError> {
    let mut out = String::new();
    let title = title(report);
    put!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>\n<style>\n{STYLE}</style></head>\n<body>\n\
         <header><h1>{title}</h1>\n<p class=\"soft\">{}</p></header>\n",
        escape(&about(report))
    );
    tables::totals(&mut out, report);
    remarks(&mut out, report, notes);
    if let (Some(plots), Some(span)) = (&report.plots, report.span) {
        draw(&mut out, report, plots, span)?;
    }
    tables::rows(&mut out, report);
    tables::thresholds(&mut out, report);
    tables::findings(&mut out, report);
    put!(
        out,
        "<footer><p>1 GB is 2<sup>30</sup> bytes, 1 MB is 2<sup>20</sup> bytes. GB·h are what was in use times the \
         hours that it was in use. Times are {}. Covered: time that was metered, of all instances together. Peaks are \
         averages over one period. A period that crosses the end of a day is divided between the days in proportion.\
         </p></footer>\n</body></html>\n",
        escape(report.zone.name())
    );
    Ok(out)
}

fn title(report: &Report) -> String {
    let zone = &report.zone;
    let from = report.since.or(report.span.map(|span| span.start));
    let to = report.until.or(report.span.map(|span| span.end));
    match (from, to) {
        (Some(from), Some(to)) => {
            let (day, last) = (zone.day(from), zone.day(to.saturating_sub(1)));
            let whole = day.start == from && last.end == to;
            let name = escape(zone.name());
            if whole && day == last {
                format!("Usage on {} ({name})", day.code)
            } else if whole {
                format!("Usage from {} to {} ({name})", day.code, last.code)
            } else {
                format!("Usage from {} to {} ({name})", zone.show(from, true), zone.show(to, true))
            }
        }
        _ => "Usage".to_owned(),
    }
}

fn about(report: &Report) -> String {
    let count = |number: u64, noun: &str| {
        format!("{} {noun}{}", tables::grouped(number.into()), if number == 1 { "" } else { "s" })
    };
    let mut words = format!(
        "{} of {} and {}",
        count(report.total.events, "event"),
        count(report.instances, "instance"),
        count(report.users, "user")
    );
    if report.organizations > 0 {
        put!(words, " in {}", count(report.organizations, "organization"));
    }
    if let Some(usual) = report.usual_period {
        put!(words, "; periods of {}", tables::span(usual.unsigned_abs()));
    }
    words
}

/// What has to be known to trust the figures.
fn remarks(out: &mut String, report: &Report, notes: &[String]) {
    let mut items: Vec<(&str, String)> = Vec::new();
    let (gaps, overlaps) = (&report.gaps, &report.overlaps);
    if report.conflicts > 0 {
        items.push((
            "bad",
            format!(
                "{} different event(s) share a metering key with another. All of them are in the sums, so that time was \
                 billed more than once; they are named below.",
                tables::grouped(report.conflicts.into())
            ),
        ));
    }
    if overlaps.count > 0 {
        items.push((
            "bad",
            format!("Metered more than once: {}, in {} place(s).", tables::span(overlaps.seconds), overlaps.count),
        ));
    }
    if gaps.count > 0 {
        items.push(("warn", format!("Not metered: {}, in {} gap(s).", tables::span(gaps.seconds), gaps.count)));
    }
    if report.incomplete() > 0 && !report.expect_full {
        items.push((
            "warn",
            format!(
                "{} instance(s) begin after the start of this time or end before its end, which is not counted as a gap.",
                tables::grouped(report.incomplete().into())
            ),
        ));
    }
    if report.implausible_periods.count > 0 {
        items.push((
            "bad",
            format!(
                "{} period(s) are longer than 31 days or begin before the year 2000. They are in the sums.",
                tables::grouped(report.implausible_periods.count.into())
            ),
        ));
    }
    if report.repeats > 0 {
        items.push(("", format!("{} repeat(s) of events already counted were left out.", report.repeats)));
    }
    if report.outside > 0 {
        items.push(("", format!("{} event(s) outside of this time were left out.", report.outside)));
    }
    items.extend(notes.iter().map(|note| ("warn", note.clone())));
    if items.is_empty() {
        items.push(("", "Every second between the first and the last event of each instance is metered once.".into()));
    }
    out.push_str("<ul class=\"notes\">");
    for (class, words) in items {
        put!(out, "<li class=\"{class}\">{}</li>", escape(&words));
    }
    out.push_str("</ul>\n");
}

fn draw(out: &mut String, report: &Report, plots: &Plots, span: UsagePeriod) -> Result<(), PlotError> {
    let usual = report.usual_period.unwrap_or(1);
    let gaps: Vec<(i64, i64)> = report
        .gaps
        .list
        .iter()
        .filter(|gap| plots.shown.iter().any(|shown| shown.instance == gap.instance_id))
        .map(|gap| (gap.start, gap.end))
        .collect();
    legend(out, plots, report, !gaps.is_empty());
    for resource in &RESOURCES {
        let lines = |coarser| -> Vec<_> {
            plots.shown.iter().map(|shown| plots.series.lines(shown.number, resource.measure, coarser)).collect()
        };
        let wide = lines(1);
        if wide.iter().flatten().flatten().all(|point| point.value == 0.0) {
            continue;
        }
        let mut limits: Vec<(f64, &ThresholdConfig)> = report
            .thresholds
            .iter()
            .map(|crossing| &crossing.config)
            .filter(|config| concerns(config, plots))
            .filter_map(|config| Some((limit_in(config, resource, usual)?, config)))
            .collect();
        if limits.is_empty() && resource.only_with_limits {
            continue;
        }
        limits.sort_by(|a, b| a.0.total_cmp(&b.0));
        let labels: Vec<(f64, String)> =
            limits.iter().take(LIMITS).map(|(value, config)| (*value, label(config, resource, usual))).collect();
        let name = format!("{}, {}", resource.title, resource.unit);
        let plot = |lines| Plot {
            title: &name,
            start: span.start,
            end: span.end,
            zone: &report.zone,
            lines,
            gaps: &gaps,
            limits: &labels,
            percent: resource.percent,
        };
        let narrow = lines(COARSER);
        put!(out, "<figure><h3>{}</h3>\n", escape(resource.title));
        out.push_str(&plot(&wide).svg(Size::Wide)?);
        out.push_str(&plot(&narrow).svg(Size::Narrow)?);
        put!(out, "<figcaption>{}.", escape(&capital(resource.unit)));
        caption(out, plots, &labels, limits.len(), &plot(&wide).above());
        out.push_str("</figcaption></figure>\n");
    }
    Ok(())
}

fn caption(out: &mut String, plots: &Plots, labels: &[(f64, String)], limits: usize, above: &[&str]) {
    let step = plots.series.width().unsigned_abs();
    put!(
        out,
        " Each point is the average of <span class=\"wide\">{}</span><span class=\"narrow\">{}</span>.",
        tables::span(step),
        tables::span(step.saturating_mul(COARSER.unsigned_abs()))
    );
    if !above.is_empty() {
        put!(out, " Far above what is shown: {}.", escape(&above.join(", ")));
    }
    if limits > labels.len() {
        put!(out, " {} more limits are not drawn.", limits - labels.len());
    }
}

fn legend(out: &mut String, plots: &Plots, report: &Report, gaps: bool) {
    out.push_str("<h2>Over time</h2>\n<ul class=\"legend\">");
    for (place, shown) in plots.shown.iter().enumerate() {
        let user = shown.user.as_ref().map(|user| format!(" <span class=\"soft\">({})</span>", escape(user)));
        put!(
            out,
            "<li><i style=\"background:var(--c{})\"></i>{}{}</li>",
            place % super::LINES,
            escape(&shown.instance),
            user.unwrap_or_default()
        );
    }
    if report.thresholds.iter().any(|crossing| concerns(&crossing.config, plots)) {
        out.push_str("<li><i class=\"limit\"></i>threshold</li>");
    }
    if gaps {
        out.push_str("<li><i class=\"gap\"></i>not metered, of one instance at least</li>");
    }
    out.push_str("</ul>\n");
    if plots.hidden > 0 {
        put!(
            out,
            "<p class=\"soft\">Drawn are the {} instances with the largest shares of a resource; {} more are in the \
             sums and in the table.</p>\n",
            plots.shown.len(),
            plots.hidden
        );
    }
}

/// Whether a threshold applies to one of those that are drawn.
fn concerns(config: &ThresholdConfig, plots: &Plots) -> bool {
    plots.shown.iter().any(|shown| {
        config.only_instance().is_none_or(|instance| instance == shown.instance)
            && config.only_user().is_none_or(|user| shown.user.as_deref().is_none_or(|of| of == user))
    })
}

/// What stands at a limit: its name, itself, and whose it is.
fn label(config: &ThresholdConfig, resource: &Resource, usual: i64) -> String {
    let mut label = format!("{} {}", config.id, config.threshold_type);
    let rate = !resource.percent && !matches!(resource.unit, "GB");
    if rate {
        put!(label, " in {}", tables::span(usual.unsigned_abs()));
    }
    let whose = [config.only_user(), config.only_instance()];
    let whose: Vec<&str> = whose.into_iter().flatten().collect();
    if !whose.is_empty() {
        put!(label, " ({})", whose.join(", "));
    }
    label
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}
