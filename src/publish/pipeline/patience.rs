//! When a run gives up: its own time, and waiting that is in vain.

use super::Run;
use crate::clock::Monotonic;
use crate::units::rfc3339;

const OUT_OF_PATIENCE: &str = "the destination took nothing for as long as --drain-timeout allows";

const OUT_OF_TIME: &str = "asked to end, and not through within the time that --drain-timeout allows";

impl Run<'_> {
    /// Why the deadline was one: something may have been settled all the time since the end was asked for.
    pub(super) fn out_of_patience(&self) -> &'static str {
        match self.asked_at {
            Some(at) if self.last_advance > at => OUT_OF_TIME,
            _ => OUT_OF_PATIENCE,
        }
    }

    /// When to give up if nothing is settled until then; `None` while there is no hurry. Who asks a run to end gives it
    /// `drain_timeout` in all: a sixth of it is for what is still to be done then.
    pub(super) fn deadline(&self) -> Option<Monotonic> {
        let options = &self.pipeline.options;
        let counts = self.held > 0 && self.is_finite();
        let idle = counts.then(|| self.last_advance.saturating_add(options.drain_timeout));
        let asked = self.asked_at.map(|at| at.saturating_add(options.drain_timeout - options.drain_timeout / 6));
        [idle, asked].into_iter().flatten().min()
    }

    /// A run that ends neither waits for a breaker beyond its own time nor for somebody to mend the set-up.
    pub(super) fn give_up_where_waiting_is_in_vain(&mut self) {
        if let Some(held) = self.pipeline.delivery.held_for()
            && held > self.pipeline.options.drain_timeout
            && self.held > 0
        {
            let left = format!("the destination is left alone for another {} s", held.as_secs_f64().ceil());
            let delivery = &self.pipeline.delivery;
            // Where nothing was tried in this run, it is an earlier one that knows why.
            let earlier = delivery.breaker_opening().filter(|_| delivery.last_failure().is_none());
            self.abandon(&match earlier {
                Some(opening) => {
                    let at = rfc3339(opening.at).unwrap_or_else(|| opening.at.to_string());
                    format!("{left}; an earlier run opened the circuit breaker at {at}: {}", opening.cause)
                }
                None => left,
            });
        }
        if let Some(failure) = self.misdirection.clone() {
            self.report.errors.push(failure.message.clone());
            self.abandon(&failure.message);
        }
    }
}
