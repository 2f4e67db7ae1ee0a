//! Texts in other formats, pasted or saved where JSON was meant.

/// The keys of a configuration of `collect` that stand before its scopes.
const COLLECT_KEYS: &[&str] = &["interval", "sample_interval", "align", "user_id", "org_id", "instance_id", "labels"];

/// What a text is that is no JSON, and how to make JSON of it; `None` where nothing tells. Its first line tells: blank
/// ones and those that begin with `#`, which are comments in most formats and in none of ours, are passed over.
pub(in crate::validate) fn other_format(text: &str) -> Option<(&'static str, &'static str)> {
    let line = first_line(text)?.1;
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
    let toml_key =
        |line: &str| line.split_once('=').map(|(key, _)| key.trim_end().to_owned()).filter(|key| is_name(key));
    let toml_table = |line: &str| {
        let name = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')).unwrap_or_default();
        let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        is_name(name) && !["true", "false", "null"].contains(&name)
    };
    if toml_key(line).is_some() || (toml_table(line) && text.lines().any(|line| toml_key(line.trim()).is_some())) {
        let of_collect =
            |line: &str| line == "[[scope]]" || toml_key(line).is_some_and(|key| COLLECT_KEYS.contains(&&*key));
        return Some(if text.lines().any(|line| of_collect(line.trim())) {
            (
                "TOML",
                "it looks like a configuration of collect, which checks it when it starts: formusage collect --config FILE",
            )
        } else {
            ("TOML or a list of settings", "write it as JSON")
        });
    }
    if line.starts_with("<?xml") || line.starts_with("<!DOCTYPE") || line.starts_with("<html") {
        return Some(("XML or HTML", "look at what was downloaded: it may be an error page"));
    }
    let columns = line.split(',').count();
    // Two words with a comma and a blank between them are more likely prose.
    let is_header = columns >= 3 || (columns == 2 && !line.contains(char::is_whitespace));
    (is_header && line.split(',').all(|name| is_name(name.trim())))
        .then_some(("CSV", "write each row as a JSON object on a line"))
}

/// The first line of `text` that is neither blank nor begins with `#`, without blanks at its ends, and where it begins.
pub(super) fn first_line(text: &str) -> Option<(usize, &str)> {
    let mut start = 0;
    text.split_inclusive('\n').find_map(|line| {
        let words = line.trim();
        let at = start + (line.len() - line.trim_start().len());
        start += line.len();
        (!words.is_empty() && !words.starts_with('#')).then_some((at, words))
    })
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
            ("# ours\n\nthresholds:", Some("YAML")),
            ("id = \"cpu\"", Some("TOML or a list of settings")),
            ("[table]\nid = 1", Some("TOML or a list of settings")),
            ("# meter\ninterval = \"30s\"", Some("TOML")),
            ("[[scope]]\nscope = \"host\"", Some("TOML")),
            ("time,instance,cpu", Some("CSV")),
            ("instance_id,cpu_seconds", Some("CSV")),
            ("1,2", None),
            ("<?xml version=\"1.0\"?>", Some("XML or HTML")),
            ("hello", None),
            ("{\"a\":1}", None),
            ("# a comment\n{\"a\":1}", None),
            ("[true]", None),
            ("[name]", None),
            ("http://x", None),
            ("1,2,3", None),
            ("a, b", None),
            ("", None),
        ] {
            assert_eq!(other_format(line).map(|(format, _)| format), format, "{line}");
        }
    }
}
