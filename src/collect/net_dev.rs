//! `/proc/PID/net/dev` (proc(5)): what passed each interface of a network namespace.

use std::io;

use super::Traffic;

/// The interfaces with their counters.
pub(super) fn interfaces(text: &str) -> io::Result<impl Iterator<Item = (&str, Traffic)>> {
    if !text.contains('|') {
        return Err(io::Error::other("net/dev has another form than expected"));
    }
    Ok(text.lines().skip(2).filter_map(line))
}

/// A line: the name, a colon, eight figures of what was received, eight of what was sent, bytes first.
fn line(text: &str) -> Option<(&str, Traffic)> {
    let (name, figures) = text.split_once(':')?;
    let mut figures = figures.split_ascii_whitespace();
    let received = figures.next()?.parse().ok()?;
    let sent = figures.nth(7)?.parse().ok()?;
    Some((name.trim(), Traffic { sent, received }))
}
