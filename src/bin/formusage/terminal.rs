//! Output in which a terminal gets nothing that it acts upon or nobody sees, whatever data hold; files and pipes get it as
//! it is.

use std::io::{self, IsTerminal, Write};

use form_usage_events::plain_text::{Notation, for_terminal};

/// Writes to a terminal what [`for_terminal`] makes of a text, and to anything else the text.
#[derive(Debug)]
pub(crate) struct TerminalSafe<W> {
    inner: W,
    /// `None` where it is no terminal.
    notation: Option<Notation>,
    /// The beginning of a character of which the rest has not come yet.
    begun: Vec<u8>,
}

impl<W: Write + IsTerminal> TerminalSafe<W> {
    /// Output of text that is written in `notation`.
    pub(crate) fn new(inner: W, notation: Notation) -> Self {
        let notation = inner.is_terminal().then_some(notation);
        Self { inner, notation, begun: Vec::new() }
    }
}

impl<W: Write> Write for TerminalSafe<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(notation) = self.notation else { return self.inner.write(bytes) };
        let text = take_whole_characters(&mut self.begun, bytes);
        self.inner.write_all(for_terminal(&text, notation).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The text of `begun` and `bytes`, with U+FFFD for what is no UTF-8; a character that is not whole at the end stays in
/// `begun`.
fn take_whole_characters(begun: &mut Vec<u8>, bytes: &[u8]) -> String {
    begun.extend_from_slice(bytes);
    let mut text = String::with_capacity(begun.len());
    let mut rest = Vec::new();
    for chunk in begun.utf8_chunks() {
        text.push_str(chunk.valid());
        match std::str::from_utf8(chunk.invalid()) {
            Ok(_) => {}
            // Only at the end: elsewhere it is known what follows.
            Err(error) if error.error_len().is_none() => rest = chunk.invalid().to_vec(),
            Err(_) => text.push('\u{fffd}'),
        }
    }
    *begun = rest;
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_come_in_pieces_are_escaped_whole() {
        let text = "a\u{202e}\u{e9}\u{9b}\u{1f600}".as_bytes();
        for at in 0..text.len() {
            let mut terminal = TerminalSafe { inner: Vec::new(), notation: Some(Notation::Json), begun: Vec::new() };
            terminal.write_all(&text[..at]).unwrap();
            terminal.write_all(&text[at..]).unwrap();
            terminal.write_all(b"\x9b\n").unwrap();
            let shown = String::from_utf8(terminal.inner).unwrap();
            assert_eq!(shown, "a\\u202e\u{e9}\\u009b\u{1f600}\u{fffd}\n", "in two pieces at {at}");
        }
    }

    #[test]
    fn what_is_no_terminal_gets_the_bytes_as_they_are() {
        let mut pipe = TerminalSafe { inner: Vec::new(), notation: None, begun: Vec::new() };
        pipe.write_all(b"\x9b\xe2\x80\xae\x1b[2J\r\n").unwrap();
        assert_eq!(pipe.inner, b"\x9b\xe2\x80\xae\x1b[2J\r\n");
    }
}
