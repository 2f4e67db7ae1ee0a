//! Ids that people can't read, or can't tell from another one: blank ones, and those with characters that nobody sees.

use super::{Code, Finding};
use crate::events::{is_refused_in_id, turns_direction};

/// The error about a character that no id may hold, without a place; `name` is what holds it.
pub(super) fn refused_in_id(name: &str, id: &str) -> Option<Finding> {
    id.chars().find(|char| is_refused_in_id(*char)).map(|char| control_character(name, char))
}

pub(super) fn control_character(name: &str, char: char) -> Finding {
    let what =
        if turns_direction(char) { "a character that turns the direction of text" } else { "a control character" };
    Finding::error(Code::ControlCharacter, format!("{name} holds {what}"))
        .found(format!("U+{:04X}", u32::from(char)))
        .help("remove it; look at what wrote it")
}

/// What is odd about an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IdOddity {
    /// Nothing of it can be seen.
    Blank,
    /// It begins or ends with a blank.
    BlankAtAnEnd,
    /// It holds this character, which can't be seen.
    Invisible(char),
}

/// What is odd about `id`, if anything. An empty id, and one that holds what none may hold, are errors
/// of their own.
pub(super) fn id_oddity(id: &str) -> Option<IdOddity> {
    let ends_in_blank = id.starts_with(char::is_whitespace) || id.ends_with(char::is_whitespace);
    let is_odd = |char: &char| is_invisible(*char) && !is_refused_in_id(*char);
    let invisible = if id.is_ascii() { None } else { id.chars().find(is_odd) };
    if !ends_in_blank && invisible.is_none() {
        return None;
    }
    Some(match invisible {
        _ if id.chars().all(|char| char.is_whitespace() || is_invisible(char)) => IdOddity::Blank,
        Some(char) => IdOddity::Invisible(char),
        None => IdOddity::BlankAtAnEnd,
    })
}

/// The characters that Unicode wants to be drawn as nothing (`Default_Ignorable_Code_Point`: zero-width ones, those that
/// control direction, tags), the annotation and musical controls, line separators, and the blank Braille pattern.
pub(crate) const fn is_invisible(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{2800}' | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

impl IdOddity {
    /// The finding about the id in the field `name`, without a place.
    pub(super) fn finding(self, name: &str) -> Finding {
        let (message, found) = match self {
            Self::Blank => (format!("`{name}` is blank"), "nothing that can be seen".to_owned()),
            Self::BlankAtAnEnd => (format!("`{name}` begins or ends with a blank"), "a blank".to_owned()),
            Self::Invisible(char) => {
                (format!("`{name}` holds a character that nobody sees"), format!("U+{:04X}", u32::from(char)))
            }
        };
        Finding::warning(Code::UnreadableId, message)
            .found(found)
            .help("it is billed as an id of its own; send the id that people know")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_ids_that_people_can_not_read() {
        for (id, oddity) in [
            ("web-1", None),
            ("two words", None),
            ("é ü 東京", None),
            (" ", Some(IdOddity::Blank)),
            ("\u{a0}\u{3000}", Some(IdOddity::Blank)),
            ("\u{200b}", Some(IdOddity::Blank)),
            (" web-1", Some(IdOddity::BlankAtAnEnd)),
            ("web-1\u{2003}", Some(IdOddity::BlankAtAnEnd)),
            ("we\u{200d}b", Some(IdOddity::Invisible('\u{200d}'))),
            ("\u{202e}1-bew", None),
            ("\u{feff}web", Some(IdOddity::Invisible('\u{feff}'))),
            ("web\u{e0031}", Some(IdOddity::Invisible('\u{e0031}'))),
        ] {
            assert_eq!(id_oddity(id), oddity, "{id:?}");
        }
    }
}
