//! Keeps what was not delivered: in a file of dead letters, or on standard error.

use std::fs::OpenOptions;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use form_usage_events::clock::{Clock, SystemClock};
use form_usage_events::events::LinePart;
use form_usage_events::files::{self, LineFile};
use form_usage_events::plain_text::{printable, printable_source};
use form_usage_events::publish::{Keeper, Origin, RefusedLine, Taken};
use form_usage_events::transport::Failure;
use serde::Serialize;

use super::Keep;
use super::refusal_log::RefusalLog;

/// Opens `path` for appending; without one, dead letters are told on standard error, whole where no spool keeps them.
pub(super) fn open(path: Option<&Path>, spooled: bool) -> anyhow::Result<Box<dyn Keep>> {
    let Some(path) = path else {
        return Ok(if spooled { Box::new(InSpool::default()) } else { Box::new(OnStandardError) });
    };
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    // A pipe or a device is for whoever reads it.
    let is_special = path.metadata().is_ok_and(|it| !it.is_file());
    let opened =
        if is_special { files::open_output(path, &mut options) } else { files::open_private(path, &mut options) };
    let file = opened.with_context(|| format!("can't open the dead-letter file {}", path.display()))?;
    Ok(Box::new(InFile { file: LineFile::appending(file, false), log: RefusalLog::default() }))
}

/// Why a record is in the file.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// The line is no valid event.
    Invalid,
    /// The destination will never take the event.
    Dead,
    /// The event is good and could not be delivered in this run.
    Undelivered,
}

/// One record of the dead-letter file.
#[derive(Serialize)]
struct Record<'a> {
    kind: Kind,
    reason: &'a str,
    /// Unix seconds.
    time: i64,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// The number of a piece, from 1, where a line was too long to be held whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    piece: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a str>,
    /// The raw bytes where they are not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_base64: Option<String>,
}

#[derive(Debug)]
struct InFile {
    file: LineFile,
    log: RefusalLog,
}

impl InFile {
    fn write(&mut self, kind: Kind, reason: &str, origin: &Origin, raw: &[u8], part: LinePart) -> io::Result<()> {
        let text = std::str::from_utf8(raw);
        let record = Record {
            kind,
            reason,
            time: SystemClock.unix_seconds(),
            source: &origin.input,
            line: origin.line,
            piece: match part {
                LinePart::Whole => None,
                LinePart::Piece { index, .. } => Some(index + 1),
            },
            raw: text.ok(),
            raw_base64: text.is_err().then(|| STANDARD.encode(raw)),
        };
        let mut line = serde_json::to_vec(&record)?;
        line.push(b'\n');
        // One write a record, so that several writers of one file do not mix their lines.
        self.file.write(&line)
    }
}

impl Keeper for InFile {
    fn refused(&mut self, line: &RefusedLine) -> io::Result<()> {
        self.log.warn(SystemClock.monotonic(), format_args!("{}: {}", line.origin, line.reason));
        self.write(Kind::Invalid, &line.reason, &line.origin, &line.raw, line.part)
    }

    fn dead(&mut self, event: &Taken, failure: &Failure, _: u64) -> io::Result<()> {
        self.log.warn(SystemClock.monotonic(), format_args!("{}: {failure}", event.origin));
        self.write(Kind::Dead, &failure.message, &event.origin, event.encoded.body(), LinePart::Whole)
    }

    fn undelivered(&mut self, event: &Taken, reason: &str) -> io::Result<()> {
        self.write(Kind::Undelivered, reason, &event.origin, event.encoded.body(), LinePart::Whole)
    }
}

impl Keep for InFile {
    fn finish(&mut self) -> anyhow::Result<()> {
        self.log.rest().inspect(|words| tracing::warn!("{words}"));
        // A pipe or a terminal can't be synced and needs it not.
        match self.file.file().sync_data() {
            Err(error) if error.kind() != io::ErrorKind::InvalidInput => {
                Err(error).context("can't make the dead-letter file durable")
            }
            _ => Ok(()),
        }
    }
}

/// The spool keeps them; people are told.
#[derive(Debug, Default)]
struct InSpool {
    log: RefusalLog,
}

impl Keeper for InSpool {
    fn refused(&mut self, line: &RefusedLine) -> io::Result<()> {
        self.log.warn(SystemClock.monotonic(), format_args!("{}: {}", line.origin, line.reason));
        Ok(())
    }

    fn dead(&mut self, event: &Taken, failure: &Failure, _: u64) -> io::Result<()> {
        self.log.warn(SystemClock.monotonic(), format_args!("{}: {failure}", event.origin));
        Ok(())
    }

    fn undelivered(&mut self, _: &Taken, _: &str) -> io::Result<()> {
        Ok(())
    }
}

impl Keep for InSpool {
    fn finish(&mut self) -> anyhow::Result<()> {
        self.log.rest().inspect(|words| tracing::warn!("{words}"));
        Ok(())
    }
}

/// The line whole, behind a line of words that says why it is there. Where standard error can't be written, the exit code
/// still says that something was not delivered, and the other events go on.
struct OnStandardError;

impl OnStandardError {
    fn write(origin: &Origin, reason: &str, raw: &[u8]) {
        let _ = io::stderr().write_all(&Self::words(origin, reason, raw, io::stderr().is_terminal()));
    }

    fn words(origin: &Origin, reason: &str, raw: &[u8], for_terminal: bool) -> Vec<u8> {
        let mut words = format!("{}\n", printable(&format!("{origin}: {reason}"))).into_bytes();
        if for_terminal {
            words.extend_from_slice(printable_source(&String::from_utf8_lossy(raw)).as_bytes());
        } else {
            // It is the only copy.
            words.extend_from_slice(raw);
        }
        words.push(b'\n');
        words
    }
}

impl Keeper for OnStandardError {
    fn refused(&mut self, line: &RefusedLine) -> io::Result<()> {
        Self::write(&line.origin, &line.reason, &line.raw);
        Ok(())
    }

    fn dead(&mut self, event: &Taken, failure: &Failure, _: u64) -> io::Result<()> {
        Self::write(&event.origin, &failure.message, event.encoded.body());
        Ok(())
    }

    fn undelivered(&mut self, event: &Taken, reason: &str) -> io::Result<()> {
        Self::write(&event.origin, &format!("not delivered: {reason}"), event.encoded.body());
        Ok(())
    }
}

impl Keep for OnStandardError {
    fn finish(&mut self) -> anyhow::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminal_gets_nothing_that_it_acts_upon() {
        let origin = Origin { input: "a\u{202e}b".into(), line: Some(1) };
        let raw = "\tx\u{1b}[2J\u{9b}\u{202e}\u{200b}".as_bytes();
        let shown = OnStandardError::words(&origin, "no event\u{9b}", raw, true);
        let shown = String::from_utf8(shown).unwrap();
        assert!(shown.ends_with("no event\u{fffd}\n\tx\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}\n"), "{shown:?}");
        assert!(shown.starts_with("a\u{fffd}b"), "{shown:?}");
        let copy = OnStandardError::words(&origin, "no event", raw, false);
        assert!(copy.ends_with(&[raw, b"\n"].concat()), "the only copy is whole");
    }
}
