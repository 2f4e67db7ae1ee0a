//! Threads that read and look at blocks in turn, and one that takes what they found in order.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Mutex, PoisonError};

use super::block::{Block, Cutter};
use super::{Line, LinePart, Sieve, Sifted, Sifting, Verdict};

/// So many blocks for each thread: one that it looks at, and some that wait to be taken behind a slower one.
const BLOCKS_PER_THREAD: usize = 4;

/// What was found in a block.
struct Looked<N> {
    /// Its number, from 0.
    number: u64,
    block: Block,
    lines: u64,
    /// Lines that passed behind the last one that is in `found`.
    passed: u64,
    found: Vec<Found<N>>,
    error: Option<io::Error>,
}

/// A line that comes to the caller.
struct Found<N> {
    /// Lines that passed since the one before.
    passed: u64,
    /// Its number in the block, from 1.
    line: u64,
    start: usize,
    end: usize,
    overlong: bool,
    /// `None` where it is held.
    note: Option<N>,
}

/// What threads tell.
enum Word<N> {
    Looked(Looked<N>),
    /// One of them panicked.
    Lost,
}

/// The input, which one thread reads at a time, and how many blocks have been read.
struct Turn<R> {
    cutter: Cutter<R>,
    next: u64,
    ended: bool,
}

/// [`super::sift`] on `threads` threads; `first` lines were read before.
#[allow(clippy::type_complexity)] // as there
pub(super) fn sift<R: Read + Send, S: Sieve, E>(
    cutter: Cutter<R>,
    first: u64,
    sieve: &S,
    threads: usize,
    take: &mut dyn FnMut(Sifted<'_, S::Note>) -> Result<(), E>,
) -> Result<Sifting, E> {
    let limit = cutter.limit();
    let turn = &Mutex::new(Turn { cutter, next: 0, ended: false });
    let (give, empty) = channel();
    for _ in 0..threads * BLOCKS_PER_THREAD {
        // The receiver lives in this function.
        let _ = give.send(Block::default());
    }
    let empty = &Mutex::new(empty);
    std::thread::scope(|scope| {
        let (tell, words) = channel();
        for _ in 0..threads {
            let tell = tell.clone();
            scope.spawn(move || {
                let worker = Worker { turn, empty, sieve, limit, tell };
                worker.run();
            });
        }
        drop(tell);
        // When this ends early, the threads find nobody who gives or takes blocks, and end too.
        in_order(first, &words, give, take)
    })
}

/// Takes blocks in their order, and sends them round.
fn in_order<N, E>(
    first: u64,
    words: &Receiver<Word<N>>,
    give: Sender<Block>,
    take: &mut dyn FnMut(Sifted<'_, N>) -> Result<(), E>,
) -> Result<Sifting, E> {
    let mut sifting = Sifting { lines: first, error: None };
    let mut waiting = BTreeMap::new();
    let mut next = 0;
    loop {
        let word = match words.try_recv() {
            Err(TryRecvError::Empty) => {
                take(Sifted::Idle)?;
                words.recv().ok()
            }
            word => word.ok(),
        };
        match word {
            Some(Word::Looked(looked)) => waiting.insert(looked.number, looked),
            Some(Word::Lost) | None => return Ok(sifting),
        };
        while let Some(looked) = waiting.remove(&next) {
            next += 1;
            let Looked { block, lines, passed, found, error, .. } = looked;
            for found in found {
                if found.passed > 0 {
                    take(Sifted::Passed(found.passed))?;
                }
                let bytes = block.lines().get(found.start..found.end).unwrap_or_default();
                let part = match found.overlong {
                    true => LinePart::Piece { index: 0, last: false },
                    false => LinePart::Whole,
                };
                let line = Line { number: sifting.lines + found.line, bytes, part };
                take(match found.note {
                    Some(note) => Sifted::Noted(line, note),
                    None => Sifted::Held(line),
                })?;
            }
            if passed > 0 {
                take(Sifted::Passed(passed))?;
            }
            sifting.lines += lines;
            sifting.error = error;
            // The threads may have come to the end of the input.
            let _ = give.send(block.recycle());
        }
    }
}

/// One thread.
struct Worker<'w, R, S: Sieve> {
    turn: &'w Mutex<Turn<R>>,
    empty: &'w Mutex<Receiver<Block>>,
    sieve: &'w S,
    limit: usize,
    tell: Sender<Word<S::Note>>,
}

impl<R, S: Sieve> Drop for Worker<'_, R, S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Its block will never come, and nobody may wait for it.
            let _ = self.tell.send(Word::Lost);
        }
    }
}

impl<R: Read, S: Sieve> Worker<'_, R, S> {
    fn run(&self) {
        // A thread reads only with a block in hand, so that the oldest block in flight always comes to its end.
        while let Some(mut block) = self.empty_block() {
            let Some((number, error)) = self.read(&mut block) else {
                return;
            };
            let mut looked = Looked { number, block, lines: 0, passed: 0, found: Vec::new(), error };
            if looked.error.is_none() {
                self.look(&mut looked);
            }
            if self.tell.send(Word::Looked(looked)).is_err() {
                return;
            }
        }
    }

    fn empty_block(&self) -> Option<Block> {
        self.empty.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
    }

    /// Takes a turn; `None` at the end of the input.
    fn read(&self, block: &mut Block) -> Option<(u64, Option<io::Error>)> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if turn.ended {
            return None;
        }
        let result = turn.cutter.fill(block);
        let error = match result {
            Ok(true) => None,
            Ok(false) => {
                turn.ended = true;
                return None;
            }
            Err(error) => {
                turn.ended = true;
                Some(error)
            }
        };
        turn.next += 1;
        Some((turn.next - 1, error))
    }

    fn look(&self, looked: &mut Looked<S::Note>) {
        let text = looked.block.lines();
        let (mut lines, mut passed) = (0, 0);
        let found = &mut looked.found;
        let mut keep = |line, passed: &mut u64, start, end, overlong, note| {
            found.push(Found { passed: std::mem::take(passed), line, start, end, overlong, note });
        };
        if looked.block.overlong {
            keep(1, &mut passed, 0, self.limit, true, None);
            looked.lines = 1;
            return;
        }
        self.sieve.begin();
        let mut at = 0;
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            lines += 1;
            let start = at;
            let (length, verdict) = match self.sieve.start(rest) {
                // With its end it may be two longer than the limit; the other way looks closer.
                Some((length, verdict)) if length <= self.limit => (length, Some(verdict)),
                _ => (memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1), None),
            };
            at += length;
            if matches!(verdict, Some(Verdict::Pass)) {
                passed += 1;
                continue;
            }
            let line = rest.get(..length).unwrap_or_default();
            let line = line.strip_suffix(b"\n").unwrap_or(line);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let end = start + line.len();
            if line.len() > self.limit {
                keep(lines, &mut passed, start, start + self.limit, true, None);
                continue;
            }
            let verdict = match verdict {
                Some(verdict) => verdict,
                None if line.trim_ascii().is_empty() => continue,
                None => self.sieve.line(line),
            };
            match verdict {
                Verdict::Pass => passed += 1,
                Verdict::Note(note) => keep(lines, &mut passed, start, end, false, Some(note)),
                Verdict::Hold => keep(lines, &mut passed, start, end, false, None),
            }
        }
        (looked.lines, looked.passed) = (lines, passed);
    }
}
