//! `/proc/PID/stat`, `statm` and `status` (proc(5)).

use std::io;

/// A process as one look sees it. Times in ticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::collect) struct Stat {
    /// As the kernel has it: any bytes but NUL.
    pub(super) name: Vec<u8>,
    pub(super) parent: u32,
    /// User and system time of it and of all threads that it ever had.
    pub(super) own: u64,
    /// The same of children that it waited for, and of those that they waited for.
    pub(super) waited: u64,
    /// When it started, since the boot: with its number it is told from every other process.
    pub(in crate::collect) start: u64,
    /// It ended, and nobody has waited for it yet.
    pub(super) ended: bool,
}

/// `1234 (a name) S 1 …`; the name may hold anything.
pub(in crate::collect) fn stat(text: &[u8]) -> io::Result<Stat> {
    let parsed = || {
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let name = text.get(open + 1..close)?;
        let rest = std::str::from_utf8(text.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        // Counted from the state, which is field 3. Guest time is in user time. Times of children may be -1 in old kernels.
        let time = |user: usize| Some(number(user)?.saturating_add(number(user + 1)?));
        Some(Stat {
            name: name.to_vec(),
            parent: fields.get(1)?.parse().ok()?,
            own: time(11)?,
            waited: time(13).unwrap_or(0),
            start: number(19)?,
            // The first thread may have ended before the others.
            ended: matches!(fields.first(), Some(&("Z" | "X"))) && number(17)? <= 1,
        })
    };
    parsed().ok_or_else(|| io::Error::other("stat has another form than expected"))
}

/// Pages in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pages {
    /// Of this process alone, or shared with the process that it was forked from and not written since.
    pub(super) private: u64,
    /// Of files and of memory that is meant to be shared.
    pub(super) shared: u64,
}

/// `size resident shared …`, in pages.
pub(super) fn pages(text: &str) -> io::Result<Pages> {
    let mut fields = text.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    match (fields.next(), fields.next()) {
        (Some(Ok(resident)), Some(Ok(shared))) => Ok(Pages { private: resident.saturating_sub(shared), shared }),
        _ => Err(io::Error::other("statm has another form than expected")),
    }
}

/// Bytes of huge pages that `status` tells of, which are in none of the [`Pages`].
pub(in crate::collect) fn huge_pages(text: &str) -> Option<u64> {
    status(text, "HugetlbPages")?.strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Reads `text` as each of the files.
#[cfg(any(fuzzing, all(test, feature = "cli")))]
pub(in crate::collect) fn fuzz_files(text: &[u8]) {
    if let Ok(stat) = stat(text) {
        assert!(stat.name.len() < text.len());
    }
    let text = String::from_utf8_lossy(text);
    let _ = (pages(&text), status(&text, "Tgid"), huge_pages(&text));
}

/// A line of `status`: a name, a colon, a tab, the value.
pub(super) fn status<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_hold_anything() {
        let text = "42 (a) S (b) Z 7 42 42 0 -1 4194304 1 2 3 4 100 20 30 4 20 0 1 0 5555 1 2";
        let expected = Stat { name: b"a) S (b".to_vec(), parent: 7, own: 120, waited: 34, start: 5555, ended: true };
        assert_eq!(stat(text.as_bytes()).unwrap(), expected);
        let odd = [&b"42 (\xff\n) S"[..], &text.as_bytes()[text.find(" 7 42").unwrap()..]].concat();
        assert_eq!(stat(&odd).unwrap().name, b"\xff\n");
        assert!(!stat(text.replace(" 20 0 1 0 ", " 20 0 3 0 ").as_bytes()).unwrap().ended, "other threads run on");
        assert!(stat(b"42 (x) S 1").is_err() && stat(b"").is_err());
    }

    #[test]
    fn pages_and_status() {
        assert_eq!(pages("900 100 30 1 0 5 0").unwrap(), Pages { private: 70, shared: 30 });
        assert!(pages("900").is_err());
        assert_eq!(status("Name:\tx\nTgid:\t12\n", "Tgid"), Some("12"));
        assert_eq!(huge_pages("Name:\tx\nHugetlbPages:\t    4096 kB\n"), Some(4 << 20));
    }
}
