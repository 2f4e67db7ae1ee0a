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

/// `json`, with `\u` escapes in the place of characters that [`is_unprintable`]; such characters stand in its strings alone.
#[must_use]
pub fn printable_json(json: &str) -> Cow<'_, str> {
    for_terminal(json, Notation::Json)
}

/// What a text is written in, and with that what may stand in the place of a character that a terminal is not to get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notation {
    /// Words and tables: U+FFFD.
    Words,
    /// The same, of which sequences that set colours are left.
    ColouredWords,
    /// JSON: `\u` escapes.
    Json,
    /// XML and HTML: character references.
    Xml,
}

/// `text` as a terminal may get it: nothing in it that [`is_unprintable`] but tabs and line ends. What a notation can't hold
/// in any way (most control characters) becomes U+FFFD.
#[must_use]
pub fn for_terminal(text: &str, notation: Notation) -> Cow<'_, str> {
    let is_unwanted = |char: char| is_unprintable(char) && !matches!(char, '\n' | '\t');
    if !text.contains(is_unwanted) {
        return text.into();
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for (at, char) in text.char_indices() {
        match (notation, char) {
            (_, char) if !is_unwanted(char) => shown.push(char),
            // Between the parts of both it is a blank.
            (Notation::Json | Notation::Xml, '\r') => shown.push(' '),
            (Notation::Json, '\u{7f}'..) => {
                char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| shown += &format!("\\u{unit:04x}"));
            }
            (Notation::Xml, '\u{7f}'..) => shown += &format!("&#x{:x};", u32::from(char)),
            (Notation::ColouredWords, '\u{1b}') if begins_colour(&text[at..]) => shown.push(char),
            _ => shown.push('\u{fffd}'),
        }
    }
    shown.into()
}

/// Whether `text` begins with a sequence that sets a colour.
fn begins_colour(text: &str) -> bool {
    let parameters =
        text.strip_prefix("\u{1b}[").map(|text| text.trim_start_matches(|it: char| it.is_ascii_digit() || it == ';'));
    parameters.is_some_and(|rest| rest.starts_with('m'))
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
    fn each_notation_has_its_own_spelling_of_what_a_terminal_acts_upon() {
        let text = "\u{1b}[1;31ma\u{1b}[2J\t\u{9b}\u{e0041}\r\n\u{e9}";
        let hostile = [
            (Notation::Words, "\u{fffd}[1;31ma\u{fffd}[2J\t\u{fffd}\u{fffd}\u{fffd}\n\u{e9}"),
            (Notation::ColouredWords, "\u{1b}[1;31ma\u{fffd}[2J\t\u{fffd}\u{fffd}\u{fffd}\n\u{e9}"),
            (Notation::Json, "\u{fffd}[1;31ma\u{fffd}[2J\t\\u009b\\udb40\\udc41 \n\u{e9}"),
            (Notation::Xml, "\u{fffd}[1;31ma\u{fffd}[2J\t&#x9b;&#xe0041; \n\u{e9}"),
        ];
        for (notation, shown) in hostile {
            assert_eq!(for_terminal(text, notation), shown, "{notation:?}");
            assert!(matches!(for_terminal("a\tb\n", notation), Cow::Borrowed(_)), "{notation:?}");
        }
    }

    #[test]
    fn json_shows_as_escapes_what_a_terminal_acts_upon() {
        let escaped = printable_json("{\"a\":\"\u{9b}x\u{202e}\u{e9}\u{e0041}\"}");
        assert_eq!(escaped, "{\"a\":\"\\u009bx\\u202e\u{e9}\\udb40\\udc41\"}");
        let value: serde_json::Value = serde_json::from_str(&escaped).unwrap();
        assert_eq!(value["a"], "\u{9b}x\u{202e}\u{e9}\u{e0041}");
    }
}
