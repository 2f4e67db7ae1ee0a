//! `/proc/PID/net/dev` (proc(5)): what passed each interface of a network namespace.

use std::io;

use super::Traffic;

/// The interfaces, by their names as the kernel has them, with their counters.
pub(super) fn interfaces(text: &[u8]) -> io::Result<impl Iterator<Item = (&[u8], Traffic)>> {
    if !text.contains(&b'|') {
        return Err(io::Error::other("net/dev has another form than expected"));
    }
    Ok(text.split(|byte| *byte == b'\n').skip(2).filter_map(line))
}

/// A line: the name, a colon, eight figures of what was received, eight of what was sent, bytes first.
fn line(text: &[u8]) -> Option<(&[u8], Traffic)> {
    // No figure has a colon, so that the last one ends the name whatever that holds.
    let colon = text.iter().rposition(|byte| *byte == b':')?;
    let (name, figures) = text.split_at_checked(colon)?;
    let figures = std::str::from_utf8(figures.get(1..)?).ok()?;
    let mut figures = figures.split_ascii_whitespace();
    let received = figures.next()?.parse().ok()?;
    let sent = figures.nth(7)?.parse().ok()?;
    Some((name.trim_ascii(), Traffic { sent, received }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_hold_any_bytes() {
        let text = b"Inter-|\n face |bytes\n  a\xff|b: 5 0 0 0 0 0 0 0 6 0 0 0 0 0 0 0\n";
        let found: Vec<_> = interfaces(text).unwrap().collect();
        assert_eq!(found, [(&b"a\xff|b"[..], Traffic { sent: 6, received: 5 })]);
        assert!(interfaces(b"").is_err());
    }
}
