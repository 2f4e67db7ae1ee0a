//! Names of the kernel's objects as text.
//!
//! Control groups, processes, mounts and interfaces have names of bytes, and whoever may make one chooses them. As text
//! each byte that is not UTF-8, and each character that is a control character or is not shown, is written `%XX`, as in
//! URLs; `%` itself only where two hexadecimal digits follow it. No two names have the same spelling, and [`unspelled`]
//! gives the name back.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::plain_text::is_unprintable;

/// The text for `name`.
pub(super) fn spelled(name: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(name) {
        Ok(text) if is_plain(text) => Cow::Borrowed(text),
        _ => Cow::Owned(escaped(name)),
    }
}

/// The name that has the spelling `text`.
pub(super) fn unspelled(text: &str) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut name = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match escape_at(bytes, at) {
            Some(escape) => {
                name.push(escape);
                at += 3;
            }
            None => {
                name.push(byte);
                at += 1;
            }
        }
    }
    name
}

fn is_plain(text: &str) -> bool {
    let is_escape = |at| escape_at(text.as_bytes(), at).is_some();
    let ascii = |byte: &u8| byte.is_ascii() && !byte.is_ascii_control() && *byte != b'%';
    text.as_bytes().iter().all(ascii)
        || !text.chars().any(is_unprintable) && !text.match_indices('%').any(|(at, _)| is_escape(at))
}

fn escaped(name: &[u8]) -> String {
    let mut text = String::with_capacity(name.len() + 2);
    let mut at = 0;
    for chunk in name.utf8_chunks() {
        for char in chunk.valid().chars() {
            let length = char.len_utf8();
            if is_unprintable(char) || char == '%' && escape_at(name, at).is_some() {
                name.iter().skip(at).take(length).for_each(|byte| push(&mut text, *byte));
            } else {
                text.push(char);
            }
            at += length;
        }
        chunk.invalid().iter().for_each(|byte| push(&mut text, *byte));
        at += chunk.invalid().len();
    }
    text
}

fn push(text: &mut String, byte: u8) {
    // Writing to a string does not fail.
    let _ = write!(text, "%{byte:02X}");
}

/// The byte that stands as `%XX` at `at`.
fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low] = bytes.get(at..at + 3)? else { return None };
    let digit = |byte: &u8| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_names_are_spelled_as_they_are() {
        for name in ["nginx.service", r"a\x2db.service", "50%", "100%zz", "é 東京", "user@1000.service", ""] {
            assert!(matches!(spelled(name.as_bytes()), Cow::Borrowed(text) if text == name), "{name}");
        }
    }

    #[test]
    fn other_bytes_are_spelled_with_percent_signs() {
        for (name, text) in [
            (&b"\xff"[..], "%FF"),
            (b"a\xffb\xc3", "a%FFb%C3"),
            (b"\xc3\xa9\xff", "é%FF"),
            (b"a\nb", "a%0Ab"),
            (b"%FF", "%25FF"),
            (b"%\xff", "%%FF"),
            ("a\u{202e}b".as_bytes(), "a%E2%80%AEb"),
        ] {
            assert_eq!(spelled(name), text, "{name:?}");
            assert_eq!(unspelled(text), name, "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_spelling_gives_its_name_back(name in proptest::collection::vec(
            prop_oneof![Just(b'%'), Just(b'F'), Just(b'2'), Just(b'5'), Just(0xff), Just(0xc3), Just(0xa9), any::<u8>()], 0..12))
        {
            prop_assert_eq!(unspelled(&spelled(&name)), name);
        }
    }
}
