//! Secrets in what a service says: some repeat a request's path, query or headers in their refusals.

use std::collections::BTreeSet;

use url::Url;

/// Parts of a URL that are shorter are no keys. Secrets that are shorter occur in many words by chance.
const SHORTEST: usize = 4;

/// `text` of a service with `(secret)` in the place of `secret`. A secret of fewer than four bytes is masked only where
/// it is a word of its own: inside of other words it says nothing about itself, and masking it would spoil every text.
pub(crate) fn mask(text: &str, secret: &str) -> String {
    const MASK: &str = "(secret)";
    if secret.is_empty() || secret.len() >= SHORTEST {
        return if secret.is_empty() { text.to_owned() } else { text.replace(secret, MASK) };
    }
    let goes_on = |neighbour: Option<char>| neighbour.is_some_and(char::is_alphanumeric);
    let (mut masked, mut copied) = (String::with_capacity(text.len()), 0);
    for (start, found) in text.match_indices(secret) {
        let end = start + found.len();
        if !goes_on(text[..start].chars().next_back()) && !goes_on(text[end..].chars().next()) {
            masked.push_str(&text[copied..start]);
            masked.push_str(MASK);
            copied = end;
        }
    }
    masked + &text[copied..]
}

/// What must not be repeated of `url`: its query, whole and in parts, and with `and_path` its path likewise; as they
/// stand in the URL and decoded. Empty where it is no URL.
pub(crate) fn keys_in(url: &str, and_path: bool) -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    let Ok(url) = Url::parse(url) else { return keys };
    if let Some(query) = url.query() {
        keys.insert(query.to_owned());
        for pair in query.split('&') {
            // A key may stand there without a name.
            keys.insert(pair.split_once('=').map_or(pair, |(_, value)| value).to_owned());
        }
        for (name, value) in url.query_pairs() {
            keys.insert(if value.is_empty() { name } else { value }.into_owned());
        }
    }
    if and_path {
        keys.insert(url.path().to_owned());
        keys.insert(decoded(url.path()));
        for segment in url.path_segments().into_iter().flatten() {
            keys.extend([segment.to_owned(), decoded(segment)]);
        }
    }
    keys.retain(|key| key.len() >= SHORTEST);
    keys
}

/// Percent-encoded text as it reads.
pub(super) fn decoded(text: &str) -> String {
    // Query decoding is percent decoding once what separates pairs is taken out of its way.
    let query = format!("x={}", text.replace('+', "%2B").replace('&', "%26"));
    url::form_urlencoded::parse(query.as_bytes()).next().map(|(_, value)| value.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_secrets_are_masked_as_words_alone() {
        for (secret, text, expected) in [
            ("hush", "hushed by hush", "(secret)ed by (secret)"),
            ("in", "no token in \"in\": invalid", "no token (secret) \"(secret)\": invalid"),
            ("a", "auth_token=a", "auth_token=(secret)"),
            ("é", "é café", "(secret) café"),
            ("", "nothing", "nothing"),
        ] {
            assert_eq!(mask(text, secret), expected);
        }
    }

    #[test]
    fn keys_are_found_as_they_stand_and_decoded() {
        let keys = keys_in("https://h/services/T0/B%2Bxyz&q/?sig=a%20secret&v=1&bare-key", true);
        for key in ["/services/T0/B%2Bxyz&q/", "B%2Bxyz&q", "B+xyz&q", "a%20secret", "a secret", "bare-key"] {
            assert!(keys.contains(key), "{key}: {keys:?}");
        }
        assert!(!keys.contains("T0") && !keys.contains("1"), "{keys:?}");
        assert_eq!(keys_in("https://h/services", false), BTreeSet::new());
        assert_eq!(keys_in("no URL", true), BTreeSet::new());
    }
}
