//! A report as CSV (RFC 4180, lines end in a line feed).
//!
//! Who is billed chooses ids, and a spreadsheet computes a cell that begins as a formula does. Such text gets a `'` in front,
//! with which spreadsheets mark text; text that has some of its own in front of a formula gets one more. So taking one away
//! from a cell that goes on as a formula behind its `'` gives every id back. Numbers stay as they are.

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
    names.push("not_metered".to_owned());
    stdout.line(names.join(",").as_bytes())?;
    for row in report.rows() {
        let ids = [Dimension::Day, Dimension::Org, Dimension::User, Dimension::Instance];
        let mut fields: Vec<String> = ids.map(|it| text_cell(row.value(it).unwrap_or_default())).into();
        figures(&row.figures, &mut fields);
        for peak in peaks(&row.figures) {
            match peak {
                Some(peak) => {
                    fields.extend([peak.value.to_string(), report.zone.rfc3339(peak.at), text_cell(&peak.instance_id)]);
                }
                None => fields.extend([const { String::new() }; 3]),
            }
        }
        fields.push(row.figures.not_metered.names().collect::<Vec<_>>().join(" "));
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

fn text_cell(text: &str) -> String {
    // Blanks are skipped by some spreadsheets; the full-width signs begin formulas in those that are set to Chinese,
    // Japanese or Korean.
    let begins_formula = |char: char| "=+-@\t\r\n＝＋－＠".contains(char);
    let begins = text.trim_start_matches([' ', '\'']).starts_with(begins_formula);
    if begins { quoted(&format!("'{text}")) } else { quoted(text) }
}

/// Some spreadsheets separate fields by semicolons or tabs.
fn quoted(text: &str) -> String {
    if text.contains(['"', ',', ';', '\t', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::{quoted, text_cell};

    #[test]
    fn text_that_begins_as_a_formula_is_marked_as_text() {
        for (text, cell) in [
            ("web-1", "web-1"),
            ("a=b", "a=b"),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "\"'\t=1\""),
            ("\r=1", "\"'\r=1\""),
            ("＝1", "'＝1"),
            (" =1", "' =1"),
            ("'=1", "''=1"),
            ("'web", "'web"),
            ("=HYPERLINK(\"x\",1)", "\"'=HYPERLINK(\"\"x\"\",1)\""),
        ] {
            assert_eq!(text_cell(text), cell, "{text:?}");
        }
    }

    #[test]
    fn what_would_end_a_field_is_quoted() {
        assert_eq!(
            ["a", "a,b", "a;b", "a\tb", "a\"b", " a", ""].map(quoted),
            ["a", "\"a,b\"", "\"a;b\"", "\"a\tb\"", "\"a\"\"b\"", "\" a\"", ""]
        );
    }
}
