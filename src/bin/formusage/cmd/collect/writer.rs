//! Writes events, and the state before and after them, on a thread of its own: a reader that is slow and a disk that is
//! busy hold up no look at a counter.
//!
//! The order is the promise: the state that holds the events as closing, the events, the state without them. Whatever
//! ends the process in between, the next one writes the events again under the ids that they had.

use std::sync::mpsc;

use form_usage_events::collect::{StateFile, StateFileError};
use tokio::sync::mpsc as back;

use crate::output::WholeLines;

/// What a pipe takes whole or not at all (`PIPE_BUF` on Linux): whoever is killed leaves no half of a line there.
const WHOLE_BYTES: usize = 4096;

/// Events to write.
#[derive(Debug)]
pub(super) struct Batch {
    /// Each without its line end.
    pub(super) lines: Vec<String>,
    /// The state while they are being written, and afterwards.
    pub(super) states: Option<(Vec<u8>, Vec<u8>)>,
}

/// What became of a batch.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is written.
    Written,
    /// The state before could not be saved, and nothing was written.
    Unsaved(Vec<String>, anyhow::Error),
    /// Standard output can't be written to, or another collector has the state.
    Failed(anyhow::Error),
}

/// The thread's other end. It ends when this is dropped, after what it was given.
#[derive(Debug)]
pub(super) struct Writer {
    batches: mpsc::Sender<Batch>,
    outcomes: back::UnboundedReceiver<Outcome>,
    busy: bool,
}

impl Writer {
    pub(super) fn start(file: Option<StateFile>) -> anyhow::Result<Self> {
        let (batches, inbox) = mpsc::channel::<Batch>();
        let (told, outcomes) = back::unbounded_channel();
        std::thread::Builder::new().name("writer".to_owned()).spawn(move || {
            let mut stdout = WholeLines::new();
            for batch in inbox {
                if told.send(write(&mut stdout, file.as_ref(), batch)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { batches, outcomes, busy: false })
    }

    /// Whether a batch is being written.
    pub(super) const fn is_busy(&self) -> bool {
        self.busy
    }

    /// Hands over a batch; one at a time.
    pub(super) fn write(&mut self, batch: Batch) {
        self.busy = self.batches.send(batch).is_ok();
    }

    /// What became of the batch; waits for ever where there is none.
    pub(super) async fn outcome(&mut self) -> Outcome {
        if !self.busy {
            return std::future::pending().await;
        }
        let outcome = self.outcomes.recv().await;
        self.busy = false;
        outcome.unwrap_or_else(|| Outcome::Failed(anyhow::anyhow!("the writing thread ended")))
    }
}

fn write(stdout: &mut WholeLines, file: Option<&StateFile>, batch: Batch) -> Outcome {
    let Batch { lines, states } = batch;
    let states = file.zip(states);
    if let Some((file, (before, _))) = &states
        && let Err(error) = file.save(before)
    {
        return match error {
            // What is open here is metered by the other one, from the state that was saved last.
            StateFileError::InUse { .. } => Outcome::Failed(error.into()),
            _ => Outcome::Unsaved(lines, error.into()),
        };
    }
    if let Err(error) = write_lines(stdout, &lines) {
        return Outcome::Failed(error);
    }
    // Where this fails the events stay closing, and are written once more by the next process.
    if let Some((file, (_, after))) = &states
        && let Err(error) = file.save(after)
    {
        tracing::warn!(%error, "the state was not saved after the events were written");
    }
    Outcome::Written
}

fn write_lines(stdout: &mut WholeLines, lines: &[String]) -> anyhow::Result<()> {
    let mut piece = Vec::with_capacity(WHOLE_BYTES);
    for line in lines {
        if !piece.is_empty() && piece.len() + line.len() + 1 > WHOLE_BYTES {
            stdout.write(&piece)?;
            piece.clear();
        }
        piece.extend_from_slice(line.as_bytes());
        piece.push(b'\n');
    }
    if piece.is_empty() { Ok(()) } else { stdout.write(&piece) }
}
