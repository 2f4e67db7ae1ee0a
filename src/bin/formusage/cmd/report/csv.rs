//! A report as CSV (RFC 4180, lines end in a line feed).

use form_usage_events::report::{Dimension, Figures, Peak, Report};

use crate::output::Stdout;

const FIGURES: [&str; 10] = [
    "events",
    "covered_seconds",
    "gap_seconds",
    "overlap_seconds",
    "cpu_seconds",
    "gpu_seconds",
    "memory_gb_hours",
    "storage_gb_hours",
    "network_egress_mb",
    "network_ingress_mb",
];

const PEAKS: [&str; 8] = [
    "cpu_percent",
    "cpus",
    "memory_gb",
    "memory_percent",
    "storage_gb",
    "network_egress_mb_per_second",
    "network_ingress_mb_per_second",
    "gpus",
];

/// The same columns for every report: what rows are not told apart by is empty.
pub(super) fn write(report: &Report, stdout: &mut Stdout) -> anyhow::Result<()> {
    let mut names: Vec<String> = ["day", "org_id", "user_id", "instance_id"].map(str::to_owned).into();
    names.extend(FIGURES.map(str::to_owned));
    for peak in PEAKS {
        names.extend([format!("peak_{peak}"), format!("peak_{peak}_at"), format!("peak_{peak}_instance_id")]);
    }
    stdout.line(names.join(",").as_bytes())?;
    for row in report.rows() {
        let ids = [Dimension::Day, Dimension::Org, Dimension::User, Dimension::Instance];
        let mut fields: Vec<String> = ids.map(|it| quoted(row.value(it).unwrap_or_default())).into();
        figures(&row.figures, &mut fields);
        for peak in peaks(&row.figures) {
            match peak {
                Some(peak) => {
                    fields.extend([peak.value.to_string(), report.zone.rfc3339(peak.at), quoted(&peak.instance_id)]);
                }
                None => fields.extend([const { String::new() }; 3]),
            }
        }
        stdout.line(fields.join(",").as_bytes())?;
    }
    Ok(())
}

fn figures(figures: &Figures, fields: &mut Vec<String>) {
    fields.extend([
        figures.events.to_string(),
        figures.covered_seconds.to_string(),
        figures.gap_seconds.to_string(),
        figures.overlap_seconds.to_string(),
        figures.cpu_seconds.to_string(),
        figures.gpu_seconds.to_string(),
        figures.memory_gb_hours.to_string(),
        figures.storage_gb_hours.to_string(),
        figures.network_egress_mb.to_string(),
        figures.network_ingress_mb.to_string(),
    ]);
}

fn peaks(figures: &Figures) -> [Option<&Peak>; 8] {
    let peaks = &figures.peaks;
    [
        &peaks.cpu_percent,
        &peaks.cpus,
        &peaks.memory_gb,
        &peaks.memory_percent,
        &peaks.storage_gb,
        &peaks.network_egress_mb_per_second,
        &peaks.network_ingress_mb_per_second,
        &peaks.gpus,
    ]
    .map(Option::as_ref)
}

fn quoted(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn what_would_end_a_field_is_quoted() {
        assert_eq!(["a", "a,b", "a\"b", " a", ""].map(quoted), ["a", "\"a,b\"", "\"a\"\"b\"", "\" a\"", ""]);
    }
}
