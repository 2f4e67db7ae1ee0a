//! Strings, numbers and the three words, and what people write in their place.

use std::borrow::Cow;

use super::read::{Reader, Stop};
use super::{Value, shorten};
use crate::validate::{Code, Finding};

impl<'t> Reader<'_, 't> {
    /// A string in double quotes; `self.at` is at the opening one.
    pub(super) fn string(&mut self) -> Result<Cow<'t, str>, Stop> {
        self.quoted(b'"')
    }

    /// A string in single quotes, which is a fault that leaves no doubt. It is reported once for a document: who writes
    /// one string so writes all of them so.
    pub(super) fn single_quoted(&mut self) -> Result<Cow<'t, str>, Stop> {
        if !std::mem::replace(&mut self.single_quotes_named, true) {
            let finding = Finding::error(Code::InvalidJson, "a string stands in single quotes")
                .help("JSON strings are in double quotes");
            self.report(self.at, finding);
        }
        self.quoted(b'\'')
    }

    fn quoted(&mut self, quote: u8) -> Result<Cow<'t, str>, Stop> {
        let open = self.at;
        self.at += 1;
        let mut run = self.at;
        let mut owned: Option<String> = None;
        let mut control_named = false;
        loop {
            let rest = self.rest();
            let stop = rest.iter().position(|byte| *byte == quote || *byte == b'\\' || *byte < b' ');
            let Some((stop, byte)) = stop.and_then(|stop| Some((stop, rest.get(stop).copied()?))) else {
                return self.unclosed(open, quote);
            };
            self.at += stop;
            match byte {
                b'\n' | b'\r' => return self.unclosed(open, quote),
                b'\\' => {
                    let text = owned.get_or_insert_default();
                    text.push_str(self.slice(run, self.at));
                    match self.escape()? {
                        Some(char) => text.push(char),
                        None => return self.unclosed(open, quote),
                    }
                    owned = Some(std::mem::take(text));
                    run = self.at;
                }
                byte if byte == quote => {
                    let tail = self.slice(run, self.at);
                    self.at += 1;
                    return Ok(match owned {
                        Some(text) => Cow::Owned(text + tail),
                        None => Cow::Borrowed(tail),
                    });
                }
                byte => {
                    if !std::mem::replace(&mut control_named, true) {
                        let finding = Finding::error(Code::ControlCharacter, "a string holds a bare control character")
                            .found(format!("U+{byte:04X}"))
                            .help(format!("write it as \\u{byte:04x}, or remove it"));
                        self.report(self.at, finding);
                    }
                    self.at += 1;
                }
            }
        }
    }

    /// The character that an escape stands for; `self.at` is at the backslash. `None` at the end of the text.
    fn escape(&mut self) -> Result<Option<char>, Stop> {
        let start = self.at;
        let Some(&kind) = self.rest().get(1) else {
            return Ok(None);
        };
        self.at += 2;
        let char = match kind {
            b'"' | b'\\' | b'/' => char::from(kind),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                self.at = start;
                return Ok(Some(self.unicode_escape()));
            }
            _ => {
                // The character behind the backslash may have several bytes; it is read again as text.
                self.at = start + 1;
                let char = self.slice(self.at, self.at + self.char_length()).chars().next().unwrap_or('\\');
                let finding = Finding::error(Code::InvalidJson, format!("`\\{}` is no escape", char.escape_debug()))
                    .help("write a backslash as \\\\");
                self.report(start, finding);
                return Ok(Some('\\'));
            }
        };
        Ok(Some(char))
    }

    /// A `\uXXXX` escape, or a pair of them; `self.at` is at the backslash.
    fn unicode_escape(&mut self) -> char {
        let start = self.at;
        let Some(unit) = hex_escape(self.rest()) else {
            self.at += 2;
            let finding = Finding::error(Code::InvalidJson, "`\\u` is not followed by four hex digits")
                .help("write the character itself, or a backslash as \\\\");
            self.report(start, finding);
            return char::REPLACEMENT_CHARACTER;
        };
        self.at += 6;
        if let Some(char) = char::from_u32(unit) {
            return char;
        }
        if let (0xD800..0xDC00, Some(low @ 0xDC00..0xE000)) = (unit, hex_escape(self.rest())) {
            self.at += 6;
            let scalar = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
            return char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER);
        }
        let finding = Finding::error(Code::LoneSurrogate, "half of a surrogate pair stands alone")
            .found(format!("\\u{unit:04x}"))
            .help("a character beyond U+FFFF is two escapes, as in \\ud83d\\ude00, or the character itself");
        self.report(start, finding);
        char::REPLACEMENT_CHARACTER
    }

    /// A number, `true`, `false`, `null`, or what people write in their place.
    pub(super) fn word(&mut self) -> Result<Value<'t>, Stop> {
        let start = self.at;
        let word = self.take_word();
        let finding = match word {
            "true" => return Ok(Value::Bool(true)),
            "false" => return Ok(Value::Bool(false)),
            "null" => return Ok(Value::Null),
            "" => {
                let char = self.slice(start, start + self.char_length()).chars().next().unwrap_or_default();
                return self.stop(start, unexpected(char));
            }
            number if is_number(number) => {
                // The same reading as on the hot path, so that both see the same value.
                if serde_json::from_str::<f64>(number).is_ok() {
                    return Ok(Value::Number(number));
                }
                Finding::error(Code::NumberTooLarge, "a number is past what a 64-bit float holds")
                    .found(shorten(number))
                    .expected("at most about 1.8e308")
            }
            other => no_word(other),
        };
        self.report(start, finding);
        Ok(Value::Broken)
    }

    /// Takes everything that could belong to a number or a bare word.
    pub(super) fn take_word(&mut self) -> &'t str {
        let start = self.at;
        let rest = self.rest();
        let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_');
        self.at += rest.iter().position(|byte| !belongs(byte)).unwrap_or(rest.len());
        self.slice(start, self.at)
    }

    /// How many bytes the character at `self.at` has.
    fn char_length(&self) -> usize {
        match self.peek() {
            Some(0xF0..) => 4,
            Some(0xE0..) => 3,
            Some(0xC0..) => 2,
            Some(_) => 1,
            None => 0,
        }
    }
}

