//! Quotes of the other side in the texts of a report.
//!
//! Some services repeat what they were sent, secrets included. Secrets are masked in the quotes alone: a password such as
//! `in` must not take letters out of the words that `ping` itself writes. So a quote carries marks until the report is
//! made, and [`mask_quotes`] removes both the secrets and the marks.

use crate::transport::http_client::mask;

/// Unicode noncharacters, which no text that is meant to be read holds.
const START: char = '\u{fdd0}';
const END: char = '\u{fdd1}';

/// A secret of which an excerpt shows fewer characters than this is not recognized.
const LEAST_SHOWN: usize = 3;

/// `text` of the other side, marked as a quote.
pub(super) fn quote(text: &str) -> String {
    format!("{START}{}{END}", text.replace([START, END], "·"))
}

/// Masks `secrets` in the quotes that `text` holds, and removes the marks of the quotes. A secret that holds another one
/// has to come before it.
pub(super) fn mask_quotes(text: &mut String, secrets: &[&str]) {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some((own, from_quote)) = rest.split_once(START) {
        let (quoted, behind) = from_quote.split_once(END).unwrap_or((from_quote, ""));
        masked.push_str(own);
        masked.push_str(&secrets.iter().fold(quoted.to_owned(), |quoted, secret| without(&quoted, secret)));
        rest = behind;
    }
    masked.push_str(rest);
    *text = masked;
}

/// `quoted` without `secret`, also where an excerpt ends in the middle of it.
fn without(quoted: &str, secret: &str) -> String {
    let masked = mask(quoted, secret);
    let Some(start) = masked.strip_suffix('…') else { return masked };
    let cuts = secret.char_indices().map(|(at, _)| at).filter(|at| *at >= LEAST_SHOWN).rev();
    match cuts.filter_map(|at| start.strip_suffix(&secret[..at])).next() {
        Some(before) => format!("{before}(secret)…"),
        None => masked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str, secrets: &[&str]) -> String {
        let mut text = text.to_owned();
        mask_quotes(&mut text, secrets);
        text
    }

    #[test]
    fn secrets_are_masked_in_quotes_alone() {
        let said = |words: &str| format!("a hunter2 was answered: {}; behind it", quote(words));
        for (words, expected) in [
            ("no hunter2, hunter2", "no (secret), (secret)"),
            ("you sent hunt…", "you sent (secret)…"),
            ("the hunt is on", "the hunt is on"),
            ("what a banana", "what (secret) banana"),
        ] {
            assert_eq!(
                masked(&said(words), &["hunter2", "a"]),
                format!("a hunter2 was answered: {expected}; behind it")
            );
        }
    }

    #[test]
    fn every_quote_loses_its_marks() {
        let text = format!("{} and {}", quote("one\u{fdd1}"), quote(""));
        assert_eq!(masked(&text, &[]), "one· and ");
        assert_eq!(masked("no quote", &["quote"]), "no quote");
    }
}
