//! Which text format a scraper gets, by its `Accept` header (RFC 9110, section 12.5.1).

/// A text format of the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextFormat {
    /// OpenMetrics 1.0.0.
    OpenMetrics,
    /// The Prometheus text format 0.0.4.
    Prometheus,
}

impl TextFormat {
    /// The value of `Content-Type`.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => super::CONTENT_TYPE,
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// Type, subtype and version.
    const fn media_type(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
            Self::Prometheus => ("text", "plain", "0.0.4"),
        }
    }
}

/// The format for a request with these `Accept` headers. A scraper that accepts anything, or says nothing, gets the
/// Prometheus format, which every scraper reads; OpenMetrics goes to those that name it. Who accepts neither gets the
/// Prometheus format too: figures in an unwanted format are of more use than an error.
pub(super) fn preferred_format<'a>(accept: impl Iterator<Item = &'a str>) -> TextFormat {
    let ranges: Vec<MediaRange<'_>> =
        accept.flat_map(|header| header.split(',')).filter_map(MediaRange::parse).collect();
    let quality = |format: TextFormat| {
        let matching = ranges.iter().filter_map(|range| Some((range.precision_for(format)?, range.quality)));
        // The most precise range decides, and among equal ones the best quality.
        matching.max_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1))).unwrap_or((0, 0.0))
    };
    let ((precision, open_metrics), (_, prometheus)) =
        (quality(TextFormat::OpenMetrics), quality(TextFormat::Prometheus));
    let is_named = precision >= NAMED && open_metrics > 0.0;
    if open_metrics > prometheus || is_named && open_metrics >= prometheus {
        TextFormat::OpenMetrics
    } else {
        TextFormat::Prometheus
    }
}

/// The precision from which on a range names the type, without wildcards.
const NAMED: u8 = 2;

/// One element of an `Accept` header.
#[derive(Debug, Clone, Copy)]
struct MediaRange<'a> {
    kind: &'a str,
    subtype: &'a str,
    version: Option<&'a str>,
    /// From 0 (not acceptable) to 1.
    quality: f32,
}

impl<'a> MediaRange<'a> {
    /// `None` where the text is no media range.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subtype) = parts.next()?.split_once('/')?;
        let mut range = Self { kind, subtype, version: None, quality: 1.0 };
        for (name, value) in parts.filter_map(|part| part.split_once('=')) {
            let value = value.trim().trim_matches('"');
            if name.trim().eq_ignore_ascii_case("q") {
                range.quality = value.parse().ok().filter(|quality| (0.0..=1.0).contains(quality))?;
            } else if name.trim().eq_ignore_ascii_case("version") {
                range.version = Some(value);
            }
        }
        Some(range)
    }

    /// How precisely this range describes `format`: 0 for `*/*` up to 3 with its version; `None` where it does not.
    fn precision_for(&self, format: TextFormat) -> Option<u8> {
        let (kind, subtype, version) = format.media_type();
        if self.kind == "*" && self.subtype == "*" {
            return Some(0);
        }
        if !self.kind.eq_ignore_ascii_case(kind) {
            return None;
        }
        match self.version {
            _ if self.subtype == "*" => Some(1),
            _ if !self.subtype.eq_ignore_ascii_case(subtype) => None,
            None => Some(NAMED),
            Some(wanted) => (wanted == version).then_some(NAMED + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_header_decides_the_format() {
        use TextFormat::{OpenMetrics, Prometheus};
        for (accept, expected) in [
            ("", Prometheus),
            ("*/*", Prometheus),
            ("nonsense", Prometheus),
            ("text/html, application/json", Prometheus),
            ("text/plain;version=0.0.4", Prometheus),
            ("application/openmetrics-text", OpenMetrics),
            ("Application/OpenMetrics-Text; Version=\"1.0.0\"; charset=utf-8", OpenMetrics),
            ("application/openmetrics-text; version=2.0.0", Prometheus),
            ("text/plain, application/openmetrics-text", OpenMetrics),
            ("text/plain\napplication/openmetrics-text", OpenMetrics),
            ("application/openmetrics-text;q=0.4, text/plain; q=0.5", Prometheus),
            ("application/openmetrics-text;q=0, */*", Prometheus),
            ("text/plain;q=0, */*;q=0.1", OpenMetrics),
            ("text/plain;q=7, application/openmetrics-text;q=0.1", OpenMetrics),
            // Prometheus 2 and 3.
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5,application/openmetrics-text;version=1.0.0;q=0.4,*/*;q=0.2",
                Prometheus,
            ),
        ] {
            assert_eq!(preferred_format(accept.lines()), expected, "{accept:?}");
        }
    }
}
