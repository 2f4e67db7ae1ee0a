//! What clap suggests in place of an unknown option, without what leads astray.

use clap::error::{ContextKind, ContextValue};

/// `error` without options that are not nearly called as the one that was given, and without the advice to pass an option
/// as a value: nobody calls a file or an id so.
pub(super) fn without_false_ones(mut error: clap::Error) -> clap::Error {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        _ => None,
    };
    if let (Some(given), Some(near)) = (text(ContextKind::InvalidArg), text(ContextKind::SuggestedArg))
        && !is_near(&given, &near)
    {
        error.remove(ContextKind::SuggestedArg);
        // It is made for the suggestion.
        error.remove(ContextKind::Usage);
    }
    if let Some(ContextValue::StyledStrs(hints)) = error.remove(ContextKind::Suggested) {
        let hints: Vec<_> = hints.into_iter().filter(|hint| !hint.to_string().contains("as a value, use")).collect();
        if !hints.is_empty() {
            error.insert(ContextKind::Suggested, ContextValue::StyledStrs(hints));
        }
    }
    error
}

/// Whether two options differ in a third of their letters at most.
fn is_near(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|it| it.trim_start_matches('-'));
    strsim::osa_distance(one, other) <= one.len().max(other.len()) / 3
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::Cli;

    fn said(words: &[&str]) -> String {
        let error = Cli::command().try_get_matches_from(words).unwrap_err();
        without_false_ones(error).to_string()
    }

    #[test]
    fn only_options_that_are_near_are_suggested() {
        for words in [&["spool", "status", "--format", "table"][..], &["dlq", "list", "--format", "table"]] {
            let said = said(&[&["formusage"], words].concat());
            assert!(said.contains("unexpected argument") && !said.contains("--log-format"), "{said}");
        }
        let far = said(&["formusage", "thresholds", "add", "--to", "x"]);
        assert!(far.contains("'--to'") && !far.contains("-- --to"), "{far}");
        let near = said(&["formusage", "publish", "--dry-rum"]);
        assert!(near.contains("'--dry-run'"), "{near}");
        let elsewhere = said(&["formusage", "--interval", "1s"]);
        assert!(elsewhere.contains("'--interval'"), "{elsewhere}");
    }
}
