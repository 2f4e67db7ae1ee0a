//! From the spool to the pipeline.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::mpsc;

use super::{FED_AHEAD, Signals};
use crate::clock::Clock;
use crate::publish::feed::slots;
use crate::publish::intake::{AttemptHistory, Intake, Origin, Taken, Ticket};
use crate::spool::{Spool, SpoolError, Waiting};
use crate::transport::BatchLimits;

/// So much is read from the spool at once.
const PIECE: BatchLimits = BatchLimits { events: 512, bytes: 1 << 20 };
/// So much of it is handed out at once.
const GROUP: usize = 64;
/// How long to wait for events that others may put into the spool: replays, publishers that died.
const IDLE_PAUSE: Duration = Duration::from_secs(1);
/// The same while another publisher holds events that wait.
const HELD_PAUSE: Duration = Duration::from_millis(250);

pub(super) struct Feeder<'a> {
    pub(super) spool: &'a Spool,
    pub(super) clock: &'a dyn Clock,
    /// How long to wait at the end for what another publisher holds.
    pub(super) patience: Duration,
}

impl Feeder<'_> {
    /// Hands out what waits, until nothing more is taken and nothing is left, or the pipeline takes no more.
    pub(super) async fn run(self, sender: mpsc::Sender<Intake>, signals: &Signals) -> Result<(), SpoolError> {
        let result = self.feed(sender, signals).await;
        if result.is_err() {
            signals.broken.cancel();
        }
        result
    }

    async fn feed(&self, sender: mpsc::Sender<Intake>, signals: &Signals) -> Result<(), SpoolError> {
        let mut last_advance = self.clock.monotonic();
        let mut waiting = None;
        let mut told = false;
        loop {
            // Asked before the look: what was taken until then is seen by it.
            let draining = signals.draining.is_cancelled();
            let fetched = match self.spool.fetch(PIECE).await {
                Ok(fetched) => fetched,
                // A full disk keeps us from saying which events are ours; what comes after may be sent then. At the end
                // this is waited for no longer than any other lack of progress.
                Err(error)
                    if error.may_pass()
                        && (!draining || self.clock.monotonic().saturating_sub(last_advance) < self.patience) =>
                {
                    if !std::mem::replace(&mut told, true) {
                        tracing::error!("nothing more is sent until the spool can be written: {error}");
                    }
                    tokio::select! {
                        () = signals.draining.cancelled(), if !draining => last_advance = self.clock.monotonic(),
                        () = signals.over.cancelled() => return Ok(()),
                        () = self.clock.sleep(IDLE_PAUSE) => {}
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            if std::mem::take(&mut told) {
                tracing::warn!("the spool can be written again: sending goes on");
            }
            if !fetched.events.is_empty() {
                let mut events: VecDeque<_> = fetched.events.into_iter().map(to_intake).collect();
                while !events.is_empty() {
                    // In groups, since each time that somebody waits for room costs a turn of the other side.
                    let (count, slots) = group(&events);
                    tokio::select! {
                        biased;
                        () = signals.over.cancelled() => return Ok(()),
                        room = sender.reserve_many(slots) => match room {
                            Ok(permits) => {
                                permits.zip(events.drain(..count)).for_each(|(permit, item)| permit.send(item));
                            }
                            Err(_) => return Ok(()),
                        },
                    }
                }
                last_advance = self.clock.monotonic();
                continue;
            }
            // What another publisher delivers is an advance too.
            if fetched.waiting != waiting {
                waiting = fetched.waiting;
                last_advance = self.clock.monotonic();
            }
            let waited = self.clock.monotonic().saturating_sub(last_advance);
            if draining && (!fetched.held_elsewhere || waited >= self.patience || self.none_of_ours_waits().await?) {
                return Ok(());
            }
            let pause = if fetched.held_elsewhere { HELD_PAUSE } else { IDLE_PAUSE };
            tokio::select! {
                () = signals.taken.notified() => {}
                () = signals.draining.cancelled(), if !draining => last_advance = self.clock.monotonic(),
                () = signals.over.cancelled() => return Ok(()),
                () = self.clock.sleep(pause) => {}
            }
        }
    }
}

impl Feeder<'_> {
    /// Whether the run has nothing more to wait for: what other publishers at work took and hold is theirs to deliver.
    async fn none_of_ours_waits(&self) -> Result<bool, SpoolError> {
        let tally = self.spool.tally().await?;
        Ok(tally.own_waiting + tally.other_waiting == 0)
    }
}

/// How many of `events` are handed out at once, and how many free places of the channel they wait for: few long events are
/// on their way at a time.
fn group(events: &VecDeque<Intake>) -> (usize, usize) {
    let (mut count, mut all) = (0, 0);
    for slots in events.iter().take(GROUP).map(slots) {
        if count > 0 && all + slots > FED_AHEAD {
            break;
        }
        (count, all) = (count + 1, all + slots);
    }
    (count, all)
}

fn to_intake(waiting: Waiting) -> Intake {
    let ticket = Some(Ticket { seq: waiting.seq, own: waiting.own });
    let origin = Origin { input: waiting.source, line: waiting.line };
    let history = AttemptHistory { refusals: waiting.refusals, unanswered: waiting.unanswered };
    Intake::Event(Box::new(Taken { encoded: waiting.encoded, origin, ticket, history }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::EncodedEvent;
    use crate::events::tests::sample;

    fn of_size(bytes: usize) -> Intake {
        let mut event = sample();
        event.instance_id = "x".repeat(bytes);
        let encoded = EncodedEvent::encode(event).unwrap();
        let (origin, history) = (Origin { input: "-".into(), line: None }, AttemptHistory::default());
        Intake::Event(Box::new(Taken { encoded, origin, ticket: None, history }))
    }

    #[test]
    fn many_short_events_go_together_and_long_ones_alone() {
        let short: VecDeque<_> = (0..100).map(|_| of_size(10)).collect();
        assert_eq!(group(&short), (GROUP, GROUP));
        let long: VecDeque<_> = (0..3).map(|_| of_size(700 << 10)).collect();
        assert_eq!(group(&long), (1, FED_AHEAD));
        let between: VecDeque<_> = (0..100).map(|_| of_size(16 << 10)).collect();
        assert_eq!(group(&between).0, FED_AHEAD / 16);
    }
}
