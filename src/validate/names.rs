//! The nearest right name for a misspelt one.

use strsim::damerau_levenshtein;

/// A longer name than this is no misspelling of one of ours, and comparing it would cost.
const MAX_BYTES: usize = 64;

/// In a name of at most so many bytes one wrong letter makes another word.
const SHORT_BYTES: usize = 3;

/// The candidate that `name` was probably meant to be, or `None` where none is near.
///
/// Case and separators count for nothing (`cpuSeconds` is `cpu_seconds`), about one wrong letter in three is forgiven,
/// and so is a beginning or a longer form of the name (`start_time` for `start`). Of three letters and less each one
/// counts (`foo` is not `for`): there only letters that changed places are forgiven.
pub(crate) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    candidates
        .into_iter()
        .filter_map(|candidate| Some((distance(name, candidate)?, candidate)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How far `name` is from `candidate`; `None` where too far to suggest it.
pub(super) fn distance(name: &str, candidate: &str) -> Option<usize> {
    if name.is_empty() || name.len() > MAX_BYTES {
        return None;
    }
    let (name, candidate) = (plain(name), plain(candidate));
    let letters = damerau_levenshtein(&name, &candidate);
    let longest = name.len().max(candidate.len());
    let is_short = longest <= SHORT_BYTES;
    if letters <= longest / 3 && (!is_short || letters == 0 || sorted(&name) == sorted(&candidate)) {
        return Some(letters);
    }
    let shortest = name.len().min(candidate.len());
    let one_begins_the_other = name.starts_with(&candidate) || candidate.starts_with(&name);
    (shortest >= 4 && one_begins_the_other).then_some(longest / 3 + 1 + letters)
}

fn sorted(name: &str) -> Vec<char> {
    let mut letters: Vec<char> = name.chars().collect();
    letters.sort_unstable();
    letters
}

fn plain(name: &str) -> String {
    name.chars().filter(|char| !matches!(char, '_' | '-' | ' ' | '.')).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_meant() {
        let names = ["cpu_seconds", "cpu_percent_avg", "gpu_seconds", "memory_gb", "start", "end"];
        for (name, meant) in [
            ("cpu_secnds", "cpu_seconds"),
            ("cpuSeconds", "cpu_seconds"),
            ("CPU_SECONDS", "cpu_seconds"),
            ("gpu_second", "gpu_seconds"),
            ("cpu_percent", "cpu_percent_avg"),
            ("memory_bg", "memory_gb"),
            ("start_time", "start"),
            ("ned", "end"),
        ] {
            assert_eq!(nearest(name, names), Some(meant), "{name}");
        }
        for name in ["", "region", "x", "and", "labels", &"cpu_seconds".repeat(9000)] {
            assert_eq!(nearest(name, names), None, "{name}");
        }
    }
}
