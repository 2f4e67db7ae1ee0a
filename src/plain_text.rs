//! Text of others as people may see it: what services reply, what lines and files hold, and the names of files.
//!
//! Such text could move a terminal's cursor, name its window, turn the direction of what is written, or hold what nobody
//! sees. Programs get it as it is, or escaped in their own way.

use std::borrow::Cow;

use crate::validate::is_invisible;

/// Whether a terminal acts upon `char`, or nobody sees it: control characters (C0 and C1), controls of direction, characters
/// without width.
#[must_use]
pub fn is_unprintable(char: char) -> bool {
    char.is_control() || is_invisible(char)
}

/// `text` on one line, with U+FFFD in the place of each character that [`is_unprintable`].
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    replaced(text, is_unprintable)
}

/// The same for a text of several lines.
#[must_use]
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    replaced(text, |char| is_unprintable(char) && char != '\n')
}

/// The same for a line of a file, in which tabs stand for blanks.
#[must_use]
pub fn printable_source(line: &str) -> Cow<'_, str> {
    replaced(line, |char| is_unprintable(char) && char != '\t')
}

/// `text` with U+FFFD in the place of each `unwanted` character.
pub fn replaced(text: &str, unwanted: impl Fn(char) -> bool) -> Cow<'_, str> {
    if text.contains(&unwanted) { Cow::Owned(text.replace(unwanted, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

/// The first `chars` characters of `text` on one line, with blanks in the place of those that [`is_unprintable`].
pub(crate) fn excerpt(text: &str, chars: usize) -> String {
    let shown: String = text.chars().take(chars).map(|char| if is_unprintable(char) { ' ' } else { char }).collect();
    if text.chars().nth(chars).is_some() { shown + "…" } else { shown }
}

/// `json`, on one line, with `\u` escapes in the place of characters that [`is_unprintable`]; such characters stand in its
/// strings alone.
#[must_use]
pub fn printable_json(json: &str) -> Cow<'_, str> {
    // JSON escapes the others itself, and blanks between its parts are none of anybody's text.
    let is_unwanted = |char: char| char >= '\u{7f}' && is_unprintable(char);
    if !json.contains(is_unwanted) {
        return json.into();
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for char in json.chars() {
        if is_unwanted(char) {
            char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| escaped += &format!("\\u{unit:04x}"));
        } else {
            escaped.push(char);
        }
    }
    escaped.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_acts_upon_or_nobody_sees_is_replaced() {
        for char in ['\u{1b}', '\u{7}', '\u{7f}', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{e0041}']
        {
            let text = format!("a{char}b");
            assert_eq!(printable(&text), "a\u{fffd}b", "{char:?}");
            assert_eq!(excerpt(&text, 2), "a …", "{char:?}");
        }
        assert_eq!(printable("é 東京 👍"), "é 東京 👍");
        assert_eq!((&*printable("a\nb"), &*printable_lines("a\nb\r")), ("a\u{fffd}b", "a\nb\u{fffd}"));
        assert_eq!(printable_source("\ta\u{9b}"), "\ta\u{fffd}");
    }

    #[test]
    fn json_shows_as_escapes_what_a_terminal_acts_upon() {
        let escaped = printable_json("{\"a\":\"\u{9b}x\u{202e}\u{e9}\u{e0041}\"}");
        assert_eq!(escaped, "{\"a\":\"\\u009bx\\u202e\u{e9}\\udb40\\udc41\"}");
        let value: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(value["a"], "\u{9b}x\u{202e}\u{e9}\u{e0041}");
    }
}