/// The code unit of the `\uXXXX` that `bytes` begin with.
fn hex_escape(bytes: &[u8]) -> Option<u32> {
    let digits = bytes.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

/// Whether `text` is a number by JSON's grammar.
fn is_number(text: &str) -> bool {
    fn digits(bytes: &[u8]) -> (usize, &[u8]) {
        let count = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
        (count, bytes.get(count..).unwrap_or_default())
    }
    let bytes = text.as_bytes();
    let bytes = bytes.strip_prefix(b"-").unwrap_or(bytes);
    let (count, mut rest) = digits(bytes);
    if count == 0 || (count > 1 && bytes.starts_with(b"0")) {
        return false;
    }
    if let [b'.', fraction @ ..] = rest {
        let (count, behind) = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = behind;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let unsigned = match exponent {
            [b'+' | b'-', unsigned @ ..] => unsigned,
            _ => exponent,
        };
        let (count, behind) = digits(unsigned);
        if count == 0 {
            return false;
        }
        rest = behind;
    }
    rest.is_empty()
}

/// What is wrong with a bare word that is none of JSON's.
fn no_word(word: &str) -> Finding {
    let shown = shorten(word);
    let error = |message: String| Finding::error(Code::InvalidJson, message);
    let lower = word.to_ascii_lowercase();
    let unsigned = lower.trim_start_matches(['+', '-']);
    match unsigned {
        "nan" | "inf" | "infinity" => error(format!("`{shown}` is no number in JSON"))
            .help("write a number; a metric that could not be measured is 0, and `not_metered` names it"),
        "none" | "nil" | "undefined" => error(format!("`{shown}` is no word of JSON")).help("did you mean null?"),
        "true" | "false" | "null" => {
            error(format!("`{shown}` is no word of JSON")).help(format!("did you mean {unsigned}?"))
        }
        _ if unsigned.starts_with(|char: char| char.is_ascii_digit() || char == '.') => {
            let finding = error(format!("`{shown}` is no number in JSON"));
            if word.starts_with('+') {
                finding.help("remove the plus sign")
            } else if lower.starts_with("0x") {
                finding.help("write it in decimal digits")
            } else if unsigned.starts_with('.') || unsigned.ends_with('.') {
                finding.help("write digits on both sides of the point")
            } else if unsigned.contains('_') {
                finding.help("remove the underscores")
            } else if unsigned.starts_with('0') && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
                finding.help("remove the leading zero")
            } else {
                finding
            }
        }
        _ => error(format!("`{shown}` is no value in JSON")).help("write strings in double quotes"),
    }
}

fn unexpected(char: char) -> Finding {
    let finding = Finding::error(Code::InvalidJson, format!("`{}` is not expected here", char.escape_debug()));
    match char {
        '“' | '”' | '„' | '«' | '»' | '‘' | '’' => finding.help("use straight double quotes"),
        '\u{feff}' => Finding::error(Code::InvalidJson, "a byte-order mark stands inside the text").help("remove it"),
        '\0'..' ' => Finding::error(Code::ControlCharacter, "a control character stands between values")
            .found(format!("U+{:04X}", u32::from(char)))
            .help("remove it"),
        _ => finding.help("write a value there, text in double quotes"),
    }
}
