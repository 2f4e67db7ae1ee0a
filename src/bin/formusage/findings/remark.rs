//! What `validate` and `check` have to say about a place in a file, for the formats that both speak.

use form_usage_events::validate::Severity;

/// One thing to say. Findings and violations are both made into it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remark<'a> {
    /// The code of a finding, the id of a threshold.
    pub(crate) rule: &'a str,
    pub(crate) severity: Severity,
    pub(crate) file: &'a str,
    /// Counted from 1; 0 is unknown.
    pub(crate) line: u64,
    /// In characters, counted from 1; 0 is unknown.
    pub(crate) column: u64,
    /// How many characters it covers; 0 is unknown.
    pub(crate) width: u64,
    /// The JSON pointer; empty for the document itself.
    pub(crate) pointer: &'a str,
    /// What is wrong, what was found and what was expected, in one line.
    pub(crate) message: &'a str,
    /// What to do.
    pub(crate) help: Option<&'a str>,
    /// The line of the text that it is about; empty where it is not known.
    pub(crate) text: &'a str,
}

impl Remark<'_> {
    /// The message with the help behind it.
    pub(crate) fn words(&self) -> String {
        match self.help {
            Some(help) => format!("{}; {help}", self.message),
            None => self.message.to_owned(),
        }
    }

    /// As compilers say it: `file:line:column: error[code]: …`.
    pub(crate) fn plain(&self) -> String {
        let mut place = self.file.to_owned();
        if self.line > 0 {
            place += &format!(":{}", self.line);
            if self.column > 0 {
                place += &format!(":{}", self.column);
            }
        }
        format!("{place}: {}[{}]: {}", self.severity, self.rule, self.words())
    }
}

/// A rule that remarks refer to.
#[derive(Debug, Clone)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) severity: Severity,
    /// What it says, in a sentence.
    pub(crate) what: String,
    /// Why it matters and what to do, in sentences.
    pub(crate) more: String,
}

/// The path of a file as a URI reference: relative below the working directory, percent-encoded (RFC 3986).
pub(crate) fn uri(file: &str) -> String {
    let here = std::env::current_dir().ok();
    let path = std::path::Path::new(file);
    let relative = here.and_then(|here| path.strip_prefix(here).ok()).unwrap_or(path);
    let text = relative.to_string_lossy();
    let text = text.strip_prefix("./").unwrap_or(&text);
    let text = if cfg!(windows) { text.replace('\\', "/") } else { text.to_owned() };
    let mut uri = String::with_capacity(text.len());
    if text.starts_with('/') {
        uri.push_str("file://");
    }
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/!$&'()*+,;=@".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_become_relative_uris() {
        let here = std::env::current_dir().unwrap();
        for (file, expected) in [
            ("thresholds/a.json", "thresholds/a.json"),
            ("./a b.json", "a%20b.json"),
            ("50%:é#?.json", "50%25%3A%C3%A9%23%3F.json"),
            ("<stdin>", "%3Cstdin%3E"),
            ("/no/such/a.json", "file:///no/such/a.json"),
            (here.join("x/a.json").to_str().unwrap(), "x/a.json"),
        ] {
            assert_eq!(uri(file), expected);
        }
    }
}
