//! Reading `{"List":[[bytes],…]}` as it arrives: a topic may be tens of megabytes, a message is not.

use super::wire::MAX_REQUEST_BYTES;

const HEAD: &[u8] = br#"{"List":["#;

/// Takes the text of a list piece by piece and gives the messages.
#[derive(Debug, Default)]
pub(super) struct ListReader {
    state: State,
    /// The message under way.
    message: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the head, of which so many bytes matched.
    #[default]
    Start,
    Head(usize),
    /// Behind `[` or a message's end.
    Outside {
        comma: bool,
    },
    /// Inside a message; the number under way, if a digit came.
    Inside {
        number: Option<u16>,
    },
    /// Behind the list's `]`.
    Closing,
    /// Behind the object's `}`.
    End,
}

/// Text that is not a list of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotAList;

impl ListReader {
    /// Takes the next `text`; whole messages go to `found`.
    pub(super) fn push(&mut self, text: &[u8], found: &mut Vec<Vec<u8>>) -> Result<(), NotAList> {
        text.iter().try_for_each(|&byte| self.step(byte, found))
    }

    /// Whether the list's end was seen.
    pub(super) fn is_whole(&self) -> bool {
        self.state == State::End
    }

    fn step(&mut self, byte: u8, found: &mut Vec<Vec<u8>>) -> Result<(), NotAList> {
        if byte.is_ascii_whitespace() && !matches!(self.state, State::Inside { number: Some(_) }) {
            return Ok(());
        }
        self.state = match (self.state, byte) {
            (State::Start, b'{') => State::Head(1),
            (State::Head(matched), byte) if HEAD.get(matched) == Some(&byte) => {
                if matched + 1 == HEAD.len() {
                    State::Outside { comma: true }
                } else {
                    State::Head(matched + 1)
                }
            }
            (State::Outside { comma: true }, b'[') => State::Inside { number: None },
            (State::Outside { comma: false }, b',') => State::Outside { comma: true },
            (State::Outside { .. }, b']') => State::Closing,
            (State::Inside { number }, b'0'..=b'9') => {
                let number = number.unwrap_or(0) * 10 + u16::from(byte - b'0');
                if number > 255 {
                    return Err(NotAList);
                }
                State::Inside { number: Some(number) }
            }
            (State::Inside { number: Some(number) }, b',') => {
                self.keep(number)?;
                State::Inside { number: None }
            }
            (State::Inside { number }, b']') => {
                if let Some(number) = number {
                    self.keep(number)?;
                }
                found.push(std::mem::take(&mut self.message));
                State::Outside { comma: false }
            }
            (State::Inside { number: Some(number) }, byte) if byte.is_ascii_whitespace() => {
                State::Inside { number: Some(number) }
            }
            (State::Closing, b'}') => State::End,
            _ => return Err(NotAList),
        };
        Ok(())
    }

    fn keep(&mut self, number: u16) -> Result<(), NotAList> {
        if self.message.len() >= MAX_REQUEST_BYTES {
            return Err(NotAList);
        }
        self.message.push(u8::try_from(number).map_err(|_| NotAList)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &[u8], step: usize) -> Result<(Vec<Vec<u8>>, bool), NotAList> {
        let (mut reader, mut found) = (ListReader::default(), Vec::new());
        text.chunks(step).try_for_each(|piece| reader.push(piece, &mut found))?;
        Ok((found, reader.is_whole()))
    }

    #[test]
    fn other_texts_are_no_list() {
        for text in [
            "\"OpSuccess\"",
            "{\"Failure\":{}}",
            "{\"List\":[[256]]}",
            "{\"List\":[1]}",
            "{\"List\":[[1][2]]}",
            "{\"List\":[]}x",
            "[]",
            "{\"List\":[[-1]]}",
        ] {
            assert_eq!(read(text.as_bytes(), 3), Err(NotAList), "{text}");
        }
    }

    #[test]
    fn a_cut_list_gives_its_whole_messages() {
        assert_eq!(read(b"{\"List\":[[1,2],[3", 1), Ok((vec![vec![1, 2]], false)));
    }

    proptest! {
        #[test]
        fn any_list_in_any_pieces(messages in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..20), 0..20), step in 1usize..50, pretty: bool) {
            let value = serde_json::json!({ "List": messages });
            let text = if pretty { serde_json::to_string_pretty(&value) } else { serde_json::to_string(&value) }.unwrap();
            prop_assert_eq!(read(text.as_bytes(), step), Ok((messages, true)));
        }
    }
}
