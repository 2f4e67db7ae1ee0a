//! Patterns of names: `eth*`, `/srv/*`, `/dev/sd[ab]1`.

use std::fmt;
use std::str::FromStr;

/// A name, or all names that a pattern matches: `*` any letters, `?` one letter, `[ab]` one of these. `*` does not stop
/// at a `/`.
///
/// ```
/// use form_usage_events::collect::NamePattern;
///
/// let pattern: NamePattern = "eth*".parse().unwrap();
/// assert!(pattern.matches("eth0") && !pattern.matches("lo"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamePattern(glob::Pattern);

/// A pattern that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NamePatternError(String);

impl NamePattern {
    /// Whether `name` is meant.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0.matches(name)
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for NamePattern {
    type Err = NamePatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.is_empty() {
            return Err(NamePatternError("an empty pattern names nothing".to_owned()));
        }
        glob::Pattern::new(text).map(Self).map_err(|error| NamePatternError(unreadable(text, &error)))
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is wrong with a pattern, and where.
pub(super) fn unreadable(text: &str, error: &glob::PatternError) -> String {
    format!(
        "the pattern {text:?} can't be read at column {}: {}; write [*] for the letter itself",
        error.pos + 1,
        error.msg
    )
}

/// Whether `text` stands for more than itself.
#[cfg(target_os = "linux")]
pub(super) fn is_glob(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_and_say_where_they_are_wrong() {
        let pattern: NamePattern = "/srv/*".parse().unwrap();
        assert!(pattern.matches("/srv/a/b") && !pattern.matches("/srv"));
        assert_eq!(pattern.to_string(), "/srv/*");
        let error = "eth[".parse::<NamePattern>().unwrap_err().to_string();
        assert!(error.contains("column 4") && error.contains("eth["), "{error}");
        assert!("".parse::<NamePattern>().is_err());
    }
}
