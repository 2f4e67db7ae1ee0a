//! The Prometheus text format 0.0.4, made from OpenMetrics text.
//!
//! The samples are the same in both. What differs are the lines that describe them: the older format knows neither units
//! nor the type `info` nor an end mark, and describes a counter under the name of its samples, with `_total`.

/// `open_metrics` in the Prometheus text format 0.0.4; `None` where it lacks its end mark. Only OpenMetrics lets a reader
/// notice a text that was cut, so that one must not be passed on.
pub(super) fn prometheus_text(open_metrics: &str) -> Option<String> {
    let body = open_metrics.strip_suffix("# EOF\n")?;
    let mut text = String::with_capacity(body.len());
    // The type, which decides the name, comes behind the help.
    let mut help = None;
    for line in body.lines() {
        let Some(description) = line.strip_prefix("# ") else {
            text.extend([line, "\n"]);
            continue;
        };
        let mut words = description.splitn(3, ' ');
        match (words.next(), words.next(), words.next()) {
            (Some("HELP"), Some(_), Some(words)) => help = Some(words),
            (Some("TYPE"), Some(name), Some(kind)) => {
                let (suffix, kind) = match kind {
                    "counter" => ("_total", kind),
                    "info" => ("_info", "gauge"),
                    _ => ("", kind),
                };
                if let Some(help) = help.take() {
                    text.extend(["# HELP ", name, suffix, " ", help, "\n"]);
                }
                text.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
            }
            _ => {}
        }
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptions_are_those_of_the_older_format() {
        let open_metrics = "\
# HELP a_read Lines read.\n# TYPE a_read counter\na_read_total 7\n\
# HELP a_build This program.\n# TYPE a_build info\na_build_info{version=\"1\"} 1\n\
# HELP a_took_seconds How long.\n# TYPE a_took_seconds histogram\n# UNIT a_took_seconds seconds\n\
a_took_seconds_sum 1.5\na_took_seconds_count 2\na_took_seconds_bucket{le=\"+Inf\"} 2\n# EOF\n";
        let expected = "\
# HELP a_read_total Lines read.\n# TYPE a_read_total counter\na_read_total 7\n\
# HELP a_build_info This program.\n# TYPE a_build_info gauge\na_build_info{version=\"1\"} 1\n\
# HELP a_took_seconds How long.\n# TYPE a_took_seconds histogram\n\
a_took_seconds_sum 1.5\na_took_seconds_count 2\na_took_seconds_bucket{le=\"+Inf\"} 2\n";
        assert_eq!(prometheus_text(open_metrics).unwrap(), expected);
        assert_eq!(prometheus_text("a_read_total 7\n"), None);
    }
}
