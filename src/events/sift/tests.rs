//! Threads find what one finds, in the same order, whatever the input's blocks look like.

use super::*;
use proptest::prelude::*;

/// Passes lines that begin with `p`, notes the length of those with `n`, holds the others.
struct ByLetter;

impl Sieve for ByLetter {
    type Note = usize;

    fn start(&self, text: &[u8]) -> Option<(usize, Verdict<usize>)> {
        // As a scanner does, only where it looks as usual.
        let end = text.iter().take(6).position(|byte| *byte == b'\n')?;
        let line = &text[..end];
        (!line.trim_ascii().is_empty() && !line.ends_with(b"\r")).then(|| (end + 1, self.line(line)))
    }

    fn line(&self, line: &[u8]) -> Verdict<usize> {
        match line.first() {
            Some(b'p') => Verdict::Pass,
            Some(b'n') => Verdict::Note(line.len()),
            _ => Verdict::Hold,
        }
    }
}

/// Lines before it, its number, bytes, part and note.
type Row = (u64, u64, Vec<u8>, LinePart, Option<usize>);

/// What was told: lines that passed, added up, and each of the others.
#[derive(Debug, Default, PartialEq)]
struct Told {
    rows: Vec<Row>,
    passed: u64,
    lines: u64,
}

impl Told {
    fn take(&mut self, found: Sifted<'_, usize>) {
        let (line, note) = match found {
            Sifted::Passed(count) => return self.passed += count,
            Sifted::Noted(line, note) => (line, Some(note)),
            Sifted::Held(line) => (line, None),
            Sifted::Idle => return,
        };
        // Of a line that is too long the beginning alone comes, and whether more follows is not known at once.
        let part = match line.part {
            LinePart::Whole => LinePart::Whole,
            LinePart::Piece { index, .. } => LinePart::Piece { index, last: false },
        };
        self.rows.push((self.passed, line.number, line.bytes.to_vec(), part, note));
    }
}

fn serial(input: impl Read + Send, limit: usize) -> Told {
    let mut told = Told::default();
    let end = sift(LineReader::with_limit(input, limit), &ByLetter, &mut |found| {
        told.take(found);
        Ok::<_, io::Error>(())
    });
    told.lines = end.unwrap().lines;
    told
}

fn on_threads(input: impl Read + Send, limit: usize) -> Told {
    let mut told = Told::default();
    let cutter = block::Cutter::new(LineReader::with_limit(input, limit));
    let end = crew::sift(cutter, 0, &ByLetter, 3, &mut |found| {
        told.take(found);
        Ok::<_, io::Error>(())
    });
    told.lines = end.unwrap().lines;
    told
}

/// Reads as many bytes at a time as it is told, over and over.
struct Uneven<'a> {
    input: &'a [u8],
    sizes: &'a [usize],
    next: usize,
}

impl Read for Uneven<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let size = self.sizes[self.next % self.sizes.len()].min(buffer.len()).min(self.input.len());
        self.next += 1;
        buffer[..size].copy_from_slice(&self.input[..size]);
        self.input = &self.input[size..];
        Ok(size)
    }
}

proptest! {
    #[test]
    fn threads_find_what_one_finds(
        input in "(p1|p234567|n|n12|x|\r|\n|\n|\r\n| ){0,80}",
        limit in 1..8usize,
        sizes in proptest::collection::vec(1..9usize, 1..4),
    ) {
        let expected = serial(input.as_bytes(), limit);
        let uneven = Uneven { input: input.as_bytes(), sizes: &sizes, next: 0 };
        prop_assert_eq!(on_threads(uneven, limit), expected);
    }
}

#[test]
fn a_large_input_goes_to_threads_and_stays_in_order() {
    let line = |n: usize| match n % 1000 {
        0 => format!("x{n}\n"),
        1 => format!("n{n}\r\n"),
        2 => "\n".to_owned(),
        _ => format!("p{n} {}\n", "-".repeat(n % 300)),
    };
    let input: String = (0..100_000).map(line).collect();
    assert!(input.len() as u64 > 4 * SERIAL_BYTES);
    let told = serial(input.as_bytes(), 1 << 20);
    assert_eq!(told, on_threads(input.as_bytes(), 1 << 20));
    assert_eq!((told.lines, told.passed, told.rows.len()), (100_000, 99_700, 200));
    assert!(told.rows.is_sorted_by_key(|row| row.1));
}

#[test]
fn lines_longer_than_a_block_and_than_the_limit() {
    let long = "p".repeat(3 * block::BLOCK_BYTES);
    let input = format!("x1\n{long}\n{long}{long}\nx4\n{long}p");
    let told = on_threads(input.as_bytes(), long.len());
    let rows: Vec<_> = told.rows.iter().map(|row| (row.0, row.1, row.2.len(), row.3)).collect();
    let overlong = LinePart::Piece { index: 0, last: false };
    assert_eq!(
        rows,
        [
            (0, 1, 2, LinePart::Whole),
            (1, 3, long.len(), overlong),
            (1, 4, 2, LinePart::Whole),
            (1, 5, long.len(), overlong)
        ]
    );
    assert_eq!((told.passed, told.lines), (1, 5));
}

/// Gives its input, then fails.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Err(io::Error::other("gone"));
        }
        self.0.read(buffer)
    }
}

#[test]
fn what_came_before_an_error_is_told() {
    let input = "p1\nx2\n".repeat(1000);
    let mut told = Told::default();
    let cutter = block::Cutter::new(LineReader::new(Failing(input.as_bytes())));
    let end = crew::sift(cutter, 0, &ByLetter, 2, &mut |found| {
        told.take(found);
        Ok::<_, io::Error>(())
    });
    let end = end.unwrap();
    assert_eq!((end.lines, told.passed, told.rows.len()), (2000, 1000, 1000));
    assert_eq!(end.error.unwrap().to_string(), "gone");
}

#[test]
fn whoever_takes_may_end_it() {
    let input = "x\n".repeat(10 * block::BLOCK_BYTES);
    let mut taken = 0;
    let cutter = block::Cutter::new(LineReader::new(input.as_bytes()));
    let end = crew::sift(cutter, 0, &ByLetter, 2, &mut |found| {
        taken += u64::from(matches!(found, Sifted::Held(_)));
        if taken == 5 { Err("enough") } else { Ok(()) }
    });
    assert_eq!((end.err(), taken), (Some("enough"), 5));
}
