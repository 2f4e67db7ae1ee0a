//! Texts in other formats, pasted or saved where JSON was meant.

/// What a text is that starts with `line`, and how to make JSON of it; `None` where nothing tells.
pub(in crate::validate) fn other_format(line: &str) -> Option<(&'static str, &'static str)> {
    let line = line.trim();
    let is_name = |name: &str| {
        name.starts_with(|char: char| char.is_ascii_alphabetic() || char == '_')
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
    };
    let yaml_pair = |text: &str| {
        text.split_once(':').is_some_and(|(key, value)| is_name(key) && (value.is_empty() || value.starts_with(' ')))
    };
    if line == "---" || line.starts_with("%YAML") || yaml_pair(line) || line.strip_prefix("- ").is_some_and(yaml_pair) {
        return Some(("YAML", "convert it with: yq -o json FILE"));
    }
    if line.split_once('=').is_some_and(|(key, _)| is_name(key.trim_end())) {
        return Some(("TOML or a list of settings", "write it as JSON"));
    }
    if line.starts_with("<?xml") || line.starts_with("<!DOCTYPE") || line.starts_with("<html") {
        return Some(("XML or HTML", "look at what was downloaded: an error page is none of the thresholds"));
    }
    let columns = line.split(',').count();
    (columns >= 3 && line.split(',').all(|name| is_name(name.trim())))
        .then_some(("CSV", "write each row as a JSON object on a line"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_formats_are_told_by_their_first_line() {
        for (line, format) in [
            ("---", Some("YAML")),
            ("- id: cpu-high", Some("YAML")),
            ("id: cpu-high", Some("YAML")),
            ("thresholds:", Some("YAML")),
            ("id = \"cpu\"", Some("TOML or a list of settings")),
            ("time,instance,cpu", Some("CSV")),
            ("<?xml version=\"1.0\"?>", Some("XML or HTML")),
            ("hello", None),
            ("{\"a\":1}", None),
            ("http://x", None),
            ("1,2,3", None),
            ("a, b", None),
            ("", None),
        ] {
            assert_eq!(other_format(line).map(|(format, _)| format), format, "{line}");
        }
    }
}
